"""The two sides of a layer: which of its channels are active, and what it costs then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lithe.channels.flow import Layer
from lithe.pssnet.sliced import Span

__all__ = ["Side", "Sized", "held_by"]


class Side:
    """One side of a layer: which channels are active at given counts."""

    def __init__(self, classes: Tensor, stream: np.ndarray, rank: np.ndarray) -> None:
        labels = classes.numpy()
        self.stream, self.rank = stream[labels], rank[labels]
        self.streams = tuple(int(s) for s in np.unique(self.stream) if s >= 0)
        self._known: dict[tuple[int, ...], Span | None] = {}

    def span(self, counts: Mapping[int, int]) -> Span | None:
        """The active channels, None for all."""
        if not self.streams:
            return None
        key = tuple(counts[s] for s in self.streams)
        if key not in self._known:
            self._known[key] = self._found(counts)
        return self._known[key]

    def length(self, counts: Mapping[int, int]) -> int:
        """How many channels are active."""
        span = self.span(counts)
        return len(self.rank) if span is None else span.length

    def _found(self, counts: Mapping[int, int]) -> Span | None:
        alive = self.stream < 0
        for s in self.streams:
            alive |= (self.stream == s) & (self.rank < counts[s])
        places = np.flatnonzero(alive)
        if len(places) == len(alive):
            return None
        if places[-1] == len(places) - 1:
            return Span(len(places))
        return Span(len(places), torch.from_numpy(places))


@dataclass(frozen=True, eq=False)
class Sized:
    """A layer whose size varies.

    Attributes:
        layer: from the channel graph.
        ins: its input side.
        outs: its output side.
        volume: weights per pair of an input (of one group) and an output channel.
        extra: further parameters per output channel: bias, or a norm's scale and shift.
        normed: 1 where the layer is a norm with running statistics.
    """

    layer: Layer
    ins: Side
    outs: Side
    volume: int
    extra: int
    normed: int

    def groups(self, counts: Mapping[int, int]) -> int:
        """Groups that are left: whole ones go, or each of them shrinks."""
        if self.layer.groups == 1:
            return 1
        if self.layer.role == "depthwise":
            return self.ins.length(counts)
        span = self.ins.span(counts)
        if span is None:
            return self.layer.groups
        places = torch.arange(span.length) if span.index is None else span.index
        return len((places // (len(self.ins.rank) // self.layer.groups)).unique())

    def pairs(self, counts: Mapping[int, int]) -> int:
        """Pairs of an output channel and an input channel that it reads."""
        return self.outs.length(counts) * self.ins.length(counts) // self.groups(counts)

    def params(self, counts: Mapping[int, int]) -> int:
        """Weights and biases."""
        return self.volume * self.pairs(counts) + self.extra * self.outs.length(counts)


def held_by(side: Side, stream: int, counts: Mapping[int, int]) -> int:
    """Active channels of one stream on a side; -1 stands for those that are always there."""
    mine = side.stream == stream
    if stream < 0:
        return int(mine.sum())
    return int((mine & (side.rank < counts[stream])).sum())
