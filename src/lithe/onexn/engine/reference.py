"""Every step of a program by plain torch: what kernels are held to, and what runs anywhere."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lithe.onexn.program import (
    Activate,
    Activation,
    Combine,
    Conv,
    Depthwise,
    Foreign,
    Mean,
    Plane,
    Pool,
    Program,
    Step,
)

__all__ = ["ReferenceProgram", "as_foreign", "read_planes", "torch_call"]

_ACTIVATIONS: dict[Activation | None, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
}


class ReferenceProgram:
    """Runs a program step by step, in the same arena as the kernels do.

    Args:
        program: what is run.
        batch: images at once.
        threads: plays no part; torch's own setting holds.
    """

    def __init__(self, program: Program, batch: int = 1, threads: int = 1) -> None:
        self.program, self.batch = program, batch
        self._calls = [torch_call(step) for step in program.steps]

    @torch.no_grad()
    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs, ``(batch, c, h, w)`` each, from inputs that hold as much."""
        program = self.program
        arena = torch.full((self.batch, program.size), torch.nan)
        view = _Views(program, arena)
        for plane, value in zip(program.inputs, inputs, strict=True):
            view(plane).copy_(value.reshape(view(plane).shape))
        for step, call in zip(program.steps, self._calls):
            # torch's fast paths differ in how they round; a copy makes strides play no part
            result = call(*(view(plane).contiguous() for plane in read_planes(step)))
            view(step.y).copy_(result)
        return tuple(
            view(plane).clone(memory_format=torch.contiguous_format) for plane in (program.outputs)
        )


class _Views:
    """Planes of an arena as tensors ``(batch, c, h, w)``."""

    def __init__(self, program: Program, arena: Tensor) -> None:
        self.program, self.arena = program, arena

    def __call__(self, plane: Plane) -> Tensor:
        area = plane.height * plane.width
        start = self.program.offsets[plane.buffer] + plane.start * area
        flat = self.arena[:, start : start + plane.channels * area]
        return flat.unflatten(1, (plane.channels, plane.height, plane.width))


def read_planes(step: Step) -> tuple[Plane, ...]:
    """The planes that a step reads, in the order in which :func:`torch_call` takes them."""
    if isinstance(step, Foreign):
        return step.inputs
    if isinstance(step, Combine):
        return (step.a, step.b)
    residual = getattr(step, "residual", None)
    return (step.x,) if residual is None else (step.x, residual)


def as_foreign(step: Step, memory_format: torch.memory_format | None = None) -> Foreign:
    """The same step, done by torch; ``memory_format`` as :func:`torch_call`."""
    if isinstance(step, Foreign):
        return step
    return Foreign(torch_call(step, memory_format), read_planes(step), step.y)


def torch_call(
    step: Step, memory_format: torch.memory_format | None = None
) -> Callable[..., Tensor]:
    """A function that computes a step's result from the planes that it reads.

    Args:
        step: any step; weights are unpacked once.
        memory_format: ``torch.channels_last`` to convolve in that layout.
    """
    if isinstance(step, Foreign):
        return step.call
    if isinstance(step, Conv | Depthwise):
        return _convolution(step, memory_format or torch.contiguous_format)
    if isinstance(step, Pool):
        return _pool(step)
    activation = _ACTIVATIONS[getattr(step, "activation", None)]
    if isinstance(step, Mean):
        return lambda x: x.mean((2, 3), keepdim=True)
    if isinstance(step, Combine):
        join = torch.add if step.kind == "add" else torch.mul
        return lambda a, b: activation(join(a, b))
    if isinstance(step, Activate):
        return activation
    raise TypeError(f"{type(step).__name__} is no step of a program")


def _convolution(step: Conv | Depthwise, layout: torch.memory_format) -> Callable[..., Tensor]:
    if isinstance(step, Conv):
        weight, groups = step.weight.unpack(), step.weight.groups
    else:
        weight, groups = step.weight, step.weight.shape[0]
    if weight.ndim == 2:
        weight = weight[:, :, None, None]
    weight = weight.contiguous(memory_format=layout)
    moves = (step.stride, step.padding, step.dilation, groups)
    activation = _ACTIVATIONS[step.activation]

    def call(x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = F.conv2d(x.contiguous(memory_format=layout), weight, step.bias, *moves)
        return activation(y if residual is None else y + residual)

    return call


def _pool(step: Pool) -> Callable[..., Tensor]:
    sizes = (step.kernel, step.stride, step.padding)
    if step.kind == "max":
        return lambda x: F.max_pool2d(x, *sizes, ceil_mode=_hangs_over(step))
    return lambda x: F.avg_pool2d(x, *sizes, count_include_pad=step.counts_padding)


def _hangs_over(step: Pool) -> bool:
    """Is there a last window that lies over the border in part?"""
    x, y = (step.x.height, step.x.width), (step.y.height, step.y.width)
    sizes = zip(x, step.kernel, step.stride, step.padding)
    return y != tuple((size + 2 * p - k) // s + 1 for size, k, s, p in sizes)
