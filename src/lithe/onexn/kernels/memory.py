"""Memory that kernels work in: aligned, with slack at both ends, on large pages where it is large.

Each channel of a wide map lies on pages of its own. With small pages a tile of a few hundred
channels needs more entries than the first translation buffer of a processor has.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable

import numpy as np

__all__ = ["SLACK", "Store", "address", "aligned"]

# Floats before and after every region; nothing is written there.
SLACK = 2048
PAGE = 1 << 21
CHUNK = 1 << 22


def aligned(size: int) -> np.ndarray:
    """Zeros, float32 ``(size,)``, beginning on a cache line; slack lies around them."""
    total = 4 * (size + 2 * SLACK)
    if total < PAGE // 4:
        room = np.zeros(size + 2 * SLACK + 16, np.float32)
        shift = -(address(room) // 4) % 16
    else:
        # private, or a forked child would compute in its parent's memory; and only private memory
        # gets large pages
        private = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
        options = {"flags": private} if private else {}
        region = mmap.mmap(-1, -(-total // PAGE) * PAGE + PAGE, **options)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            region.madvise(mmap.MADV_HUGEPAGE)
        room = np.frombuffer(region, np.float32)
        shift = -address(room) % PAGE // 4
    return room[SLACK + shift : SLACK + shift + size]


def address(array: np.ndarray) -> int:
    """Where an array begins."""
    return array.ctypes.data


class Store:
    """Keeps constants side by side, so that one pass's weights follow the last one's."""

    def __init__(self) -> None:
        self._chunks: list[np.ndarray] = []
        self._used = 0

    def put(self, values: Iterable, kind: type = np.int64) -> int:
        """Address of a copy of ``values`` that lives as long as the store."""
        array = np.ascontiguousarray(values, dtype=kind).ravel()
        words = -(-array.nbytes // 8) * 2
        if not self._chunks or self._used + words > len(self._chunks[-1]):
            self._chunks.append(aligned(max(CHUNK // 4, words)))
            self._used = 0
        place = self._chunks[-1][self._used : self._used + words].view(np.uint8)
        place[: array.nbytes] = array.view(np.uint8)
        self._used += words
        return address(place) if words else 0
