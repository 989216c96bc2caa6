"""The tiles still to be painted, and how routes change when time runs differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lithe.arm.blocks import Blocks, Layout
from lithe.arm.tiles import Tile

__all__ = ["Work", "reallocate"]

HALVINGS = 26  # of 24 powers of ten: a millionth of one; this runs while the clock does


@dataclass
class Work:
    """Tiles of an image with what each branch would win and cost on them.

    Attributes:
        tiles: of the layout.
        branches: branch meant for each tile ``(n,)``; changes as the work goes on.
        gains: expected, of each branch on each tile ``(n, m)``.
        costs: expected, in the unit of the budget ``(n, m)``.
        batches: by side of the tile, tiles to run at once, per branch.
        done: which tiles are painted ``(n,)``.
    """

    tiles: Sequence[Tile]
    branches: np.ndarray
    gains: np.ndarray
    costs: np.ndarray
    batches: Mapping[int, Sequence[int]]
    done: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.done = np.zeros(len(self.tiles), dtype=bool)
        self.sides = np.array([tile.side for tile in self.tiles])

    @classmethod
    def of(
        cls,
        blocks: Blocks,
        layout: Layout,
        gains: np.ndarray,
        costs: Sequence[np.ndarray],
        batches: Mapping[int, Sequence[int]],
    ) -> Work:
        """The work of a layout; ``gains`` are per cell, ``costs`` as :meth:`Blocks.solve` takes."""
        sums = [gains[blocks.cells_of(tile)].sum((0, 1)) for tile in layout.tiles]
        costs = blocks.everywhere(costs)
        each = [
            costs[level][tile.top // tile.side, tile.left // tile.side]
            for tile, level in zip(layout.tiles, layout.levels.tolist())
        ]
        return cls(layout.tiles, layout.branches.copy(), np.array(sums), np.array(each), batches)

    def group(self, first: int, among: np.ndarray | None = None) -> np.ndarray:
        """Tiles to run as one batch: ``first`` and others like it that are not done.

        Args:
            first: number of a tile.
            among: numbers to choose from, in this order; all by default.
        """
        branch, side = self.branches[first], self.sides[first]
        pool = np.arange(len(self.tiles)) if among is None else among
        alike = ~self.done[pool] & (self.branches[pool] == branch) & (self.sides[pool] == side)
        others = pool[alike & (pool != first)]
        return np.concatenate([[first], others])[: self.batches[int(side)][branch]]

    def groups(self) -> Iterator[np.ndarray]:
        """Everything that is not done, batch by batch, bucketed by branch and kind of tile."""
        for first in np.lexsort((self.sides, self.branches)):
            if not self.done[first]:
                yield self.group(first)

    def price_of(self, group: np.ndarray) -> float:
        """Expected cost of a batch."""
        return float(self.costs[group, self.branches[group]].sum())


def reallocate(gains: np.ndarray, costs: np.ndarray, budget: float) -> np.ndarray:
    """Branches of tiles that differ in size, so that their gain is largest within a budget.

    Args:
        gains: of each branch on each tile ``(n, m)``.
        costs: likewise.
        budget: in the unit of the costs; where not even the cheapest fit, they are taken.

    Returns:
        int64 ``(n,)``.
    """
    rows = np.arange(len(gains))

    def at(exponent: float) -> tuple[np.ndarray, float]:
        chosen = (costs - unit * 10**exponent * gains).argmin(1)
        return chosen, float(costs[rows, chosen].sum())

    spread = float(np.ptp(gains))
    unit = float(costs.max()) / spread if spread > 0 else 0.0
    low, high, best = -12.0, 12.0, costs.argmin(1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        chosen, cost = at(middle)
        if cost <= budget:
            low, best = middle, chosen
        else:
            high = middle
    return best
