"""Native convolutions equal torch's, whatever their shape."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lithe.onexn.kernels import NativeProgram, binding, host
from lithe.onexn.kernels.geometry import Window
from lithe.onexn.kernels.rolling import rolls
from lithe.onexn.program import ACTIVATIONS, Conv, Depthwise, Plane

ISAS = [None, "avx2", "sse2"]


def out(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@st.composite
def cases(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    kernel = draw(st.sampled_from([1, 1, 3, 5, 7])), draw(st.sampled_from([1, 3]))
    case = {
        "groups": groups,
        "i": draw(st.integers(1, 40 // groups)),
        "o": groups * draw(st.integers(1, 40 // groups)),
        "kernel": kernel if draw(st.booleans()) else (kernel[0], kernel[0]),
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "padding": (draw(st.integers(0, 3)), draw(st.integers(0, 3))),
        "dilation": (draw(st.integers(1, 2)),) * 2,
        "n": draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 32])),
        "sparsity": draw(st.sampled_from([0.0, 0.5, 0.9, 1.0])),
        "ordered": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "residual": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, *ACTIVATIONS])),
        "batch": draw(st.integers(1, 3)),
        "threads": draw(st.integers(1, 2)),
        "isa": draw(st.sampled_from(ISAS)),
        "long": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }
    # A few maps rather than all: each new combination of vectors is compiled.
    sizes = []
    for axis in (0, 1):
        reach = case["dilation"][axis] * (case["kernel"][axis] - 1) + 1
        least = max(1, reach - 2 * case["padding"][axis])
        sizes.append(max(least, draw(st.sampled_from([1, 2, 5, 7, 8, 13, 16, 23]))))
    return {**case, "size": tuple(sizes)}


def moves(case) -> tuple:
    return case["stride"], case["padding"], case["dilation"]


def target(case) -> tuple[int, int]:
    sizes = zip(case["size"], case["kernel"], *moves(case))
    return tuple(out(*numbers) for numbers in sizes)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_convolution_is_torchs(kit, case):
    generator = torch.Generator().manual_seed(case["seed"])
    shape = (case["o"], case["i"], *case["kernel"])
    weight, spread = kit.packed(
        shape, case["n"], case["sparsity"], case["groups"], case["ordered"], generator
    )
    bias = torch.randn(case["o"], generator=generator) if case["bias"] else None
    x = Plane(0, case["i"] * case["groups"], *case["size"], start=1)
    y, r = Plane(1, case["o"], *target(case), start=2), Plane(2, case["o"], *target(case))
    residual = r if case["residual"] else None
    step = Conv(x, y, weight, bias, *moves(case), case["activation"], residual)
    planes = [x, r] if residual else [x]
    # Small maps in the order of large ones too.
    least = {"FEW": 10**6, "WIDE": 0, "LONG": 0} if case["long"] else {"LONG": binding.LONG}
    with patch.multiple(binding, **least):
        native = NativeProgram(
            kit.program_of(step, planes, y), case["batch"], case["threads"], case["isa"]
        )
    values = [
        torch.randn(case["batch"], p.channels, p.height, p.width, generator=generator)
        for p in planes
    ]
    wanted = F.conv2d(values[0], spread, bias, *moves(case), case["groups"])
    wanted = wanted + values[1] if residual else wanted
    (ours,) = kit.run_poisoned(native, *values)
    kit.agree(ours, kit.activate[case["activation"]](wanted))


@settings(max_examples=50, deadline=None)
@given(cases())
def test_a_depthwise_convolution_is_torchs(kit, case):
    generator = torch.Generator().manual_seed(case["seed"])
    channels = case["o"]
    weight = torch.randn(channels, 1, *case["kernel"], generator=generator)
    bias = torch.randn(channels, generator=generator) if case["bias"] else None
    x = Plane(0, channels, *case["size"])
    y, r = Plane(1, channels, *target(case)), Plane(2, channels, *target(case))
    residual = r if case["residual"] else None
    step = Depthwise(x, y, weight, bias, *moves(case), case["activation"], residual)
    planes = [x, r] if residual else [x]
    native = NativeProgram(
        kit.program_of(step, planes, y), case["batch"], case["threads"], case["isa"]
    )
    values = [
        torch.randn(case["batch"], p.channels, p.height, p.width, generator=generator)
        for p in planes
    ]
    wanted = F.conv2d(values[0], weight, bias, *moves(case), channels)
    wanted = wanted + values[1] if residual else wanted
    (ours,) = kit.run_poisoned(native, *values)
    kit.agree(ours, kit.activate[case["activation"]](wanted))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("size", [(14, 14), (28, 28), (56, 56), (9, 112), (15, 15), (23, 7)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_depthwise_layers_of_mobile_networks(size, kernel, stride, isa, generator, kit):
    weight, bias = (torch.randn(s, generator=generator) for s in ((5, 1, kernel, kernel), (5,)))
    data = torch.randn(2, 5, *size, generator=generator)
    wanted = F.conv2d(data, weight, bias, stride, kernel // 2, 1, 5)
    x, y = Plane(0, 5, *size), Plane(1, 5, *wanted.shape[2:])
    step = Depthwise(x, y, weight, bias, (stride,) * 2, (kernel // 2,) * 2)
    native = NativeProgram(kit.program_of(step, [x], y), batch=2, isa=isa)
    kit.agree(kit.run_poisoned(native, data)[0], wanted)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [4, 5])
def test_a_layer_of_long_rows_and_few_blocks(n, threads, generator, kit):
    weight, spread = kit.packed((70, 9, 1, 1), n, 0.5, 1, True, generator)
    x, y = Plane(0, 9, 97, 95), Plane(1, 70, 97, 95)
    assert binding.LONG < 97 * 95
    assert binding.WIDE < 4 * 70 * 97 * 95
    data = torch.randn(1, 9, 97, 95, generator=generator)
    native = NativeProgram(kit.program_of(Conv(x, y, weight), [x], y), 1, threads)
    kit.agree(kit.run_poisoned(native, data)[0], F.conv2d(data, spread))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9), st.sampled_from([4, 5, 7, 8, 13, 16, 17, 31, 56, 112, 113, 240]),
    st.integers(1, 2), st.sampled_from([None, *ACTIVATIONS]), st.integers(1, 2),
    st.integers(0, 99),
)  # fmt: skip
def test_maps_that_are_walked_down(kit, rows, columns, stride, activation, threads, seed):
    generator = torch.Generator().manual_seed(seed)
    weight, bias = (torch.randn(s, generator=generator) for s in ((5, 1, 3, 3), (5,)))
    data = torch.randn(2, 5, rows * stride, columns * stride - seed % stride, generator=generator)
    wanted = F.conv2d(data, weight, bias, stride, 1, 1, 5)
    x, y = Plane(0, 5, *data.shape[2:]), Plane(1, 5, *wanted.shape[2:])
    own = Window(data.shape[2:], wanted.shape[2:], (3, 3), (stride,) * 2, (1, 1))
    assert rolls(own, host()) == (host().registers == 32)
    step = Depthwise(x, y, weight, bias, (stride,) * 2, (1, 1), activation=activation)
    native = NativeProgram(kit.program_of(step, [x], y), 2, threads)
    kit.agree(kit.run_poisoned(native, data)[0], kit.activate[activation](wanted))


def test_nan_of_the_input_stays_and_only_there(generator, kit):
    weight, spread = kit.packed((6, 4, 3, 3), 2, 0.0, 1, False, generator)
    x, y = Plane(0, 4, 9, 9), Plane(1, 6, 9, 9)
    step = Conv(x, y, weight, None, padding=(1, 1), activation="relu")
    data = torch.randn(1, 4, 9, 9, generator=generator)
    data[0, 0, 4, 4] = torch.nan
    (ours,) = NativeProgram(kit.program_of(step, [x], y)).run(data)
    wanted = F.relu(F.conv2d(data, spread, padding=1))
    assert torch.equal(ours.isnan(), wanted.isnan())
    assert int(ours.isnan().sum()) == 6 * 9
