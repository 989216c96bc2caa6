"""Rows that reach a fused layer by copy: a checkpoint read back, a moving average, a broadcast."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe import data, dcff
from lithe.dcff.contest import Refresh
from lithe.training import TrainConfig, fit

CONFIG = TrainConfig(epochs=2, batch_size=8, lr=0.01, device="cpu")


def net() -> nn.Module:
    """As the paper's networks come: fused from the start, never refreshed."""
    torch.manual_seed(0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)]
    return nn.Sequential(dcff.FusedConv2d(3, 8, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *head)


def train(model, images, step=None, **options):
    refresh = Refresh(mode="released")
    return fit(model, images, CONFIG, step=step, callbacks=[refresh], progress=False, **options)


@pytest.fixture
def images():
    return data.fake_images((3, 8, 8), 10, 32, seed=0)


def interrupted_after(steps):
    """A training step that asks for an end, as Ctrl-C does, after so many calls."""
    import signal

    calls = []

    def step(model, x, y):
        calls.append(None)
        if len(calls) == steps:
            signal.raise_signal(signal.SIGINT)
        outputs = model(x)
        return F.cross_entropy(outputs, y), outputs

    return step


@pytest.mark.parametrize("steps", [2, 6], ids=["mixing", "one-hot"])
def test_a_run_stopped_within_an_epoch_ends_with_the_same_bits(steps, images, tmp_path):
    whole, stopped, resumed = net(), net(), net()
    train(whole, images, interrupted_after(0))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, images, interrupted_after(steps), directory=tmp_path)
    train(resumed, images, interrupted_after(0), directory=tmp_path)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_finished_run_read_back_can_be_used_at_once(images, tmp_path):
    first, again = net(), net()
    train(first, images, directory=tmp_path)
    train(again, images, directory=tmp_path)
    assert again[0].onehot
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(dcff.compact(again).eval()(x), first.eval()(x))


def test_a_moving_average_of_a_fused_network_is_measured(images):
    config = CONFIG.model_copy(update={"ema_decay": 0.5})
    model = net()
    history = fit(
        model, images, config, evaluate=images, callbacks=[Refresh(mode="released")], progress=False
    )
    average = history.ema[0]
    expected = F.conv2d(torch.ones(1, 3, 8, 8), average.weight[average.selected])
    expected += average.bias[average.selected][:, None, None]
    torch.testing.assert_close(average(torch.ones(1, 3, 8, 8)), expected)
    assert history.last["ema_loss"] > 0


def test_rows_copied_into_a_one_hot_layer_are_seen():
    layer = dcff.FusedConv2d(3, 8, 4, 3)
    dcff.refresh(layer, 0, 10, onehot=True)
    twin = copy.deepcopy(layer).eval()
    dcff.refresh(layer, 0, 10, temperature=1.0)
    for own, new in zip(twin.buffers(), layer.buffers(), strict=True):
        own.copy_(new)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(twin(x), layer(x))
