"""How to cut an image into tiles and which branch each gets: a quadtree, solved exactly.

Small tiles follow the content closely, large ones waste less on overlap: a tile of side ``s``
costs what its window of side ``s + 2 halo`` costs. For a given price of quality, the best of
all quadtrees is found from the leaves up; the price is then set so that a budget is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lithe.arm.budget import BudgetError
from lithe.arm.tiles import Tile

__all__ = ["Blocks", "Layout"]

SPENT = 0.95  # of a budget is enough: smaller tiles are not tried for the rest
HALVINGS = 44  # of the bracket of the price, in powers of ten: far below one tile


@dataclass(frozen=True)
class Layout:
    """Tiles that cover an image without overlap, and the branch of each.

    Attributes:
        tiles: from the largest kind to the smallest, each kind row by row.
        levels: kind of each tile: its side is ``cell * 2 ** level``.
        branches: of each tile.
        cost: of all tiles together.
    """

    tiles: tuple[Tile, ...]
    levels: np.ndarray
    branches: np.ndarray
    cost: float


class Blocks:
    """The cells of an image, and the squares of 2 x 2, 4 x 4, ... cells above them.

    Args:
        height: of the image, input pixels, at least 1.
        width: of the image.
        cell: side of the smallest tile, the patch of the edge score.
        largest: side of the largest tile: ``cell`` times a power of two.

    Raises:
        ValueError: ``largest`` does not fit ``cell``.
    """

    def __init__(self, height: int, width: int, cell: int = 32, largest: int = 128) -> None:
        self.height, self.width, self.cell = height, width, cell
        self.levels = max(largest // cell, 1).bit_length()
        if cell < 1 or cell << (self.levels - 1) != largest:
            raise ValueError(f"largest is {largest}; it is cell, {cell}, times 1, 2, 4, ...")
        self.rows, self.columns = -(-height // cell), -(-width // cell)

    def side(self, level: int) -> int:
        """Side of an unclipped tile, input pixels."""
        return self.cell << level

    def areas(self) -> np.ndarray:
        """Share of a whole cell that each cell covers ``(rows, columns)``: less at the border."""
        tall = np.minimum(self.cell, self.height - self.cell * np.arange(self.rows))
        wide = np.minimum(self.cell, self.width - self.cell * np.arange(self.columns))
        return np.outer(tall, wide) / self.cell**2

    def tile(self, level: int, row: int, column: int) -> Tile:
        """A tile by its place among those of its level."""
        side = self.side(level)
        top, left = row * side, column * side
        return Tile(top, left, min(side, self.height - top), min(side, self.width - left), side)

    def cells_of(self, tile: Tile) -> tuple[slice, slice]:
        """Which cells a tile covers."""
        top, left = tile.top // self.cell, tile.left // self.cell
        return (
            slice(top, top + -(-tile.height // self.cell)),
            slice(left, left + -(-tile.width // self.cell)),
        )

    def map(self, layout: Layout) -> np.ndarray:
        """Branch of every cell, int64 ``(rows, columns)``."""
        routes = np.zeros((self.rows, self.columns), dtype=np.int64)
        for tile, branch in zip(layout.tiles, layout.branches):
            routes[self.cells_of(tile)] = branch
        return routes

    def everywhere(self, costs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Costs of every tile of every level ``(rows, columns, m)``; some may be given ``(m,)``."""
        sizes = [
            (-(-self.rows // (1 << level)), -(-self.columns // (1 << level)))
            for level in range(self.levels)
        ]
        return [np.broadcast_to(c, (*size, c.shape[-1])) for c, size in zip(costs, sizes)]

    def solve(self, gains: np.ndarray, costs: Sequence[np.ndarray], price: float) -> Layout:
        """The tiles and branches with the least ``cost - price * gain``; first of equals.

        Args:
            gains: of each branch on each cell ``(rows, columns, m)``; a tile's is the sum.
            costs: per level, cost of one tile by branch ``(m,)``, or of each tile of the level
                ``(rows, columns, m)``: at the border less must be seen; infinite where not allowed.
            price: cost that one unit of gain is worth, 0 or more.
        """
        costs = self.everywhere(costs)
        return self._layout(_kinds(*_decide(self._sums(gains), costs, price)), costs)

    def _layout(self, kinds: list[Kind], costs: Sequence[np.ndarray]) -> Layout:
        tiles = [self.tile(level, r, c) for level, _, places in kinds for r, c in places.tolist()]
        levels = np.repeat(range(self.levels)[::-1], [len(chosen) for _, chosen, _ in kinds])
        branches = np.concatenate([chosen for _, chosen, _ in kinds])
        return Layout(tuple(tiles), levels, branches, _over(kinds, costs))

    def _sums(self, gains: np.ndarray) -> list[np.ndarray]:
        """Gains of the tiles of every level."""
        sums = [gains]
        for _ in range(1, self.levels):
            sums.append(_fours(sums[-1]))
        return sums

    def spend(self, gains: np.ndarray, costs: Sequence[np.ndarray], budget: float) -> Layout:
        """A layout that costs at most ``budget``, and the best at its price; see :meth:`solve`.

        One price for all leaves of a budget what the next step up would overspend. Where that is
        much, as with few large tiles, smaller ones are tried; what is left then buys single steps.

        Raises:
            BudgetError: the cheapest layout costs more.
        """
        sums, spread = self._sums(gains), float(np.ptp(gains))
        costs = self.everywhere(costs)
        dearest = max(float(cost[np.isfinite(cost)].max()) for cost in costs)
        unit = dearest / spread if spread > 0 else 0.0  # without gains the cheapest is the best
        least = _over(_kinds(*_decide(sums, costs, 0.0)), costs)
        if least > budget * (1 + 1e-9):
            raise BudgetError(budget, least, self.rows * self.columns)
        found: list[list[Kind]] = []
        for top in reversed(range(self.levels)):
            open_costs = [c if k <= top else np.full(c.shape, np.inf) for k, c in enumerate(costs)]

            def at(exponent: float, costs: list[np.ndarray] = open_costs) -> list[Kind]:
                return _kinds(*_decide(sums, costs, unit * 10**exponent))

            if _over(at(-np.inf), costs) > budget * (1 + 1e-9):
                break
            kinds = at(_highest(lambda exponent: _over(at(exponent), costs), budget))
            found.append(_upgraded(kinds, sums, costs, budget))
            if spread == 0 or _over(found[-1], costs) >= SPENT * budget:
                break
        return self._layout(max(found, key=lambda kinds: _over(kinds, sums)), costs)


def _highest(cost: Callable[[float], float], budget: float) -> float:
    """The power of ten up to which a price, which raises the cost, keeps to the budget."""
    low, high = -np.inf, 12.0
    if cost(high) <= budget:
        return high
    if cost(-12.0) > budget:
        return low
    low = -12.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    return low


def _decide(
    sums: Sequence[np.ndarray], costs: Sequence[np.ndarray], price: float
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Best branch of every tile of every level, and whether it had better be four smaller."""
    choices, splits = [], []
    below = None
    for gains, cost in zip(sums, costs):
        leaf = cost - price * gains
        choice = leaf.argmin(-1)
        value = np.take_along_axis(leaf, choice[..., None], -1)[..., 0]
        apart = np.full(value.shape, np.inf) if below is None else _fours(below)
        choices.append(choice)
        splits.append(apart < value)
        below = np.minimum(apart, value)
    return choices, splits


Kind = tuple[int, np.ndarray, np.ndarray]  # level, branches (n,), rows and columns (n, 2)


def _kinds(choices: list[np.ndarray], splits: list[np.ndarray]) -> list[Kind]:
    """The tiles that are not split, level by level from the largest."""
    kinds: list[Kind] = []
    here = np.ones(choices[-1].shape, dtype=bool)
    for level in reversed(range(len(choices))):
        whole = here & ~splits[level]
        kinds.append((level, choices[level][whole], np.argwhere(whole)))
        if level:
            rows, columns = choices[level - 1].shape
            here = (here & splits[level]).repeat(2, 0).repeat(2, 1)[:rows, :columns]
    return kinds


def _over(kinds: list[Kind], values: Sequence[np.ndarray]) -> float:
    """What the chosen branches of all tiles come to, in costs or in gains."""
    return sum(
        float(values[level][places[:, 0], places[:, 1], chosen].sum())
        for level, chosen, places in kinds
    )


def _upgraded(
    kinds: list[Kind], sums: Sequence[np.ndarray], costs: Sequence[np.ndarray], budget: float
) -> list[Kind]:
    """Spend what is left on single tiles, the step that gains most for its cost first."""
    gain, cost = (
        np.concatenate([v[level][at[:, 0], at[:, 1]] for level, _, at in kinds])
        for v in (sums, costs)
    )
    chosen = np.concatenate([branches for _, branches, _ in kinds])
    rows, left = np.arange(len(chosen)), budget - _over(kinds, costs)
    while True:
        more = gain - gain[rows, chosen][:, None]
        dearer = cost - cost[rows, chosen][:, None]
        open_ = (more > 0) & (dearer > 0) & (dearer <= left)
        if not open_.any():
            break
        worth = np.divide(more, dearer, out=np.full(more.shape, -np.inf), where=open_)
        tile, branch = np.unravel_index(int(worth.argmax()), worth.shape)
        left -= float(dearer[tile, branch])
        chosen[tile] = branch
    ends = np.cumsum([len(branches) for _, branches, _ in kinds])[:-1]
    return [(level, part, at) for (level, _, at), part in zip(kinds, np.split(chosen, ends))]


def _fours(values: np.ndarray) -> np.ndarray:
    """Sums over squares of 2 x 2 of ``(rows, columns, ...)``; beyond the border lie zeros."""
    rows, columns = values.shape[:2]
    pads = [(0, rows % 2), (0, columns % 2)] + [(0, 0)] * (values.ndim - 2)
    even = np.pad(values, pads)
    return even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
