from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lithe.data import fake_images, generator_for
from lithe.training import DivergenceError, TrainConfig, fit, learning_rate
from lithe.training.feed import AUGMENT, Plan

ACCUMULATION = 1e-6  # float32 sums in another order


def test_the_loop_equals_one_written_out_by_hand(small_net, images, weights, same_bits):
    config = TrainConfig(epochs=3, batch_size=8, schedule="cosine", warmup_epochs=1, seed=3)
    ours = small_net(dropout=0)
    history = fit(ours, images, config)

    model = small_net(dropout=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    losses = []
    for epoch in range(3):
        plan, total = Plan(30, 8, False, 3, epoch), 0.0
        for step, indices in plan.batches():
            x, y = images.batch(indices, generator_for(3, epoch, AUGMENT, step), augment=True)
            optimizer.param_groups[0]["lr"] = learning_rate(config, epoch, step, 4)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        losses.append(total / 30)
    assert same_bits(weights(ours), weights(model))
    assert history["train_loss"] == pytest.approx(losses, abs=1e-9)


def test_one_seed_one_result_and_the_callers_random_state_is_untouched(
    small_net, images, weights, same_bits
):
    results = []
    for caller_seed, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(caller_seed)
        state, model = torch.get_rng_state(), small_net(dropout=0.5)
        fit(model, images, TrainConfig(epochs=2, batch_size=8, seed=seed))
        assert torch.equal(torch.get_rng_state(), state)
        results.append(weights(model))
    assert same_bits(results[0], results[1])
    assert not same_bits(results[0], results[2])


def test_it_learns_what_can_be_learned(small_net, images):
    x = images.pixels.clone()
    x[torch.arange(30), images.labels % 3] = 255  # three of the classes have a colour
    taught = type(images)(x, images.labels % 3, ("r", "g", "b"), "colours", images.mean, images.std)
    model = small_net(norm=True, dropout=0)
    history = fit(model, taught, TrainConfig(epochs=12, batch_size=10), evaluate=taught)
    assert history.last["evaluate_top1"] == 100
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]


@pytest.mark.parametrize("accumulate", [2, 3, 7])
def test_micro_batches_equal_one_large_batch(small_net, images, weights, accumulate):
    """30 items in batches of 7: the last batch of 2 leaves some parts empty."""
    models = [small_net(norm=False, dropout=0) for _ in range(2)]
    rows = [
        fit(model, images, TrainConfig(epochs=2, batch_size=7, accumulate=k, lr=0.05))
        for model, k in zip(models, (1, accumulate))
    ]
    for one, other in zip(*(weights(model).values() for model in models)):
        torch.testing.assert_close(one, other, atol=ACCUMULATION, rtol=0)
    assert rows[0]["train_loss"] == pytest.approx(rows[1]["train_loss"], abs=ACCUMULATION)
    assert rows[0]["train_top1"] == rows[1]["train_top1"]


def test_history_has_a_row_per_epoch_and_goes_into_json(small_net, images, held_out):
    config = TrainConfig(epochs=2, batch_size=8, schedule="step", milestones=(1,), ema_decay=0.5)
    history = fit(small_net(), images, config, evaluate=held_out)
    assert history["epoch"] == [0, 1]
    assert history["lr"] == pytest.approx([0.1, 0.01])
    names = {"seconds", "train_loss", "train_top1", "evaluate_loss", "evaluate_top1", "ema_loss"}
    assert names <= history.last.keys()
    assert all(0 <= x <= 100 for x in history["train_top1"] + history["evaluate_top1"])
    assert all(x > 0 for x in history["seconds"])
    assert json.loads(json.dumps(history.to_dict())) == history.to_dict()


def test_callbacks_see_the_run_and_add_metrics(small_net, images, held_out):
    seen = []

    class Watch:
        def on_epoch_start(self, state):
            assert state.model.training
            seen.append(("start", state.epoch, state.step, dict(state.metrics)))
            state.metrics["at_start"] = torch.tensor(1.0)

        def on_epoch_end(self, state):
            assert state.epochs == 2
            assert len(state.history) == state.epoch
            assert {"train_loss", "evaluate_top1"} <= state.metrics.keys()
            seen.append(("end", state.epoch, state.step))
            state.metrics["double"] = 2 * state.metrics["train_loss"]

    class Silent:
        """Every method is optional."""

    model = small_net()
    history = fit(
        model,
        images,
        TrainConfig(epochs=2, batch_size=8),
        evaluate=held_out,
        callbacks=[Watch(), Silent()],
    )
    assert seen == [("start", 0, 0, {}), ("end", 0, 4), ("start", 1, 0, {}), ("end", 1, 4)]
    assert history["double"] == [2 * x for x in history["train_loss"]]
    assert history["at_start"] == [1.0, 1.0]


