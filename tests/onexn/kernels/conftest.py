"""Programs of one step, with memory poisoned around and inside them."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lithe.onexn.grid import Grid
from lithe.onexn.kernels import NativeProgram
from lithe.onexn.kernels.memory import SLACK
from lithe.onexn.packed import PackedWeight, pack_weight
from lithe.onexn.program import Plane, Program, Step

ACTIVATE: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda y: y,
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
}


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Objects of a run are kept apart from the user's, unless one is named."""
    before = os.environ.get("LITHE_CACHE")
    os.environ["LITHE_CACHE"] = before or str(tmp_path_factory.mktemp("kernels"))
    yield
    if before is None:
        del os.environ["LITHE_CACHE"]


@pytest.fixture(scope="session")
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def padded(floats: int) -> int:
    return -(-floats // 16) * 16


def program_of(step: Step, inputs: list[Plane], output: Plane) -> Program:
    """One step over buffers that are laid out one after the other, a gap between them."""
    planes = sorted({p.buffer: p for p in [*inputs, output]}.items())
    shapes, offsets, place = [], [], 16
    for _, plane in planes:
        shapes.append((plane.channels + plane.start, plane.height, plane.width))
        offsets.append(place)
        place += padded((plane.channels + plane.start) * plane.height * plane.width) + 16
    return Program((step,), tuple(shapes), tuple(offsets), place, tuple(inputs), (output,))


def run_poisoned(native: NativeProgram, *inputs: Tensor) -> list[Tensor]:
    """Run with NaN in all memory that is not an input; refuse writes outside the outputs."""
    floats = native._arena.base
    floats[:] = float("nan")
    native._scratch.base[:] = float("nan")
    outputs = native.run(*inputs)
    touched = torch.from_numpy(floats.copy())
    start = (native._arena.ctypes.data - floats.ctypes.data) // 4
    for image in range(native.batch):
        for plane in {*native.program.inputs, *native.program.outputs}:
            size = plane.height * plane.width
            at = start + image * native.program.size + native.program.offsets[plane.buffer]
            at += plane.start * size
            touched[at : at + plane.channels * size] = float("nan")
    assert bool(touched.isnan().all()), "something was written outside the output"
    assert start >= SLACK
    return list(outputs)


def agree(ours: Tensor, wanted: Tensor) -> None:
    scale = max(float(wanted.abs().max()), 1e-30)
    assert ours.shape == wanted.shape
    assert float((ours - wanted).abs().max()) <= 1e-5 * scale


def packed(
    shape: tuple[int, ...], n: int, sparsity: float, groups: int, ordered: bool, generator
) -> tuple[PackedWeight, Tensor]:
    """A weight with random blocks kept, and the same one spread out."""
    weight = torch.randn(shape, generator=generator)
    width, order = shape[0] // groups, None
    if ordered:
        parts = [torch.randperm(width, generator=generator) + g * width for g in range(groups)]
        order = torch.cat(parts)
    grid = Grid(weight.shape, n, order, groups)
    mask = grid.mask(torch.rand(grid.blocks, generator=generator) >= sparsity)
    return pack_weight(weight, mask, n, order, groups), weight * mask


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """What tests of kernels share."""
    own = (ACTIVATE, agree, packed, program_of, run_poisoned)
    names = ("activate", "agree", "packed", "program_of", "run_poisoned")
    return SimpleNamespace(**dict(zip(names, own)))
