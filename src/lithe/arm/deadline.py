"""The best image that can be had by a given moment."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
from PIL import Image

from lithe.arm.pace import Drift
from lithe.arm.painter import Painter
from lithe.arm.tiles import Tile
from lithe.arm.work import Work

__all__ = ["improve", "lay_floor"]

STRIP = 64  # input rows between two looks at the clock
SAFETY = 2.0  # a batch is begun only if there is time for this many of it


def lay_floor(painter: Painter, until: float) -> bool:
    """Enlarge the whole image by Pillow's bicubic filter, a strip at a time.

    From here on there is an image, whatever happens. Strips for which there is no time left get
    their pixels repeated, which takes next to none.

    Args:
        painter: of the image; its canvas is filled.
        until: time on ``time.perf_counter``, seconds.

    Returns:
        Whether all of it is bicubic.
    """
    for top in range(0, painter.height, STRIP):
        bottom = min(top + STRIP, painter.height)
        rows = slice(top * painter.scale, bottom * painter.scale)
        if perf_counter() < until:
            painter.canvas[rows] = _bicubic(painter, top, bottom)
        else:
            part = painter.pixels[top:bottom]
            painter.canvas[rows] = part.repeat(painter.scale, 0).repeat(painter.scale, 1)
    return perf_counter() < until


def _bicubic(painter: Painter, top: int, bottom: int) -> np.ndarray:
    margin = 2  # rows that the kernel reaches to each side
    first, last = max(top - margin, 0), min(bottom + margin, painter.height)
    part, s = painter.pixels[first:last], painter.scale
    size = (painter.width * s, len(part) * s)
    kind = part.dtype
    if kind == np.uint8 and part.shape[2] == 3:
        made = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BICUBIC))
    else:  # Pillow resizes other types one plane at a time, as float32
        planes = [Image.fromarray(part[..., k].astype(np.float32)) for k in range(part.shape[2])]
        made = np.stack(
            [np.asarray(plane.resize(size, Image.Resampling.BICUBIC)) for plane in planes], -1
        ).clip(0, painter.one)
        made = made if kind.kind == "f" else made.round()
    return made[(top - first) * s : (bottom - first) * s].astype(kind, copy=False)


def improve(
    work: Work,
    painter: Painter,
    until: float,
    floor: int | None,
    painted: Callable[[list[Tile], int], None],
) -> np.ndarray:
    """Repaint tiles in order of gain per millisecond until there is no time for another.

    First the planned branches, best buy first; then, if the machine was faster than expected,
    each tile's next better ones.

    Args:
        work: costs in milliseconds.
        painter: its canvas holds a whole image already.
        until: time on ``time.perf_counter`` by which to return, seconds.
        floor: the branch that is as good as what the canvas holds; ``None`` if none is.
        painted: told the tiles and the branch of every batch that is done.

    Returns:
        Branch that each tile has in the end ``(n,)``, -1 where the first image remains.
    """
    count, m = work.gains.shape
    base = np.full(count, _below(work.gains)) if floor is None else work.gains[:, floor]
    have = np.full(count, -1 if floor is None else floor)
    drift = Drift(m, trust=0.02 * 1000 * max(until - perf_counter(), 1e-3))
    planned = work.branches.copy()
    while True:
        better = work.gains[np.arange(count), planned] - base
        costs = work.costs[np.arange(count), planned]
        wanted = np.flatnonzero((better > 0) & (planned != have))
        order = wanted[np.argsort(-better[wanted] / costs[wanted], kind="stable")]
        work.branches, work.done = planned, np.ones(count, dtype=bool)
        work.done[wanted] = False
        if not len(order) or not _paint_by(work, painter, until, order, have, drift, painted):
            return have
        base = np.where(have >= 0, work.gains[np.arange(count), have], base)
        planned = _next_up(work, base, have)


def _paint_by(
    work: Work,
    painter: Painter,
    until: float,
    order: np.ndarray,
    have: np.ndarray,
    drift: Drift,
    painted: Callable[[list[Tile], int], None],
) -> bool:
    """Paint in this order while there is time; whether some was left over, and some painted."""
    some = False
    for first in order:
        if work.done[first]:
            continue
        branch = int(work.branches[first])
        left = 1000 * (until - perf_counter())
        slow = drift.factors()[branch]
        for group in (work.group(first, order), np.array([first])):
            expected = work.price_of(group)
            if SAFETY * expected * slow <= left:
                break
        else:
            continue  # a cheaper one further down the list may still fit
        began = perf_counter()
        tiles = [work.tiles[k] for k in group]
        painter.paint(tiles, branch)
        drift.saw(branch, expected, 1000 * (perf_counter() - began))
        work.done[group], have[group], some = True, branch, True
        painted(tiles, branch)
    return some


def _next_up(work: Work, base: np.ndarray, have: np.ndarray) -> np.ndarray:
    """For each tile the branch that improves on what it has at the best rate."""
    rate = (work.gains - base[:, None]) / work.costs
    rate[np.arange(len(have))[have >= 0], have[have >= 0]] = 0
    best = rate.argmax(1)
    return np.where(rate.max(1) > 0, best, have.clip(0))


def _below(gains: np.ndarray) -> float:
    """A gain that every branch beats: of enlarging without a network."""
    return float(gains.min() - max(np.ptp(gains), 1.0))
