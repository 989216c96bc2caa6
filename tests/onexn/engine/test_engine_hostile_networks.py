"""Networks that would be wrong without a word: overwritten aliases, data read, hooks, settings."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from lithe import onexn
from lithe.onexn.engine import choice, pack


class _Net(nn.Module):
    """Two convolutions and whatever is done between them."""

    def __init__(self, between: Callable[[_Net, Tensor], Any]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.between(self, x)


def _function_in_place(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    torch.sigmoid_(y)
    return net.b(y)


def _data(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    y.data.mul_(3)
    return net.b(y)


def _same_dtype(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    y.float().mul_(3)
    return net.b(y)


def _alias(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    z = y
    y += 1
    return net.b(z) + y


def _part(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    z = y[:, 1:3]
    z += 1
    return net.b(y)


def _power(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    before = torch.tanh(y)
    return torch.sin(before) + net.b(operator.ipow(y, 2))


def _sizes(net: _Net, x: Tensor) -> Tensor:
    height = x.shape[2]
    other = height
    other += 1
    return net.a(x).reshape(-1, 8, height, x.shape[3]) * other


def _hooked(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    net.relu(y)
    return net.b(y)


def _item(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    return net.b(y) / y.abs().max().item()


def _list(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    return net.b(y) * y.mean((0, 2, 3)).tolist()[0]


def _count(net: _Net, x: Tensor) -> Tensor:
    y = net.a(x)
    return net.b(y) * (y > 0).nonzero().shape[0]


def _equal(net: _Net, x: Tensor) -> Tensor:
    return net.a(x) + torch.equal(x, x.abs())


def _named(net: _Net, x: Tensor) -> Tensor:
    y = net.drop(input=net.relu(input=net.a(input=x)))
    return net.b(torch.cat(torch.chunk(input=y, chunks=2, dim=1), 1))


ODD = [_function_in_place, _data, _same_dtype, _alias, _part, _power, _sizes, _hooked]
ODD += [_item, _list, _count, _equal, _named]


@pytest.mark.parametrize("between", ODD, ids=lambda f: f.__name__.strip("_"))
def test_what_is_overwritten_or_read_is_never_forgotten(judge, between):
    model = judge.randomise(_Net(between))
    if between is _hooked:
        model.relu.register_forward_hook(lambda *_: None)
    packed = pack(model, torch.rand(2, 3, 6, 6), threads=1, tune=False)
    for x in (judge.images(2, 3, 6, 6), judge.images(2, 3, 6, 6).abs()):
        with torch.no_grad():
            judge.close(packed(x), model(x.clone()))


def test_what_depends_on_data_runs_by_torch_and_says_why(judge):
    packed = pack(judge.randomise(_Net(_item)), torch.rand(2, 3, 6, 6), tune=False)
    assert packed.report.runs == "dense"
    assert "without the values of its input" in packed.report.why


def test_a_tiny_divisor_is_not_turned_over(judge):
    model = judge.randomise(_Net(lambda net, x: net.a(x * 1e-30) / 1e-39))
    model.a.bias.data.zero_()
    x = judge.images(1, 3, 6, 6)
    with torch.no_grad():
        judge.close(pack(model, x, tune=False)(x), model(x))


@pytest.mark.parametrize("make", [lambda m, x: pack(m, x, tune=False), lambda m, _: m])
def test_hooks_of_pruned_layers_still_run(judge, make):
    model = judge.randomise(_Net(lambda net, x: net.b(F.relu(net.a(x)))))
    pruned = onexn.prune(model, 4, 0.5, ends=True).eval()
    pruned.b.register_forward_hook(lambda layer, inputs, output: output * 3 + 1)
    pruned.b.register_forward_pre_hook(lambda layer, inputs: (inputs[0] + 1,))
    x = judge.images(2, 3, 6, 6)
    with torch.no_grad():
        wanted = pruned(x)
        judge.close(make(onexn.compress(pruned), x)(x), wanted)
        judge.close(make(pruned, x)(x), wanted)


class _Encoder(nn.Module):
    """torch computes the encoder layer whole, and reads the weights inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.encoder = (
            nn.Conv2d(3, 16, 3, 3),
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        )
        self.linear, self.last = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.encoder(self.stem(x).flatten(2).transpose(1, 2))
        return self.last(F.gelu(self.linear(tokens.mean(1))))


def test_pruned_layers_inside_an_encoder_layer(judge):
    pruned = onexn.prune(_Encoder().eval(), 4, 0.5).eval()
    assert "encoder.linear1" in onexn.masked_layers(pruned)
    x = judge.images(2, 3, 9, 9)
    with torch.no_grad():
        judge.close(pack(pruned, x, tune=False)(x), pruned(x))


def test_what_the_caller_set_for_tensors_changes_nothing(judge):
    model = judge.randomise(_Net(lambda net, x: net.b(F.relu(net.a(x) * 0.3 + 1))))
    x = judge.images(2, 3, 6, 6)
    with torch.no_grad():
        wanted = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            packed = pack(model, x, tune=False)
            assert packed.report.runs == "packed"
            judge.close(packed(x), wanted)
        torch.set_default_dtype(torch.float64)
        try:
            judge.close(pack(model, x, tune=False)(x), wanted)
        finally:
            torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_inputs_that_carry_more_than_values(judge):
    model = judge.randomise(_Net(lambda net, x: net.b(F.relu(net.a(x)))))
    x = judge.images(2, 3, 6, 6)
    packed = pack(model, x, tune=False)
    with torch.no_grad():
        judge.close(torch.func.vmap(lambda one: packed(one[None])[0])(x), model(x))
    with forward_ad.dual_level(), pytest.raises(TypeError, match="differentiated backward only"):
        packed(forward_ad.make_dual(x, torch.ones_like(x)))
    for wrong in (None, "a", [x]):
        with pytest.raises(TypeError, match=r"not a torch\.Tensor"):
            packed(wrong)


def test_weights_that_are_not_numbers_are_refused_by_name(judge):
    model = judge.randomise(_Net(lambda net, x: net.b(net.a(x))))
    model.b.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="b: its weight holds NaN"):
        pack(model, judge.images(1, 3, 6, 6), tune=False)


def test_more_threads_than_any_machine_has_are_refused(judge):
    model = judge.randomise(_Net(lambda net, x: net.b(net.a(x))))
    with pytest.raises(ValueError, match="threads is 1000000000"):
        pack(model, judge.images(1, 3, 6, 6), threads=10**9, tune=False)


def test_a_remembered_time_without_its_rival_is_measured_again(judge, monkeypatch):
    model = judge.randomise(_Net(lambda net, x: net.b(F.relu(net.a(x)))))
    x = judge.images(1, 3, 6, 6)
    for left in ({}, {"dense": 1.0}):
        monkeypatch.setattr(choice, "recall", lambda keys, left=left: dict.fromkeys(keys, left))
        monkeypatch.setattr(choice, "remember", lambda measured: True)
        with torch.no_grad():
            judge.close(pack(model, x, threads=1)(x), model(x))


def test_a_packed_linear_layer_of_no_rows():
    layer = onexn.PackedLinear(torch.randn(6, 4), None, torch.ones(6, 4, dtype=torch.bool), 2)
    assert layer(torch.zeros(0, 4)).shape == (0, 6)
    assert layer(torch.zeros(2, 0, 4)).shape == (2, 0, 6)
    with pytest.raises(ValueError, match="must be"):
        layer(torch.tensor(1.0))
