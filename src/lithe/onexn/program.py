"""What a packed network does, step by step: the language between the engine and its kernels.

A program reads and writes buffers of one image's channels each; a batch repeats it image by
image. Symbols: ``c`` channels, ``h w`` the map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from lithe.onexn.packed import PackedWeight

__all__ = [
    "ACTIVATIONS",
    "Activate",
    "Activation",
    "Combine",
    "Conv",
    "Depthwise",
    "Foreign",
    "Mean",
    "Plane",
    "Pool",
    "Program",
    "Step",
]

Activation = Literal["relu", "relu6", "hardswish", "hardsigmoid"]
ACTIVATIONS: tuple[str, ...] = ("relu", "relu6", "hardswish", "hardsigmoid")


@dataclass(frozen=True)
class Plane:
    """A run of channels of a buffer, row-major ``(c, h, w)`` float32.

    Attributes:
        buffer: its number in the program.
        channels: how many.
        height: of the map.
        width: of the map.
        start: first channel inside the buffer; concatenation writes side by side.
    """

    buffer: int
    channels: int
    height: int
    width: int
    start: int = 0


@dataclass(frozen=True, eq=False)
class Conv:
    """``y = activation(conv(x) + bias + residual)``, from the blocks that stay.

    A linear layer is a 1x1 convolution of a 1x1 map; a dense one keeps every block.
    """

    x: Plane
    y: Plane
    weight: PackedWeight
    bias: Tensor | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    activation: Activation | None = None
    residual: Plane | None = None


@dataclass(frozen=True, eq=False)
class Depthwise:
    """One filter ``(c, 1, kh, kw)`` per channel; otherwise as :class:`Conv`."""

    x: Plane
    y: Plane
    weight: Tensor
    bias: Tensor | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    activation: Activation | None = None
    residual: Plane | None = None


@dataclass(frozen=True)
class Pool:
    """Maximum or mean over windows; ``counts_padding`` as torch's ``count_include_pad``."""

    x: Plane
    y: Plane
    kind: Literal["max", "mean"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    counts_padding: bool = True


@dataclass(frozen=True)
class Mean:
    """Mean of each channel over its map; ``y`` is 1x1."""

    x: Plane
    y: Plane


@dataclass(frozen=True)
class Combine:
    """``y = activation(a + b)`` or ``activation(a * b)``; a 1x1 map ``b`` is spread over a's."""

    kind: Literal["add", "multiply"]
    a: Plane
    b: Plane
    y: Plane
    activation: Activation | None = None


@dataclass(frozen=True)
class Activate:
    """``y = activation(x)``; a plain copy without one."""

    x: Plane
    y: Plane
    activation: Activation | None = None


@dataclass(frozen=True, eq=False)
class Foreign:
    """Anything else, by torch: called with ``(batch, c, h, w)`` views; the result goes to ``y``."""

    call: Callable[..., Tensor]
    inputs: tuple[Plane, ...]
    y: Plane


Step = Conv | Depthwise | Pool | Mean | Combine | Activate | Foreign


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in order over buffers that lie in one arena.

    Attributes:
        steps: what is done.
        shapes: ``(c, h, w)`` of every buffer, per image.
        offsets: where each buffer begins in the arena, in floats per image; a multiple of 16.
            Buffers whose lives do not overlap may share places.
        size: of the arena, in floats per image.
        inputs: planes that the caller fills.
        outputs: planes that the caller reads.
    """

    steps: tuple[Step, ...]
    shapes: tuple[tuple[int, int, int], ...]
    offsets: tuple[int, ...]
    size: int
    inputs: tuple[Plane, ...]
    outputs: tuple[Plane, ...]
    names: tuple[str, ...] = field(default=())
