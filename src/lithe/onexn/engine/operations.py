"""The operations that a program has steps for, as they stand in a network's graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, fx

from lithe.onexn.packed import PackedWeight
from lithe.onexn.program import Activation

__all__ = [
    "Apply",
    "Average",
    "Concatenate",
    "Convolve",
    "Filter",
    "Join",
    "Operation",
    "Reshape",
    "Slice",
    "Window",
]


@dataclass(frozen=True, eq=False)
class Moves:
    """How a window walks over a map."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class Convolve:
    """A convolution, or a linear layer on a 1x1 map."""

    x: fx.Node
    weight: PackedWeight
    bias: Tensor | None
    moves: Moves = field(default_factory=Moves)


@dataclass(frozen=True, eq=False)
class Filter:
    """One filter ``(c, 1, kh, kw)`` per channel: depthwise layers, scales and shifts."""

    x: fx.Node
    weight: Tensor
    bias: Tensor | None
    moves: Moves = field(default_factory=Moves)


@dataclass(frozen=True)
class Window:
    """A pool."""

    x: fx.Node
    kind: Literal["max", "mean"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    counts_padding: bool = True


@dataclass(frozen=True)
class Average:
    """The mean of each channel."""

    x: fx.Node


@dataclass(frozen=True)
class Join:
    """A sum or product of two tensors; ``b`` may be one value per channel."""

    kind: Literal["add", "multiply"]
    a: fx.Node
    b: fx.Node


@dataclass(frozen=True)
class Apply:
    """An activation."""

    x: fx.Node
    activation: Activation


@dataclass(frozen=True)
class Concatenate:
    """Channels side by side."""

    parts: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Slice:
    """Some channels of a tensor, from ``start`` on."""

    x: fx.Node
    start: int


@dataclass(frozen=True)
class Reshape:
    """Another shape of the same values in the same order."""

    x: fx.Node


Operation = Convolve | Filter | Window | Average | Join | Apply | Concatenate | Slice | Reshape
