"""Pooling, means, sums, products, activations and refusals of native programs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lithe.onexn.kernels import NativeProgram, supports
from lithe.onexn.program import (
    ACTIVATIONS,
    Activate,
    Combine,
    Conv,
    Depthwise,
    Foreign,
    Mean,
    Plane,
    Pool,
    Program,
)

ISAS = [None, "avx2", "sse2"]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["max", "mean"]), st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.booleans(), st.booleans(), st.booleans(),
    st.tuples(st.integers(1, 23), st.integers(1, 23)), st.integers(1, 2), st.sampled_from(ISAS),
)  # fmt: skip
def test_pooling_is_torchs(kit, kind, kernel, stride, pad, ceil, counts, size, threads, isa):
    padding = tuple(k // 2 for k in kernel) if pad else (0, 0)
    assume(all(s + 2 * p >= k for s, p, k in zip(size, padding, kernel)))
    data = torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(1))
    if kind == "max":
        wanted = F.max_pool2d(data, kernel, stride, padding, 1, ceil)
    else:
        wanted = F.avg_pool2d(data, kernel, stride, padding, ceil, counts)
    x, y = Plane(0, 5, *size), Plane(1, 5, *wanted.shape[2:])
    step = Pool(x, y, kind, kernel, stride, padding, counts)
    native = NativeProgram(kit.program_of(step, [x], y), 2, threads, isa)
    kit.agree(kit.run_poisoned(native, data)[0], wanted)


def test_the_largest_of_nan_is_nan(kit):
    data = torch.randn(1, 1, 8, 8)
    for place in range(8):
        own = data.clone()
        own[0, 0, place, 3] = torch.nan
        x, y = Plane(0, 1, 8, 8), Plane(1, 1, 4, 4)
        native = NativeProgram(kit.program_of(Pool(x, y, "max", (3, 3), (2, 2), (1, 1)), [x], y))
        wanted = F.max_pool2d(own, 3, 2, 1)
        assert torch.equal(native.run(own)[0].isnan(), wanted.isnan())


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (7, 7), (13, 9)])
def test_the_mean_of_a_map(size, isa, kit, generator):
    x, y = Plane(0, 33, *size), Plane(1, 33, 1, 1)
    data = torch.randn(2, 33, *size, generator=generator)
    native = NativeProgram(kit.program_of(Mean(x, y), [x], y), 2, 2, isa)
    kit.agree(kit.run_poisoned(native, data)[0], data.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (7, 7), (31, 40)])
def test_sums_products_and_activations(size, activation, isa, kit, generator):
    a, b = Plane(0, 9, *size), Plane(1, 9, *size)
    one, y = Plane(1, 9, 1, 1), Plane(2, 9, *size)
    data, other = (torch.randn(2, 9, *size, generator=generator) * 3 for _ in range(2))
    single, act = other[..., :1, :1].clone(), kit.activate[activation]
    cases = [
        (Combine("add", a, b, y, activation), [a, b], act(data + other)),
        (Combine("multiply", a, b, y, activation), [a, b], act(data * other)),
        (Combine("add", a, one, y, activation), [a, one], act(data + single)),
        (Combine("multiply", a, one, y, activation), [a, one], act(data * single)),
        (Activate(a, replace(y, buffer=1), activation), [a], act(data)),
    ]
    for step, planes, wanted in cases:
        inputs = [data, other if planes[-1] == b else single][: len(planes)]
        native = NativeProgram(kit.program_of(step, planes, step.y), 2, 2, isa)
        kit.agree(kit.run_poisoned(native, *inputs)[0], wanted)


def test_sums_and_activations_in_place(kit, generator):
    a, b = Plane(0, 9, 5, 7), Plane(1, 9, 5, 7)
    data, other = (torch.randn(1, 9, 5, 7, generator=generator) for _ in range(2))
    native = NativeProgram(kit.program_of(Combine("add", a, b, a, "hardswish"), [a, b], a))
    kit.agree(native.run(data, other)[0], F.hardswish(data + other))
    native = NativeProgram(kit.program_of(Activate(a, a, "hardswish"), [a], a))
    kit.agree(native.run(data)[0], F.hardswish(data))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("o", "i", "n"), [(1, 1, 1), (37, 50, 1), (40, 33, 3), (100, 70, 32)])
def test_maps_of_one_pixel(o, i, n, threads, isa, kit, generator):
    for sparsity in (0.0, 0.5, 1.0):
        weight, spread = kit.packed((o, i), n, sparsity, 1, True, generator)
        bias = torch.randn(o, generator=generator)
        x, y, r = Plane(0, i, 1, 1), Plane(1, o, 1, 1), Plane(2, o, 1, 1)
        step = Conv(x, y, weight, bias, activation="hardsigmoid", residual=r)
        native = NativeProgram(kit.program_of(step, [x, r], y), 2, threads, isa)
        data, more = (torch.randn(2, c, 1, 1, generator=generator) for c in (i, o))
        wanted = F.hardsigmoid(F.linear(data[..., 0, 0], spread, bias)[..., None, None] + more)
        kit.agree(kit.run_poisoned(native, data, more)[0], wanted)


def network(kit, generator, foreign: bool = True) -> tuple[Program, torch.Tensor]:
    """Two convolutions with a step of torch between them, in buffers that share a place."""
    first, dense = kit.packed((8, 3, 3, 3), 4, 0.0, 1, False, generator)
    last, sparse = kit.packed((6, 8, 1, 1), 2, 0.5, 1, True, generator)
    x, a, b, y = Plane(0, 3, 12, 10), Plane(1, 8, 12, 10), Plane(2, 8, 12, 10), Plane(3, 6, 12, 10)
    middle = Foreign(torch.tanh, (a,), b) if foreign else Activate(a, b, "hardswish")
    steps = (Conv(x, a, first, padding=(1, 1), activation="relu"), middle, Conv(b, y, last))
    shapes = tuple((p.channels, p.height, p.width) for p in (x, a, b, y))
    program = Program(steps, shapes, (0, 368, 1328, 0), 2288, (x,), (y,))

    def wanted(data: torch.Tensor) -> torch.Tensor:
        middle = F.relu(F.conv2d(data, dense, padding=1))
        return F.conv2d(torch.tanh(middle) if foreign else F.hardswish(middle), sparse)

    return program, wanted


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("foreign", [False, True])
def test_a_program_of_several_steps(threads, foreign, kit, generator):
    program, wanted = network(kit, generator, foreign)
    program = replace(program, offsets=(0, 368, 1328, 2288), size=3008)
    native = NativeProgram(program, 2, threads)
    for _ in range(3):
        data = torch.randn(2, 3, 12, 10, generator=generator)
        kit.agree(native.run(data)[0], wanted(data))
    strided = data.to(memory_format=torch.channels_last)
    kit.agree(native.run(strided)[0], wanted(data))


def test_a_launch_computes_again_what_lies_in_the_arena(kit, generator):
    a, b, y = (Plane(k, 9, 5, 7) for k in range(3))
    native = NativeProgram(kit.program_of(Combine("add", a, b, y), [a, b], y))
    data = torch.randn(1, 9, 5, 7, generator=generator)
    (first,) = native.run(data, data)
    native._view(y).zero_()
    native.launch()
    assert torch.equal(native._view(y), first)
    program, _ = network(kit, generator)
    program = replace(program, offsets=(0, 368, 1328, 2288), size=3008)
    with pytest.raises(ValueError, match="no single native call"):
        NativeProgram(program).launch()


def test_outputs_are_new_and_shapes_are_checked(kit, generator):
    program, _ = network(kit, generator)
    program = replace(program, offsets=(0, 368, 1328, 2288), size=3008)
    native = NativeProgram(program)
    data = torch.randn(1, 3, 12, 10, generator=generator)
    first = native.run(data)[0]
    kept = first.clone()
    native.run(data + 1)
    assert torch.equal(first, kept)
    with pytest.raises(ValueError, match=r"input of shape \(2, 3, 12, 10\)"):
        native.run(data.expand(2, 3, 12, 10))
    with pytest.raises(ValueError, match="2 inputs, the program has 1"):
        native.run(data, data)
    with pytest.raises(TypeError, match=r"torch\.float64"):
        native.run(data.double())
    with pytest.raises(ValueError, match="threads is 0"):
        NativeProgram(program, threads=0)
    with pytest.raises(ValueError, match="batch is True"):
        NativeProgram(program, batch=True)
    with pytest.raises(ValueError, match="instruction set 'mmx'"):
        NativeProgram(program, isa="mmx")


def test_what_cannot_be_computed_says_why(kit, generator):
    weight, _ = kit.packed((6, 4, 3, 3), 2, 0.5, 1, False, generator)
    x, y = Plane(0, 4, 9, 9), Plane(1, 6, 9, 9)
    good = Conv(x, y, weight, padding=(1, 1))
    assert supports(good) is None
    small = weight.values.to(torch.float64)
    wrong = {
        "the window makes": replace(good, padding=(0, 0)),
        "torch.float64": replace(good, weight=replace(weight, values=small)),
        "is not one of": replace(good, activation="gelu"),
        "residual": replace(good, residual=x),
        "bias": replace(good, bias=torch.zeros(5)),
        "channels by a weight": replace(good, x=replace(x, channels=3)),
        "column": replace(good, weight=replace(weight, columns=weight.columns + 9)),
        "computed by torch": Foreign(torch.tanh, (x,), y),
        "channels": Depthwise(x, y, torch.zeros(6, 1, 3, 3), padding=(1, 1)),
        "more than half": Pool(x, replace(x, buffer=1), "max", (1, 1), (1, 1), (1, 1)),
        "combination": Combine("divide", x, x, x),
        "into": Mean(x, y),
    }
    for why, step in wrong.items():
        assert why in (supports(step) or ""), why
    program = kit.program_of(good, [x], y)
    with pytest.raises(ValueError, match="it reads"):
        NativeProgram(replace(program, offsets=(16, 32)))
    with pytest.raises(ValueError, match="buffer 1 at 16001"):
        NativeProgram(replace(program, offsets=(16, 16001)))
    with pytest.raises(ValueError, match="there is no buffer 5"):
        NativeProgram(replace(program, outputs=(replace(y, buffer=5),)))
    with pytest.raises(ValueError, match="does not fit"):
        NativeProgram(replace(program, outputs=(replace(y, start=1),)))
