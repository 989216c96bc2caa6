"""The smaller module is a good module: copied, trained, exported, loaded and cut again."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lithe import channels
from lithe.vision import torchvision


class Shuffled(nn.Module):
    """A forward with written sizes, so that the cut one is a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.b, self.fc = nn.Conv2d(4, 6, 3, padding=1), nn.Linear(10, 4)
        self.idle = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        x = self.norm(self.a(x)).relu()
        x = x.view(n, 2, 4, h, w).transpose(1, 2).reshape(n, 8, h, w)
        left, right = x.chunk(2, 1)
        return self.fc(torch.cat([left, self.b(right)], 1).mean((2, 3)))


class Plain(Shuffled):
    def __init__(self) -> None:
        super().__init__()
        self.b, self.fc = nn.Conv2d(8, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.norm(self.a(x)).relu()).mean((2, 3)))


@pytest.fixture
def x(oracle) -> Tensor:
    return torch.randn(3, 3, 8, 8, generator=oracle.generator(0))


@pytest.fixture(params=[Shuffled, Plain])
def pair(request, oracle, x) -> tuple[nn.Module, nn.Module]:
    model = oracle.randomise(request.param())
    return model, channels.keep(model, {"a": [7, 0, 2, 3, 5]}, x[:1])


def test_result_keeps_names_and_drops_weights(pair):
    model, smaller = pair
    assert list(smaller.state_dict()) == list(model.state_dict())
    assert smaller.a.out_channels == smaller.norm.num_features == 5
    assert torch.equal(smaller.a.weight, model.a.weight[[7, 0, 2, 3, 5]])
    assert torch.equal(smaller.norm.running_var, model.norm.running_var[[7, 0, 2, 3, 5]])
    assert model.a.out_channels == 8


def test_result_survives_a_deep_copy(pair, x):
    smaller = pair[1]
    other = copy.deepcopy(copy.deepcopy(smaller))
    assert list(other.state_dict()) == list(smaller.state_dict())
    assert torch.equal(other(x), smaller(x))
    other.a.weight.data.zero_()
    assert not torch.equal(other(x), smaller(x))


def test_result_trains_and_reloads(pair, x, oracle):
    smaller = pair[1].train()
    smaller(x).square().sum().backward()
    assert smaller.a.weight.grad.abs().sum() > 0
    before = smaller.norm.running_mean.clone()
    smaller(x + 1)
    assert not torch.equal(before, smaller.norm.running_mean)
    twin = copy.deepcopy(smaller)
    oracle.randomise(twin, 9)
    twin.load_state_dict(smaller.state_dict())
    assert torch.equal(twin.eval()(x), smaller.eval()(x))


def test_result_can_be_cut_again(pair, x, oracle):
    smaller = pair[1]
    example = x[:1]
    twin = channels.masked(smaller, {"a": [0, 1, 4], "b": [1, 2, 5]}, example)
    again = channels.keep(smaller, {"a": [0, 1, 4], "b": [1, 2, 5]}, example)
    assert again.a.out_channels == 3
    oracle.close(again(x), twin(x))
    moved = channels.permute(again, {"a": [2, 0, 1]}, example)
    oracle.close(moved(x), again(x))


def test_cuts_compose_with_orders(x, oracle):
    model = oracle.randomise(Shuffled())
    example = x[:1]
    sorted_ = channels.keep(model, {"a": [0, 2, 3, 5, 7]}, example)
    moved = channels.permute(sorted_, {"a": [4, 0, 1, 2, 3]}, example)
    direct = channels.keep(model, {"a": [7, 0, 2, 3, 5]}, example)
    assert torch.equal(moved.a.weight, direct.a.weight)
    oracle.close(moved(x), direct(x))


def test_order_is_undone_by_its_inverse(x, oracle):
    model = oracle.randomise(Plain())
    order = torch.randperm(8, generator=oracle.generator(1))
    there = channels.permute(model, {"a": order}, x[:1])
    back = channels.permute(there, {"a": order.argsort()}, x[:1])
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, back.state_dict()[name])


def test_result_runs_at_other_sizes_and_batches(pair, oracle):
    model, smaller = pair
    x = torch.randn(5, 3, 12, 6, generator=oracle.generator(3))
    twin = channels.masked(model, {"a": [0, 2, 3, 5, 7]}, x[:1, :, :8, :6])
    oracle.close(smaller(x), twin(x))


def test_result_keeps_dtype_and_frozen_parameters(x, oracle):
    model = oracle.randomise(Plain()).double()
    model.a.weight.requires_grad_(False)
    smaller = channels.keep(model, {"a": [1, 2]}, x[:1].double())
    assert smaller.a.weight.dtype == torch.float64
    assert not smaller.a.weight.requires_grad
    assert smaller.a.bias.requires_grad


def test_shared_weights_stay_shared(x, oracle):
    class Tied(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.b = nn.Conv2d(8, 8, 3, padding=1)
            self.again, self.fc = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 4)
            self.again.weight = self.b.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.again(self.b(self.a(x)).relu()).mean((2, 3)))

    smaller = channels.keep(oracle.randomise(Tied()), {"a": [0, 3, 4]}, x[:1])
    assert smaller.again.weight is smaller.b.weight
    assert tuple(smaller.b.weight.shape) == (3, 3, 3, 3)


def test_training_only_randomness_survives_in_graphs(x, oracle):
    """Dropout modules and stochastic depth still act when a rewritten graph trains."""

    class Deep(Shuffled):
        def __init__(self) -> None:
            super().__init__()
            self.depth = torchvision().models.convnext.StochasticDepth(0.5, "row")

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.depth(x))

    smaller = channels.keep(oracle.randomise(Deep()), {"a": [0, 3, 4, 5, 6]}, x[:1])
    torch.manual_seed(0)
    outputs = [smaller.train()(x) for _ in range(4)]
    assert not all(torch.equal(outputs[0], output) for output in outputs)
    assert torch.equal(smaller.eval()(x), smaller(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_result_exports_to_onnx(pair, x, tmp_path, oracle):
    onnxruntime = pytest.importorskip("onnxruntime")
    smaller, path = pair[1], tmp_path / "net.onnx"
    torch.onnx.export(smaller, (x,), str(path), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(got, smaller(x).detach().numpy(), atol=1e-5)