def test_a_step_of_ones_own_replaces_the_loss(small_net, images, weights, same_bits):
    def twice(model, x, y):
        outputs = model(x)
        return 2 * F.cross_entropy(outputs, y), outputs

    own, plain = small_net(dropout=0), small_net(dropout=0)
    kwargs = {"epochs": 1, "batch_size": 8, "momentum": 0.0, "weight_decay": 0.0}
    fit(own, images, TrainConfig(lr=0.05, **kwargs), step=twice)
    fit(plain, images, TrainConfig(lr=0.1, **kwargs))
    for one, other in zip(weights(own).values(), weights(plain).values()):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_moving_average_follows_its_definition(small_net, images, weights):
    """One step an epoch, so that callbacks see every state that is averaged."""
    states = []

    class Keep:
        def on_epoch_end(self, state):
            states.append(weights(state.model))

    config = TrainConfig(epochs=4, batch_size=30, ema_decay=0.8)
    history = fit(small_net(), images, config, callbacks=[Keep()])
    average = states[0]
    for later in states[1:]:
        average = {k: 0.8 * average[k] + 0.2 * v for k, v in later.items()}
    found = weights(history.ema)
    for name in ("0.weight", "6.weight", "6.bias"):
        torch.testing.assert_close(found[name], average[name], atol=1e-6, rtol=1e-6)
    assert torch.equal(found["1.running_mean"], states[-1]["1.running_mean"])


def test_clipping_bounds_every_step(small_net, images, weights):
    before = small_net()
    model = small_net()
    bound, lr, steps = 0.01, 0.5, 4
    config = TrainConfig(epochs=1, batch_size=8, lr=lr, momentum=0, weight_decay=0, clip_norm=bound)
    fit(model, images, config)
    moved = sum((a - b).square().sum() for a, b in zip(model.parameters(), before.parameters()))
    assert 0 < moved.sqrt() <= steps * lr * bound * 1.001


def test_bf16_trains_with_float32_weights(small_net, images, held_out):
    model, seen = small_net(), []
    model[6].register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    config = TrainConfig(epochs=2, batch_size=8, precision="bf16")
    history = fit(model, images, config, evaluate=held_out)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(torch.isfinite(torch.tensor(history["train_loss"] + history["evaluate_loss"])))


def test_adamw_trains(small_net, images):
    config = TrainConfig(epochs=8, batch_size=10, optimizer="adamw", lr=0.02, weight_decay=0.01)
    history = fit(small_net(dropout=0), images, config)
    assert history["train_loss"][-1] < history["train_loss"][0]


class _Poisoned(nn.Module):
    """Returns NaN from its ``healthy``-th training pass on."""

    def __init__(self, net: nn.Module, healthy: int) -> None:
        super().__init__()
        self.net, self.left = net, healthy

    def forward(self, x):
        self.left -= self.training
        return self.net(x) * (float("nan") if self.training and self.left < 0 else 1.0)


def test_divergence_names_the_step_and_keeps_the_last_checkpoint(small_net, images, tmp_path):
    model = _Poisoned(small_net(), healthy=6)
    with pytest.raises(DivergenceError, match="epoch 1, step 2"):
        fit(model, images, TrainConfig(epochs=3, batch_size=8), directory=tmp_path)
    assert [folder.name for folder in tmp_path.iterdir()] == ["checkpoint-000001-000000000"]
    assert all(torch.isfinite(p).all() for p in model.parameters())  # no step was made on NaN


def test_impossible_data_is_refused(small_net, images):
    with pytest.raises(ValueError, match="no batch of 64 with drop_last=True"):
        fit(small_net(), images, TrainConfig(batch_size=64, drop_last=True))
    with pytest.raises(ValueError, match="0 items"):
        fit(small_net(), images.subset(0), TrainConfig())
    with pytest.raises(TypeError, match="cannot train on a DataLoader"):
        fit(small_net(), DataLoader([1, 2]), TrainConfig())


def test_nothing_is_printed_without_a_terminal(small_net, images, capsys):
    fit(small_net(), images, TrainConfig(epochs=1, batch_size=8))
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    fit(small_net(), images, TrainConfig(epochs=1, batch_size=8), progress=True)
    assert "epoch 1/1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "config", "wanted"),
    [
        ("net", TrainConfig(), "a Module, got a str"),
        (nn.Linear(1, 1), {}, "TrainConfig, got a dict"),
    ],
)
def test_what_is_no_model_or_no_recipe_is_refused(model, config, wanted):
    with pytest.raises(TypeError, match=wanted):
        fit(model, fake_images((3, 8, 8), 4, 4), config)
