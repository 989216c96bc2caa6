"""Enlarge real images, as well as a budget allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from lithe.arm.blocks import Blocks, Layout
from lithe.arm.branches import Branches
from lithe.arm.choose import choose_all
from lithe.arm.deadline import improve, lay_floor
from lithe.arm.edge import edge_scores
from lithe.arm.latencies import Latencies
from lithe.arm.margin import visible_halo
from lithe.arm.pace import paced
from lithe.arm.painter import Painter, full_scale
from lithe.arm.photo import MAX_PIXELS, Photo
from lithe.arm.released_cutting import combine, crop, run_patches
from lithe.arm.table import EdgeTable
from lithe.arm.tiles import window_side
from lithe.arm.work import Work

__all__ = ["CELL", "Result", "Upscaler"]

CELL = 32  # patch of the edge score, input pixels
UNHURRIED = 0.85  # of a deadline is planned for; the rest is for what comes in between
STEP = 0.05  # of a time: the dearest tile should not take more
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Result:
    """An enlarged image.

    Attributes:
        image: of the layout and type that was given; from a file, an array.
        routes: branch of every cell of 32 x 32 input pixels ``(rows, columns)``; -1 where a
            deadline left no time for any.
        macs: multiply-accumulates spent, overlaps included.
        ms: milliseconds from call to result.
        names: of the branches.
        info: EXIF, ICC profile and density of the image that was given.
    """

    image: np.ndarray | Image.Image
    routes: np.ndarray
    macs: int
    ms: float
    names: tuple[str, ...]
    info: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """How many cells each branch enlarged."""
        return {name: int((self.routes == j).sum()) for j, name in enumerate(self.names)}

    def save(self, path: str | Path) -> Path:
        """Write the image with what travelled along, in the format of the suffix, atomically.

        Raises:
            ImageError: the format cannot hold the image.
        """
        from lithe.arm.image_files import save

        return save(Path(path), np.asarray(self.image), self.info)


class Upscaler:
    """Routes the tiles of an image through branches of different cost.

    Tiled and whole give the same pixels: every tile is shown the receptive field around it.

    Args:
        branches: a supernet, or other branches; their present weights are copied.
        table: what each branch is expected to gain; only calls without a budget do without.
        largest: side of the largest tile in input pixels, 32 times a power of two: large tiles
            waste less on overlap and take more memory.
        halo: margin of a tile. ``"exact"``: the receptive field. ``"visible"``: as far as
            something changes by a quarter of an 8-bit step, measured on noise; a fraction of
            the work for deep networks. A number: input pixels, at your own risk of seams.
        latencies: of this machine; measured at the first call that needs them if not given.
        max_pixels: largest input, height times width.

    Raises:
        ValueError: table and branches do not fit, or an argument is out of range.
    """

    def __init__(
        self,
        branches: Branches,
        table: EdgeTable | None = None,
        *,
        largest: int = 128,
        halo: Literal["exact", "visible"] | int = "exact",
        latencies: Latencies | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if table is not None and len(table) != len(branches):
            raise ValueError(f"the table has {len(table)} branches, there are {len(branches)}")
        Blocks(1, 1, CELL, largest)
        self.branches, self.table, self.largest = branches, table, largest
        self.scale, self.names, self.max_pixels = branches.scale, branches.names, max_pixels
        self.nets = [_ready(branches.branch(j)) for j in range(len(branches))]
        self.halos = [_margin(net, branches.halo(j), halo) for j, net in enumerate(self.nets)]
        self.macs_per_pixel = np.array(branches.costs(CELL, CELL)) / CELL**2
        self.latencies = latencies
        if latencies is not None and latencies.halos != tuple(self.halos):
            raise ValueError(f"latencies are for margins {latencies.halos}, not {self.halos}")

    def __call__(
        self,
        image: Any,
        eta: float | str | None = None,
        macs: float | None = None,
        ms: float | None = None,
        deadline_ms: float | None = None,
        *,
        released: bool = False,
        tick: Tick | None = None,
    ) -> Result:
        """Enlarge one image; without a budget with the last, largest branch throughout.

        Args:
            image: array, PIL image or path; see :meth:`lithe.arm.photo.Photo.of`.
            eta: multiply-accumulates that one unit of the table's gain on a 32 x 32 patch is
                worth, overlaps counted; ``"best"`` for what the table holds best.
            macs: multiply-accumulates for the whole image, at most.
            ms: milliseconds for the call, aimed at: faster machines do more, slower ones less.
                The machine is measured before, once, see :meth:`tune`; that is not counted.
            deadline_ms: milliseconds after which the call has returned with the best so far.
            released: cut, choose and combine as the released code (patches of 32, step 28,
                ``eta`` in its own operations); the image comes as float32 in 0..255, smaller by
                what fills no patch. For comparison only.
            tick: told pixels done and pixels in all, after every batch.

        Raises:
            ImageError: it cannot be enlarged; the message says why.
            BudgetError: ``macs`` or ``ms`` do not pay for the cheapest branch.
            ValueError: more than one budget, or one that is no positive number.
        """
        start = perf_counter()
        self._check(eta, macs, ms, deadline_ms)
        if ms is not None and self.latencies is None:
            self.tune()
            start = perf_counter()
        photo = Photo.of(image, self.max_pixels)
        if released:
            return self._released(photo, eta, start)
        painter = Painter(photo.seen(), self.nets, self.halos, self.scale)
        job = _Job(self, painter, start, tick)
        if deadline_ms is not None:
            return self._result(photo, job, *job.by(photo, float(deadline_ms)))
        work = job.at_pace(float(ms)) if ms is not None else job.within(eta, macs)
        return self._result(photo, job, work, photo.enlarged_alpha(self.scale))

    def tune(self, repeats: int = 3) -> Latencies:
        """Measure every branch on this machine at its present number of threads; seconds."""
        sides = [CELL << level for level in range((self.largest // CELL).bit_length())]
        self.latencies = Latencies.measure(self.nets, self.halos, self.scale, sides, repeats)
        return self.latencies

    def gains(self, pixels: np.ndarray) -> np.ndarray:
        """What the table expects of every branch on every cell ``(rows, columns, m)``.

        Args:
            pixels: ``(h, w, 3 or 1)``, as in :class:`lithe.arm.photo.Photo`.
        """
        blocks = Blocks(*pixels.shape[:2], CELL, self.largest)
        patches = _cells(pixels, blocks)
        gains = self.table.filled().gains(edge_scores(patches, self.table.score))
        return gains.reshape(blocks.rows, blocks.columns, -1) * blocks.areas()[..., None]

    def _check(self, eta: Any, macs: Any, ms: Any, deadline_ms: Any) -> None:
        given = {"eta": eta, "macs": macs, "ms": ms, "deadline_ms": deadline_ms}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"one budget at a time; these were given: {', '.join(given)}")
        if given and self.table is None:
            raise ValueError("a budget needs an edge table: Upscaler(branches, table)")
        for name, value in given.items():
            if name == "eta" and value == "best":
                continue
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not number or math.isnan(value) or value < 0 or (value == 0 and "ms" in name):
                raise ValueError(f"{name} is {value!r}; it must be a positive number")

    def _result(self, photo: Photo, job: _Job, work: Work, alpha: np.ndarray | None) -> Result:
        image = photo.assemble(job.painter.canvas, alpha)
        elapsed = 1000 * (perf_counter() - job.start)
        routes = np.zeros((job.blocks.rows, job.blocks.columns), np.int64)
        for tile, branch in zip(work.tiles, work.branches):
            routes[job.blocks.cells_of(tile)] = branch
        return Result(image, routes, job.macs, elapsed, self.names, photo.info)

    def _released(self, photo: Photo, eta: float | str | None, start: float) -> Result:
        if photo.colour.dtype != np.uint8:
            raise ValueError(f"the released code takes 8-bit images, not {photo.colour.dtype}")
        patches, rows, columns = crop(photo.colour.repeat(4 - photo.colour.shape[2], 2)[..., :3])
        if eta is not None and self.table.target != "psnr":
            raise ValueError(
                f"the released rule weighs decibels; this table predicts {self.table.target!r}: "
                "build it with target='psnr', or leave released out"
            )
        if eta is None:
            routes = np.full(len(patches), len(self.nets) - 1)
        else:
            predicted = self.table.predict(edge_scores(patches, self.table.score))
            routes = choose_all(predicted, self.branches.costs(CELL, CELL, released=True), eta)
        made = run_patches(self.nets, patches, routes)
        canvas = combine(made, rows, columns, 28 * self.scale)
        macs = int(np.rint((self.macs_per_pixel[routes] * CELL**2).sum()))
        elapsed = 1000 * (perf_counter() - start)
        return Result(canvas, routes.reshape(rows, columns), macs, elapsed, self.names, photo.info)


class _Job:
    """One image on its way through an upscaler."""

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
            gains = np.zeros((self.blocks.rows, self.blocks.columns, len(costs[0])))
            costs = [np.where(np.arange(len(c)) == len(c) - 1, c, np.inf) for c in costs]
            layout = self.blocks.solve(gains, costs, 0.0)
        elif macs is not None:
            gains = _told_apart(self.upscaler.gains(self.painter.pixels))
            layout = self.blocks.spend(gains, costs, macs)
        else:
            gains = self.upscaler.gains(self.painter.pixels)
            layout = self.blocks.solve(gains, costs, self._price(eta, gains, costs))
        work = Work.of(self.blocks, layout, gains, costs, self._batches())
        for group in work.groups():
            branch = int(work.branches[group[0]])
            self.painter.paint([work.tiles[k] for k in group], branch)
            work.done[group] = True
            self._painted([work.tiles[k] for k in group], branch)
        return work

    def at_pace(self, ms: float) -> Work:
        """Paint so that the clock shows ``ms`` at the end."""
        self._restrict(self.upscaler.latencies, ms)
        gains = _told_apart(self.upscaler.gains(self.painter.pixels))
        costs = self._times(self.upscaler.latencies)
        left = ms - 1000 * (perf_counter() - self.start)
        layout = self.blocks.spend(gains, costs, left)
        work = Work.of(self.blocks, layout, gains, costs, self._batches())
        paced(work, self.painter, ms, self.start, self._painted)
        return work

    def by(self, photo: Photo, deadline_ms: float) -> tuple[Work, np.ndarray | None]:
        """Lay a floor, then improve on it until the deadline is near."""
        reserve = max(3.0, 0.02 * deadline_ms)  # to hand over the result
        until = self.start + (deadline_ms - reserve) / 1000
        lay_floor(self.painter, until)
        alpha = photo.enlarged_alpha(self.upscaler.scale)
        gains = _told_apart(self.upscaler.gains(self.painter.pixels))
        latencies = self.upscaler.latencies or self._guess()
        self._restrict(latencies, deadline_ms)
        costs = self._times(latencies)
        left = UNHURRIED * 1000 * (until - perf_counter())
        plain = [j for j, net in enumerate(self.upscaler.nets) if not _learned(net)]
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
        """Multiply-accumulates of one tile by branch."""
        side, painter = self.blocks.side(level), self.painter
        areas = [
            window_side(side, halo, painter.height) * window_side(side, halo, painter.width)
            for halo in painter.halos
        ]
        return self.upscaler.macs_per_pixel * np.array(areas)

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


def _learned(net: nn.Module) -> bool:
    return next(net.parameters(), None) is not None


def _ready(net: nn.Module) -> nn.Module:
    """For inference on tiles: eval mode, weights in the layout that convolutions run fastest in."""
    net = net.eval().requires_grad_(False)
    return net.to(memory_format=torch.channels_last) if _learned(net) else net


def _margin(net: nn.Module, exact: int, halo: str | int) -> int:
    if halo == "exact":
        return exact
    if halo == "visible":
        return visible_halo(net, exact)
    if isinstance(halo, bool) or not isinstance(halo, int) or halo < 0:
        raise ValueError(f"halo is {halo!r}; it is 'exact', 'visible' or a number of input pixels")
    return min(halo, exact)


def _cells(pixels: np.ndarray, blocks: Blocks) -> np.ndarray:
    """The cells as uint8 RGB patches of one size; those at the far border are moved inward."""
    height, width = min(CELL, blocks.height), min(CELL, blocks.width)
    rows = np.minimum(CELL * np.arange(blocks.rows), blocks.height - height)
    columns = np.minimum(CELL * np.arange(blocks.columns), blocks.width - width)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (height, width), (0, 1))
    cells = windows[rows[:, None], columns].reshape(-1, pixels.shape[2], height, width)
    if cells.dtype != np.uint8:
        cells = (cells * (255 / full_scale(pixels.dtype))).round().astype(np.uint8)
    patches = cells.transpose(0, 2, 3, 1)
    return patches if patches.shape[3] == 3 else patches.repeat(3, 3)


def _told_apart(gains: np.ndarray) -> np.ndarray:
    """Gains of which no two cells have quite the same.

    All cells of one bin have the same gain; at one price they would all change branch at once,
    and a budget could only be met to within a bin.
    """
    cells = gains.shape[0] * gains.shape[1]
    factors = 1 + 1e-3 * np.arange(cells).reshape(gains.shape[:2]) / cells
    return gains * factors[..., None]
