"""Blocks: the pieces of a network that cost something, and the widths each depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from numpy import ndarray

__all__ = ["Block", "Slot", "Term"]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a subnet, as a latency table knows it.

    Two blocks are equal when their descriptions are; ``macs`` and ``params`` follow from where
    the block stands and take no part in the comparison.

    Attributes:
        kind: what it is, e.g. ``"Conv2d"`` or ``"MBV1Block"``.
        in_size: height and width of its input, pixels; 1 for a linear layer.
        cin: input channels.
        cout: output channels.
        cmid: channels in between, where the block has any.
        kernel: kernel size.
        stride: stride.
        padding: padding.
        macs: multiply-accumulates of one image.
        params: weights and biases, batch normalisation's scale and shift included.
        norm_channels: channels that its batch normalisations see, all together.
    """

    kind: str
    in_size: int
    cin: int
    cout: int
    cmid: int | None = None
    kernel: int | None = None
    stride: int | None = None
    padding: int | None = None
    macs: int = field(default=0, compare=False)
    params: int = field(default=0, compare=False)
    norm_channels: int = field(default=0, compare=False)

    def __str__(self) -> str:
        names = ("in_size", "cin", "cmid", "cout", "kernel", "stride", "padding")
        parts = [f"{name}={getattr(self, name)}" for name in names if getattr(self, name)]
        return f"{self.kind}({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a network that a block fills.

    Attributes:
        depends: positions (in the space's order) of the free widths that the block depends on,
            ascending; empty for a block that never changes.
        block: called with those widths, in that order; returns the :class:`Block`.
    """

    depends: tuple[int, ...]
    block: Callable[..., Block]


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a resource: a table over the options of a few widths.

    Attributes:
        depends: positions of the free widths, ascending.
        values: cost, ``values[k0, k1, ...]`` for option ``k0`` of the first width and so on;
            integers for MACs, microseconds for latency.
    """

    depends: tuple[int, ...]
    values: ndarray
