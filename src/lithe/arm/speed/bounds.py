"""The most that routing could be worth on an image, whoever routes.

A goal of the form "so many times faster at so little loss" cannot be met by any router if it
cannot be met by one that knows every branch's true error on every cell beforehand. That router's
best time is a linear programme's; its dual gives a time that no routing can undercut, whole
cells or fractions of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lithe.arm.blocks import Blocks
from lithe.arm.job import CELL
from lithe.arm.upscaler import Upscaler

__all__ = ["Oracle", "cell_errors", "least_cost"]

ROUNDS = 40  # of the search for the price, in powers of ten


class Oracle:
    """A router that knows what every branch will make of every cell.

    Args:
        up: with latencies.
        made: uint8, what each branch made of the whole image ``(H, W, 3)``.
        sharp: what it should have made.
    """

    def __init__(self, up: Upscaler, made: Sequence[np.ndarray], sharp: np.ndarray) -> None:
        self.size = tuple(side // up.scale for side in sharp.shape[:2])
        self.errors = cell_errors(made, sharp, up.scale)
        inside = [side - 2 * up.scale for side in sharp.shape[:2]]
        self.values = 3 * inside[0] * inside[1]
        self.tiles = Blocks(*self.size, CELL, up.largest)
        self.tile_ms = [
            up.latencies.costs(self.tiles.side(level), *self.size)
            for level in range(self.tiles.levels)
        ]

    def against_whole(self, whole_ms: Sequence[float], loss: float) -> dict[str, float]:
        """How many times faster than the last branch on the whole image routing can be at all.

        Args:
            whole_ms: of each branch in one pass over the whole image.
            loss: allowed, dB below the last branch.

        Returns:
            ``routing``, if cutting were free and a cell cost its share of a whole-image pass:
            what routing alone can earn, whatever runs it; and ``tiles``, by the measured times of
            our tiles, overlap included.
        """
        cells = Blocks(*self.size, CELL, CELL)
        share = cells.areas()[..., None] * CELL**2 / (self.size[0] * self.size[1])
        allowed = float(self.errors[..., -1].sum()) * 10 ** (loss / 10)
        free = least_cost(cells, self.errors, [share * np.array(whole_ms)], allowed)
        ours = least_cost(self.tiles, self.errors, self.tile_ms, allowed)
        return {"routing": whole_ms[-1] / free, "tiles": whole_ms[-1] / ours}

    def against(self, ms: float, quality: float) -> float:
        """How many times faster than ``ms`` our tiles can reach a PSNR at all."""
        allowed = self.values * 255**2 / 10 ** (quality / 10)
        return ms / least_cost(self.tiles, self.errors, self.tile_ms, allowed)


def cell_errors(made: Sequence[np.ndarray], sharp: np.ndarray, scale: int) -> np.ndarray:
    """Squared error of each branch on each cell ``(rows, columns, m)``, the border left out."""
    side, maps = CELL * scale, []
    for image in made:
        error = ((image.astype(np.float64) - sharp) ** 2).sum(2)
        inside = np.zeros_like(error)
        inside[scale:-scale, scale:-scale] = error[scale:-scale, scale:-scale]
        rows = np.add.reduceat(inside, np.arange(0, len(error), side), 0)
        maps.append(np.add.reduceat(rows, np.arange(0, error.shape[1], side), 1))
    return np.stack(maps, -1)


def least_cost(
    blocks: Blocks, errors: np.ndarray, costs: Sequence[np.ndarray], allowed: float
) -> float:
    """A cost below which no tiling and routing keeps the error within what is allowed.

    For every price ``p`` of error, ``min(cost + p error) - p allowed`` is such a cost (weak
    duality); the highest is returned.

    Args:
        blocks: how tiles may lie.
        errors: of each branch on each cell ``(rows, columns, m)``.
        costs: as :meth:`lithe.arm.blocks.Blocks.solve` takes them.
        allowed: error of the whole image.
    """
    row, column = np.ogrid[: errors.shape[0], : errors.shape[1]]

    def dual(exponent: float) -> float:
        price = unit * 10**exponent
        layout = blocks.solve(-errors, costs, price)
        error = float(errors[row, column, blocks.map(layout)].sum())
        return layout.cost + price * (error - allowed)

    unit = sum(float(cost.max()) for cost in costs) / max(float(errors.max()), 1e-12)
    low, high = -8.0, 8.0
    for _ in range(ROUNDS):  # the dual is concave, so that thirds close in on its top
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (left, high) if dual(left) < dual(right) else (low, right)
    return max(dual((low + high) / 2), blocks.solve(-errors, costs, 0.0).cost)
