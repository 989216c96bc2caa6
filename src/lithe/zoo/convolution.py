"""How a network of the zoo asks for a convolution, so that one code path builds every variant.

A network has, per convolution, the ``filters`` of its architecture and the ``kept`` channels it
passes on. Plain networks have ``kept`` filters; a method may put a layer of its own there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import nn

__all__ = ["Builder", "MakeConv", "plain_conv"]


class MakeConv(Protocol):
    """Builds the layer called ``name``; see :func:`plain_conv` for the plain one."""

    def __call__(
        self,
        name: str,
        in_channels: int,
        filters: int,
        kept: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
    ) -> nn.Module:
        """Return a layer from ``in_channels`` to ``kept`` channels."""


def plain_conv(
    name: str,
    in_channels: int,
    filters: int,
    kept: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    bias: bool = False,
) -> nn.Conv2d:
    """An ordinary convolution of ``kept`` filters; ``name`` and ``filters`` play no part."""
    return nn.Conv2d(in_channels, kept, kernel_size, stride, padding, bias=bias)


class Builder:
    """Hands out convolutions by name and knows the width each passes on.

    Args:
        kept: channels that a named convolution passes on; the others pass on all filters.
        make_conv: builds each layer; :func:`plain_conv` if none is given.
    """

    def __init__(self, kept: Mapping[str, int] | None, make_conv: MakeConv | None) -> None:
        self._kept = dict(kept or {})
        self._make = make_conv or plain_conv
        self._asked: set[str] = set()

    def width(self, name: str, filters: int) -> int:
        """Channels that ``name`` passes on, of its ``filters``."""
        width = self._kept.get(name, filters)
        if not 1 <= width <= filters:
            raise ValueError(f"{name} keeps {width} of {filters} filters; keep 1 to {filters}")
        return width

    def conv(
        self,
        name: str,
        in_channels: int,
        filters: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
    ) -> nn.Module:
        """The layer called ``name``, at its kept width."""
        self._asked.add(name)
        return self._make(
            name,
            in_channels,
            filters,
            self.width(name, filters),
            kernel_size,
            stride=stride,
            padding=padding,
            bias=bias,
        )

    def finish(self) -> None:
        """Refuse widths for layers that the network does not have."""
        unknown = sorted(set(self._kept) - self._asked)
        if unknown:
            raise ValueError(
                f"widths are given for {', '.join(unknown)}, which this network does not have"
            )
