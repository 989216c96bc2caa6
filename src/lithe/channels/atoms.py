"""Atoms: one integer per channel of every tensor, and which of them live and die together.

Two channels that an operation forces to be kept or dropped together (the terms of a sum, a
channel and its BatchNorm slot) are *tied*. After all operations have had their say, the
connected sets of ties are the *classes*: a cut is a set of classes removed, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from .errors import UntraceableError

__all__ = ["Atoms", "Classes", "Pin", "compress", "varying"]


@dataclass(frozen=True)
class Pin:
    """Why some atoms may not be cut.

    Attributes:
        ids: the atoms.
        reason: in words, with the operation, its module and its source line.
        movable: whether they may still change order (true under a LayerNorm, say).
        error: set when the cause is an operation that is not known.
    """

    ids: Tensor
    reason: str
    movable: bool
    error: UntraceableError | None = None


class Atoms:
    """Hands out atoms and collects what is said about them."""

    def __init__(self) -> None:
        self._count = 0
        self._ties: list[tuple[Tensor, Tensor]] = []
        self._pins: list[Pin] = []

    def fresh(self, *shape: int) -> Tensor:
        """Make new atoms, an int64 tensor of the given shape."""
        start, self._count = self._count, self._count + prod(shape)
        return torch.arange(start, self._count).reshape(shape)

    def tie(self, a: Tensor, b: Tensor) -> None:
        """Let ``a`` and ``b`` (broadcast against each other) be kept or dropped together."""
        a, b = torch.broadcast_tensors(a, b)
        differ = a != b
        self._ties.append((a[differ], b[differ]))

    def tie_along(self, ids: Tensor, axis: int) -> Tensor:
        """Tie all atoms along ``axis``; returns ``ids`` with that axis reduced to size 1."""
        first = ids.narrow(axis, 0, 1)
        if ids.shape[axis] > 1:
            self.tie(ids, first)
        return first

    def pin(
        self,
        ids: Tensor,
        reason: str,
        movable: bool = False,
        error: UntraceableError | None = None,
    ) -> None:
        """Forbid cutting ``ids`` (and, unless ``movable``, reordering them)."""
        self._pins.append(Pin(ids.unique(), reason, movable, error))

    def solve(self) -> Classes:
        """Number the classes: connected sets of tied atoms."""
        a, b = (torch.cat([torch.zeros(0, dtype=torch.int64), *side]) for side in self._sides())
        graph = coo_matrix((torch.ones(len(a)), (a, b)), shape=(self._count, self._count))
        _, labels = connected_components(graph, directed=False)
        return Classes(torch.as_tensor(labels, dtype=torch.int64), list(self._pins))

    def _sides(self) -> tuple[list[Tensor], list[Tensor]]:
        return [a for a, _ in self._ties], [b for _, b in self._ties]


class Classes:
    """The solved partition of atoms into classes, with the pins on each class.

    Attributes:
        labels: class of each atom, int64 ``(atoms,)``.
        count: number of classes.
    """

    def __init__(self, labels: Tensor, pins: list[Pin]) -> None:
        self.labels = labels
        self.count = int(labels.max()) + 1 if len(labels) else 0
        self.pins: list[Pin] = []
        self._first = torch.full((self.count,), -1)  # index of the first pin on a class
        self._firm = torch.full((self.count,), -1)  # ... of the first that forbids reordering
        for pin in pins:
            self.add(pin)

    def add(self, pin: Pin) -> None:
        """Note one more pin; the first one on a class is the one that is reported."""
        held = self.labels[pin.ids]
        self.pins.append(pin)
        self._first[held[self._first[held] < 0]] = len(self.pins) - 1
        if not pin.movable:
            self._firm[held[self._firm[held] < 0]] = len(self.pins) - 1

    def of(self, ids: Tensor) -> Tensor:
        """Classes of ``ids``, same shape."""
        return self.labels[ids]

    def pinned(self, classes: Tensor, move: bool = False) -> Pin | None:
        """The first pin that forbids cutting (or, with ``move``, reordering) any class."""
        index = (self._firm if move else self._first)[classes]
        index = index[index >= 0]
        return self.pins[int(index.min())] if len(index) else None

    def loose(self, classes: Tensor) -> Tensor:
        """Mask of the classes that may be cut."""
        return self._first[classes] < 0


def varying(ids: Tensor) -> list[int]:
    """Axes along which ``ids`` has more than one entry."""
    return [axis for axis, size in enumerate(ids.shape) if size > 1]


def compress(ids: Tensor) -> Tensor:
    """Reduce every axis along which ``ids`` repeats itself to size 1."""
    for axis in varying(ids):
        first = ids.narrow(axis, 0, 1)
        if ids.stride(axis) == 0 or torch.equal(first.expand_as(ids), ids):
            ids = first
    return ids
