"""A packed network as a module: what it takes and refuses, gradients, threads, copies."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from lithe import onexn
from lithe.onexn import pack
from lithe.onexn.engine import network as engine


@pytest.fixture(scope="module")
def model(judge):
    layers = [
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 12, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(12, 5),
    ]  # fmt: skip
    net = judge.randomise(nn.Sequential(*layers))
    return onexn.prune(net, 4, 0.5, ends=True)


@pytest.fixture(scope="module")
def packed(model, judge):
    return pack(model, judge.images(1, 3, 16, 16), threads=1, tune=False)


def test_other_shapes_and_batches_get_programs_of_their_own(judge, model, packed):
    for shape in [(1, 3, 16, 16), (4, 3, 16, 16), (1, 3, 9, 21), (2, 3, 1, 1), (1, 3, 16, 16)]:
        x = judge.images(*shape)
        judge.close(packed(x), model(x).detach())


def test_only_so_many_shapes_are_kept(judge, model):
    packed = pack(model, judge.images(1, 3, 6, 6), threads=1, tune=False)
    for side in range(7, 8 + engine.SHAPES):
        packed(judge.images(1, 3, side, 6))
    assert len(packed._runs) == engine.SHAPES
    x = judge.images(1, 3, 6, 6)
    judge.close(packed(x), model(x).detach())


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (lambda: torch.zeros(1, 4, 16, 16), ValueError, r"\(batch, 3, any, any\)"),
        (lambda: torch.zeros(3, 16, 16), ValueError, r"\(batch, 3, any, any\)"),
        (lambda: torch.zeros(0, 3, 16, 16), ValueError, "holds nothing"),
        (lambda: torch.zeros(1, 3, 0, 16), ValueError, "holds nothing"),
        (lambda: torch.zeros(1, 3, 16, 16, dtype=torch.float64), TypeError, r"x\.float\(\)"),
        (lambda: torch.zeros(1, 3, 16, 16, dtype=torch.bfloat16), TypeError, "bfloat16"),
        (lambda: torch.zeros(1, 3, 16, 16, dtype=torch.uint8), TypeError, "uint8"),
        (lambda: torch.zeros(1, 3, 16, 16).to_sparse(), TypeError, "sparse"),
    ],
)
def test_inputs_are_refused_at_the_door(packed, given, error, says):
    with pytest.raises(error, match=says):
        packed(given())


def test_other_numbers_and_kinds_of_inputs_are_refused(packed, judge):
    x = judge.images(1, 3, 16, 16)
    with pytest.raises(TypeError, match="2 inputs given; the network takes 1"):
        packed(x, x)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"example": torch.zeros(1, 3, 8, 8).double()}, TypeError, "float32"),
        ({"example": [[1.0]]}, TypeError, "not a torch.Tensor"),
        ({"example": ()}, ValueError, "empty"),
        ({"example": torch.zeros(8)}, ValueError, "batch"),
        ({"example": torch.zeros(1, 5, 8, 8)}, ValueError, "does not run on an input"),
        ({"example": (torch.zeros(1, 3, 8, 8),) * 2}, ValueError, "takes 1 inputs"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"threads": 1.5}, ValueError, "threads is 1.5"),
    ],
)
def test_bad_requests_are_refused(model, arguments, error, says):
    request = {"example": torch.zeros(1, 3, 8, 8), "tune": False} | arguments
    with pytest.raises(error, match=says):
        pack(model, **request)


def test_models_that_cannot_be_packed_are_refused(judge):
    x = judge.images(1, 3, 8, 8)

    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="depends on the data"):
        pack(Branches(), x)
    with pytest.raises(ValueError, match=r"weight is torch\.float64"):
        pack(nn.Conv2d(3, 4, 1).double(), x)
    with pytest.raises(TypeError, match="not a torch"):
        pack(torch.relu, x)
    pruned = onexn.prune(nn.Conv2d(3, 4, 1), 2, 0.5, ends=True)
    with torch.no_grad():
        pruned.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="NaN"):
        pack(pruned, x)


def test_outputs_are_new_tensors(packed, judge):
    one, two = judge.images(2, 1, 3, 16, 16)
    first = packed(one)
    kept = first.clone()
    packed(two)
    assert torch.equal(first, kept)
    first.fill_(7.0)
    assert torch.equal(packed(one), kept)
    assert not kept.requires_grad


def test_inputs_in_any_layout(packed, model, judge):
    x = judge.images(2, 16, 3, 16).transpose(1, 2)[:, :, 1:9, ::2]
    judge.close(packed(x), model(x).detach())
    x = judge.images(2, 3, 16, 16).to(memory_format=torch.channels_last)
    judge.close(packed(x), model(x).detach())


def test_the_gradient_of_an_input_goes_through_torch(packed, model, judge):
    x = judge.images(2, 3, 16, 16, seed=8).requires_grad_()  # no activation at a kink
    ours, theirs = (torch.autograd.grad(net(x).square().sum(), x)[0] for net in (packed, model))
    judge.close(ours, theirs)
    with torch.no_grad():
        assert not packed(x).requires_grad


def test_it_stays_in_eval_mode_and_takes_no_gradient(packed, judge):
    assert not packed.train().training
    assert not any(module.training for module in packed.modules())
    assert not any(parameter.requires_grad for parameter in packed.parameters())


def test_the_model_is_left_as_it_was(model, judge):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    pack(model.train(), judge.images(1, 3, 8, 8), tune=False)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    model.eval()
    assert flags == [module.training for module in model.modules()]


def test_calls_from_several_threads(packed, model, judge):
    images = judge.images(12, 1, 3, 16, 16)
    wanted = [model(x).detach() for x in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(packed, images))
    for one, other in zip(found, wanted):
        judge.close(one, other)


def test_two_threads_agree_and_leave_those_of_torch_alone(model, judge):
    before = torch.get_num_threads()
    x = judge.images(2, 3, 16, 16)
    two = pack(model, x, threads=2, tune=False)
    judge.close(two(x), model(x).detach())
    assert torch.get_num_threads() == before
    assert two.report.threads == 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_run(packed, model, judge, copied):
    x = judge.images(1, 3, 16, 16)
    judge.close(copied(packed)(x), model(x).detach())


def test_packing_again_changes_nothing(packed, judge):
    x = judge.images(2, 3, 16, 16)
    again = pack(packed, x, tune=False)
    assert torch.equal(again(x), packed(x))


def test_new_weights_are_seen(model, judge):
    x = judge.images(1, 3, 16, 16)
    packed = pack(model, x, threads=1, tune=False)
    state = {key: value.clone() for key, value in packed.state_dict().items()}
    before = packed(x)
    state["network.7.bias"] += 1
    packed.load_state_dict(state)
    judge.close(packed(x), before + 1)


def test_moves_that_kernels_cannot_follow_are_refused(packed, judge):
    x = judge.images(1, 3, 16, 16)
    before = packed(x)
    for move in (packed.double, packed.half, lambda: packed.to("meta")):
        with pytest.raises(TypeError, match="float32 on the CPU"):
            move()
    assert torch.equal(packed.float().cpu()(x), before)


def test_export_and_compile_see_the_layers(packed, model, judge):
    x = judge.images(2, 3, 16, 16)
    wanted = model(x).detach()
    program = torch.export.export(packed, (x,))
    judge.close(program.module()(x).detach(), wanted)
    compiled = torch.compile(packed, backend="eager")
    with torch.no_grad():
        judge.close(compiled(x), wanted)


def test_the_report_prints_every_layer(packed):
    text = str(packed.report)
    assert all(row.name in text for row in packed.report.layers)
    assert "3 threads" not in text
    assert [row.name for row in packed.report.layers] == ["0", "3", "7"]
    assert all(row.storage.packed > 0 for row in packed.report.layers)
