"""Spend a budget of milliseconds while the clock runs."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from lithe.arm.painter import Painter
from lithe.arm.tiles import Tile
from lithe.arm.work import Work, reallocate

__all__ = ["Drift", "paced"]

TOLERANCE = 0.01  # of the budget: less off course than that is left alone
EVERY = 0.03  # of the budget: how often the course is looked at


class Drift:
    """How much slower than expected each branch runs just now.

    Args:
        branches: how many.
        trust: milliseconds of expected time after which what is seen counts as much as what
            was measured beforehand.
    """

    def __init__(self, branches: int, trust: float) -> None:
        self.expected = np.full(branches, float(trust))
        self.taken = np.full(branches, float(trust))

    def saw(self, branch: int, expected: float, taken: float) -> None:
        """Note a batch: milliseconds expected and taken; older batches slowly fade."""
        fade = 0.9
        self.expected[branch] = fade * self.expected[branch] + expected
        self.taken[branch] = fade * self.taken[branch] + taken

    def factors(self) -> np.ndarray:
        """Per branch, above 1 when slower than expected ``(m,)``."""
        return self.taken / self.expected


def paced(
    work: Work,
    painter: Painter,
    budget: float,
    start: float,
    painted: Callable[[list[Tile], int], None],
) -> None:
    """Paint all tiles so that the clock shows ``budget`` at the end.

    Every now and then the time left is compared with what the rest is expected to take at the
    speed seen so far; if they differ, the branches of the rest are chosen anew. Tiles come in
    a scattered order, so that the rest always resembles the whole.

    Args:
        work: costs in milliseconds; its branches change.
        painter: of the image.
        budget: milliseconds since ``start``.
        start: time on ``time.perf_counter``, seconds.
        painted: told the tiles and the branch of every batch that is done.
    """
    drift = Drift(work.costs.shape[1], trust=0.02 * budget)
    looked = 0.0
    order = np.random.default_rng(0).permutation(len(work.tiles))  # any fixed order would do
    for first in order:
        if work.done[first]:
            continue
        group = work.group(first, order)
        branch, expected = int(work.branches[first]), work.price_of(group)
        began = perf_counter()
        tiles = [work.tiles[k] for k in group]
        painter.paint(tiles, branch)
        drift.saw(branch, expected, 1000 * (perf_counter() - began))
        work.done[group] = True
        painted(tiles, branch)
        elapsed = 1000 * (perf_counter() - start)
        if elapsed - looked > EVERY * budget:
            looked = elapsed
            _steer(work, drift.factors(), budget, elapsed)


def _steer(work: Work, factors: np.ndarray, budget: float, elapsed: float) -> None:
    rest = np.flatnonzero(~work.done)
    if not len(rest):
        return
    costs = work.costs[rest] * factors
    expected = float(np.take_along_axis(costs, work.branches[rest, None], 1).sum())
    if abs(elapsed + expected - budget) > TOLERANCE * budget:
        work.branches[rest] = reallocate(work.gains[rest], costs, budget - elapsed)
