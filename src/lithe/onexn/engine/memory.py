"""Where the buffers of a program lie: those whose lives do not overlap share places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ALIGNMENT", "Life", "place"]

#: Floats; 64 bytes, one cache line and one AVX-512 register.
ALIGNMENT = 16


@dataclass(frozen=True)
class Life:
    """How much room a buffer takes, and when.

    Attributes:
        size: in floats.
        first: the step that writes it first.
        last: the last step that touches it, at least ``first``. A buffer that a step reads lives
            through that step, so what the step writes never lies on it.
    """

    size: int
    first: int
    last: int


def place(lives: Sequence[Life]) -> tuple[list[int], int]:
    """Lay buffers out in one arena, large ones first, each in the tightest gap that is free.

    Args:
        lives: of the buffers.

    Returns:
        Offset of each in floats, a multiple of :data:`ALIGNMENT`, and the size of the arena.
    """
    offsets = [0] * len(lives)
    placed: list[int] = []
    for index in sorted(range(len(lives)), key=lambda i: (-lives[i].size, lives[i].first, i)):
        taken = sorted(
            (offsets[other], offsets[other] + _rounded(lives[other].size))
            for other in placed
            if _overlap(lives[index], lives[other])
        )
        offsets[index] = _gap(taken, _rounded(lives[index].size))
        placed.append(index)
    ends = (offset + _rounded(life.size) for offset, life in zip(offsets, lives))
    return offsets, max(ends, default=0)


def _gap(taken: list[tuple[int, int]], size: int) -> int:
    best, best_room, end = None, None, 0
    for start, stop in taken:
        room = start - end
        if room >= size and (best is None or room < best_room):
            best, best_room = end, room
        end = max(end, stop)
    return end if best is None else best


def _overlap(one: Life, other: Life) -> bool:
    return one.first <= other.last and other.first <= one.last


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
