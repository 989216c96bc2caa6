"""Memory of the kernels: enough for every thread, and nobody else's."""

from __future__ import annotations

import os

import pytest
import torch
from torch.nn import functional as F

from lithe.onexn.kernels import NativeProgram, host
from lithe.onexn.kernels.binding import _line, scratch_floats
from lithe.onexn.kernels.geometry import window
from lithe.onexn.kernels.masks import InPlace
from lithe.onexn.kernels.memory import aligned
from lithe.onexn.program import Depthwise, Plane, Program


def thin(height: int, width: int, kernel: int, stride: int = 2) -> Depthwise:
    sides = [(size + 2 * (kernel // 2) - kernel) // stride + 1 for size in (height, width)]
    weight = torch.randn(3, 1, kernel, kernel, generator=torch.Generator().manual_seed(0))
    x, y = Plane(0, 3, height, width), Plane(1, 3, *sides)
    return Depthwise(x, y, weight, None, (stride,) * 2, (kernel // 2,) * 2)


@pytest.mark.parametrize("height", [1, 2, 3, 17])
@pytest.mark.parametrize("width", [8, 70, 1000, 6000, 40000])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_every_thread_has_the_scratch_that_a_depthwise_layer_writes(height, width, kernel):
    step = thin(height, width, kernel)
    own = InPlace(window(step), host())
    for threads in (1, 2, 4, 16):
        assert threads * _line(own.scratch) <= scratch_floats(step, 1, threads, host())


def test_a_thin_wide_map_is_computed():
    step = thin(1, 10000, 3)
    shapes = [(p.channels, p.height, p.width) for p in (step.x, step.y)]
    offsets = (0, 3 * 10000)
    plan = Program((step,), tuple(shapes), offsets, 3 * 15000 + 16, (step.x,), (step.y,))
    image = torch.randn(1, 3, 1, 10000, generator=torch.Generator().manual_seed(1))
    wanted = F.conv2d(image, step.weight, None, 2, 1, groups=3)
    for _ in range(5):
        (found,) = NativeProgram(plan, threads=2).run(image)
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_write_to_its_parent():
    large = aligned(1_000_000)
    child = os.fork()
    if child == 0:
        large[0] = 1.0
        os._exit(0)
    os.waitpid(child, 0)
    assert large[0] == 0
