"""Which steps the kernels can compute, and why not the others."""

from __future__ import annotations

import math

import torch

from lithe.onexn.kernels.geometry import window
from lithe.onexn.kernels.isa import Isa
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
    Step,
)

__all__ = ["check_program", "supports"]

LIMIT = 2**31


def supports(step: Step, isa: Isa | None = None) -> str | None:
    """Why a step cannot be computed natively; None where it can.

    Args:
        step: of a program.
        isa: instruction set; all compute the same steps today.
    """
    if isinstance(step, Foreign):
        return "it is computed by torch"
    if not isinstance(step, Conv | Depthwise | Pool | Mean | Combine | Activate):
        return f"{type(step).__name__} is no step"
    activation = getattr(step, "activation", None)
    if activation is not None and activation not in ACTIVATIONS:
        return f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}"
    planes = _planes(step)
    if any(min(p.channels, p.height, p.width) < 1 or p.start < 0 for p in planes):
        return f"an empty plane among {planes}"
    return _WHY[type(step)](step)


def _conv(step: Conv) -> str | None:
    weight = step.weight
    try:
        weight.check()
    except ValueError as error:
        return str(error)
    if weight.values.dtype is not torch.float32 or weight.values.device.type != "cpu":
        return (
            f"weights are {weight.values.dtype} on {weight.values.device}, not float32 on the CPU"
        )
    if step.x.channels != weight.shape[1] * weight.groups or step.y.channels != weight.shape[0]:
        return f"{step.x.channels} to {step.y.channels} channels by a weight {tuple(weight.shape)}"
    return _window(step) or _epilogue(step)


def _depthwise(step: Depthwise) -> str | None:
    weight = step.weight
    if weight.dtype is not torch.float32 or weight.device.type != "cpu":
        return f"weights are {weight.dtype} on {weight.device}, not float32 on the CPU"
    if weight.shape[:2] != (step.x.channels, 1) or step.y.channels != step.x.channels:
        return f"{step.x.channels} to {step.y.channels} channels by a weight {tuple(weight.shape)}"
    return _window(step) or _epilogue(step)


def _epilogue(step: Conv | Depthwise) -> str | None:
    bias, residual, y = step.bias, step.residual, step.y
    if bias is not None and (bias.shape != (y.channels,) or bias.dtype is not torch.float32):
        return f"bias is {bias.dtype} {tuple(bias.shape)} for {y.channels} channels"
    if residual is not None and _shape(residual) != _shape(y):
        return f"residual {_shape(residual)} for a result {_shape(y)}"
    return None


def _window(step: Conv | Depthwise | Pool) -> str | None:
    own = window(step)
    wanted = tuple(
        (own.source[a] + 2 * own.padding[a] - own.dilation[a] * (own.kernel[a] - 1) - 1)
        // own.stride[a]
        + 1
        for a in (0, 1)
    )
    rounded_up = isinstance(step, Pool) and all(w <= t <= w + 1 for w, t in zip(wanted, own.target))
    if own.target != wanted and not rounded_up:
        return f"a map {own.target} where the window makes {wanted}"
    if step.x.channels * max(own.size, math.prod(own.source)) >= LIMIT:
        return "the map is too large for 32-bit offsets"
    return None


def _pool(step: Pool) -> str | None:
    if step.kind not in ("max", "mean"):
        return f"pooling {step.kind!r}"
    if any(2 * p > k for p, k in zip(step.padding, step.kernel)):
        return f"padding {step.padding} is more than half the window {step.kernel}"
    if step.x.channels != step.y.channels:
        return f"{step.x.channels} to {step.y.channels} channels"
    return _window(step)


def _mean(step: Mean) -> str | None:
    if _shape(step.y) != (step.x.channels, 1, 1):
        return f"the mean of {_shape(step.x)} into {_shape(step.y)}"
    return None


def _combine(step: Combine) -> str | None:
    if step.kind not in ("add", "multiply"):
        return f"combination {step.kind!r}"
    if _shape(step.a) != _shape(step.y) or _shape(step.b) not in (
        _shape(step.a),
        (step.a.channels, 1, 1),
    ):
        return f"{_shape(step.a)} and {_shape(step.b)} into {_shape(step.y)}"
    return None


def _activate(step: Activate) -> str | None:
    return None if _floats(step.x) == _floats(step.y) else f"{_shape(step.x)} into {_shape(step.y)}"


_WHY = {
    Conv: _conv,
    Depthwise: _depthwise,
    Pool: _pool,
    Mean: _mean,
    Combine: _combine,
    Activate: _activate,
}


def check_program(program: Program, isa: Isa) -> None:
    """Refuse a program that would read or write where it must not.

    Raises:
        ValueError: which step, and why.
    """
    for buffer, (offset, shape) in enumerate(zip(program.offsets, program.shapes)):
        if offset < 0 or offset % 16 or offset + math.prod(shape) > program.size:
            raise ValueError(f"buffer {buffer} at {offset} of {shape} in {program.size} floats")
    for number, step in enumerate(program.steps):
        why = None if isinstance(step, Foreign) else supports(step, isa)
        why = why or _bounds(program, _planes(step)) or _overlaps(program, step)
        if why:
            raise ValueError(f"step {number} ({type(step).__name__}): {why}")
    why = _bounds(program, [*program.inputs, *program.outputs])
    if why:
        raise ValueError(why)


def _bounds(program: Program, planes: list[Plane]) -> str | None:
    for plane in planes:
        if not 0 <= plane.buffer < len(program.shapes):
            return f"there is no buffer {plane.buffer}"
        end = plane.start * plane.height * plane.width + _floats(plane)
        if plane.start < 0 or end > math.prod(program.shapes[plane.buffer]):
            return f"{plane} does not fit a buffer of {program.shapes[plane.buffer]}"
    return None


def _overlaps(program: Program, step: Step) -> str | None:
    """Kernels write some pixels twice, so what they read must lie elsewhere."""
    y = _extent(program, step.y)
    for plane in _planes(step)[:-1]:
        x = _extent(program, plane)
        if x[0] < y[1] and y[0] < x[1]:
            in_place = isinstance(step, Combine | Activate) and x == y
            if not in_place and not isinstance(step, Foreign):
                return f"it reads {plane} where it writes {step.y}"
    return None


def _extent(program: Program, plane: Plane) -> tuple[int, int]:
    start = program.offsets[plane.buffer] + plane.start * plane.height * plane.width
    return start, start + _floats(plane)


def _planes(step: Step) -> list[Plane]:
    """All planes of a step, the one it writes last."""
    if isinstance(step, Foreign):
        return [*step.inputs, step.y]
    if isinstance(step, Combine):
        return [step.a, step.b, step.y]
    residual = getattr(step, "residual", None)
    return [step.x, *([] if residual is None else [residual]), step.y]


def _shape(plane: Plane) -> tuple[int, int, int]:
    return plane.channels, plane.height, plane.width


def _floats(plane: Plane) -> int:
    return math.prod(_shape(plane))
