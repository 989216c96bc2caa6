"""One image on its way through an upscaler: layout, order of work, bookkeeping."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lithe.arm.blocks import Blocks, Layout
from lithe.arm.deadline import improve, lay_floor
from lithe.arm.executors import learned
from lithe.arm.latencies import Latencies
from lithe.arm.pace import paced
from lithe.arm.painter import Painter
from lithe.arm.photo import Photo
from lithe.arm.tiles import window_areas
from lithe.arm.work import Work

if TYPE_CHECKING:
    from lithe.arm.upscaler import Upscaler

__all__ = ["CELL", "Job", "Tick"]

CELL = 32  # patch of the edge score, input pixels
UNHURRIED = 0.85  # of a deadline is planned for; the rest is for what comes in between
STEP = 0.05  # of a time: the dearest tile should not take more
Tick = Callable[[int, int], None]


class Job:
    """One image on its way through an upscaler.

    Args:
        upscaler: its branches, table and latencies.
        painter: of the image.
        start: time of the call on ``time.perf_counter``, seconds.
        tick: told pixels done and pixels in all, after every batch.

    Attributes:
        macs: multiply-accumulates spent so far, overlaps included.
    """

    def __init__(
        self, upscaler: Upscaler, painter: Painter, start: float, tick: Tick | None
    ) -> None:
        self.upscaler, self.painter, self.start = upscaler, painter, start
        self.blocks = Blocks(painter.height, painter.width, CELL, upscaler.largest)
        self.macs, self._pixels, self._tick = 0, 0, tick

    def within(self, eta: float | str | None, macs: float | None) -> Work:
        """Paint with the layout that a price or a number of multiply-accumulates asks for."""
        costs = [self._window_costs(level) for level in range(self.blocks.levels)]
        if eta is None and macs is None:
            gains = np.zeros((self.blocks.rows, self.blocks.columns, costs[0].shape[-1]))
            last = np.arange(costs[0].shape[-1]) == costs[0].shape[-1] - 1
            costs = [np.where(last, cost, np.inf) for cost in costs]
            layout = self.blocks.solve(gains, costs, 0.0)
        elif macs is not None:
            gains = _told_apart(self.upscaler.gains(self.painter.pixels))
            layout = self.blocks.spend(gains, costs, macs)
        else:
            gains = self.upscaler.gains(self.painter.pixels)
            layout = self.blocks.solve(gains, costs, self._price(eta, gains, costs))
        return self._paint(Work.of(self.blocks, layout, gains, costs, self._batches()))

    def as_planned(self, ms: float) -> Work:
        """Paint with the layout that ``ms`` should pay for, and look at no clock."""
        gains = _told_apart(self.upscaler.gains(self.painter.pixels))
        costs = self._times(self.upscaler.latencies)
        left = ms - 1000 * (perf_counter() - self.start)
        layout = self.blocks.spend(gains, costs, left)
        return self._paint(Work.of(self.blocks, layout, gains, costs, self._batches()))

    def _paint(self, work: Work) -> Work:
        for group in work.groups():
            branch = int(work.branches[group[0]])
            self.painter.paint([work.tiles[k] for k in group], branch)
            work.done[group] = True
            self._painted([work.tiles[k] for k in group], branch)
        return work

    def at_pace(self, ms: float) -> Work:
        """Paint so that the clock shows ``ms`` at the end."""
        gains = _told_apart(self.upscaler.gains(self.painter.pixels))
        free = self.blocks
        self._restrict(self.upscaler.latencies, ms)
        costs = self._times(self.upscaler.latencies)
        left = ms - 1000 * (perf_counter() - self.start)
        if self.blocks.solve(gains, costs, 0.0).cost > left:  # small tiles alone cost too much
            self.blocks = free
            costs = self._times(self.upscaler.latencies)
        layout = self.blocks.spend(gains, costs, left)
        work = Work.of(self.blocks, layout, gains, costs, self._batches())
        paced(work, self.painter, ms, self.start, self._painted)
        return work

    def by(self, photo: Photo, deadline_ms: float) -> tuple[Work, np.ndarray | None]:
        """Lay a floor, then improve on it until the deadline is near."""
        reserve = max(3.0, 0.02 * deadline_ms)  # to hand over the result
        until = self.start + (deadline_ms - reserve) / 1000
        lay_floor(self.painter, until)
        alpha = photo.enlarged_alpha(self.upscaler.scale, quick=True)
        gains = _told_apart(self.upscaler.gains(self.painter.pixels))
        latencies = self.upscaler.latencies or self._guess()
        self._restrict(latencies, deadline_ms)
        costs = self._times(latencies)
        left = UNHURRIED * 1000 * (until - perf_counter())
        plain = [j for j, net in enumerate(self.upscaler.nets) if not learned(net)]
        floor = plain[0] if plain else None
        work = Work.of(
            self.blocks, self._by_layout(gains, costs, left), gains, costs, self._batches(latencies)
        )
        work.branches = improve(work, self.painter, until, floor, self._painted)
        return work, alpha

    def _by_layout(self, gains: np.ndarray, costs: list[np.ndarray], left: float) -> Layout:
        cheapest = self.blocks.solve(gains, costs, 0.0)
        return cheapest if cheapest.cost >= left else self.blocks.spend(gains, costs, left)

    def _restrict(self, latencies: Latencies, ms: float) -> None:
        """Keep tiles so small that the dearest of them takes a small part of the time."""
        level = self.blocks.levels - 1
        while level and max(latencies.ms[self.blocks.side(level)]) > STEP * ms:
            level -= 1
        self.blocks = Blocks(self.painter.height, self.painter.width, CELL, CELL << level)

    def _price(self, eta: float | str, gains: np.ndarray, costs: list[np.ndarray]) -> float:
        if eta == "best" or math.isinf(eta):
            spread = float(np.ptp(gains))
            return 1e9 * float(costs[-1].max()) / spread if spread > 0 else 0.0
        return float(eta)

    def _window_costs(self, level: int) -> np.ndarray:
        """Multiply-accumulates of every tile of a level by branch ``(rows, columns, m)``."""
        side, painter = self.blocks.side(level), self.painter
        areas = [window_areas(side, halo, painter.height, painter.width) for halo in painter.halos]
        return np.stack(areas, -1) * self.upscaler.macs_per_pixel

    def _times(self, latencies: Latencies) -> list[np.ndarray]:
        size = self.painter.height, self.painter.width
        return [
            latencies.costs(self.blocks.side(level), *size) for level in range(self.blocks.levels)
        ]

    def _batches(self, latencies: Latencies | None = None) -> dict[int, tuple[int, ...]]:
        known = latencies or self.upscaler.latencies
        sides = [self.blocks.side(level) for level in range(self.blocks.levels)]
        if known is not None:
            return {side: known.batches[side] for side in sides}
        return {side: (1,) * len(self.upscaler.nets) for side in sides}

    def _guess(self) -> Latencies:
        """Times for a machine that has not been measured: slow enough not to promise too much."""
        ms, batches = {}, {}
        for level in range(self.blocks.levels):
            side = self.blocks.side(level)
            areas = np.array([(side + 2 * halo) ** 2 for halo in self.painter.halos])
            ms[side] = tuple((self.upscaler.macs_per_pixel * areas / 5e6 + areas * 1e-3).tolist())
            batches[side] = (1,) * len(areas)
        return Latencies(ms, batches, tuple(self.painter.halos), torch.get_num_threads())

    def _painted(self, tiles: list[Any], branch: int) -> None:
        for tile in tiles:
            window = self.painter.window(tile, branch)
            area = window.height * window.width
            self.macs += round(self.upscaler.macs_per_pixel[branch] * area)
        self._pixels += sum(tile.height * tile.width for tile in tiles)
        if self._tick:
            whole = self.painter.height * self.painter.width
            self._tick(min(self._pixels, whole), whole)


def _told_apart(gains: np.ndarray) -> np.ndarray:
    """Gains of which no two cells have quite the same.

    All cells of one bin have the same gain; at one price they would all change branch at once,
    and a budget could only be met to within a bin.
    """
    cells = gains.shape[0] * gains.shape[1]
    factors = 1 + 1e-3 * np.arange(cells).reshape(gains.shape[:2]) / cells
    return gains * factors[..., None]
