"""Enlarge real images, as well as a budget allows."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from lithe.arm.blocks import Blocks
from lithe.arm.branches import Branches
from lithe.arm.choose import choose_all
from lithe.arm.edge import edge_scores
from lithe.arm.executors import executor, fastest
from lithe.arm.job import CELL, Job, Tick
from lithe.arm.latencies import Latencies
from lithe.arm.margin import visible_halo
from lithe.arm.painter import Painter, full_scale
from lithe.arm.photo import MAX_PIXELS, Photo
from lithe.arm.released_cutting import combine, crop, run_patches
from lithe.arm.supernet import BACKBONES
from lithe.arm.table import EdgeTable
from lithe.arm.work import Work

__all__ = ["CELL", "Result", "Upscaler"]

MEMORY = 256e6  # bytes that a layer may read and write on the largest tile


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
            waste less on overlap and take more memory. By default 128, and 256 where the
            branches' layers are so thin that this takes little.
        halo: margin of a tile. ``"exact"``: the receptive field. ``"visible"``: as far as
            something changes by a quarter of an 8-bit step, measured on noise; a fraction of
            the work for deep networks. A number: input pixels, at your own risk of seams.
        latencies: of this machine; measured at the first call that needs them if not given. The
            branches are then run by what ran them when they were measured.
        max_pixels: largest input, height times width.

    Raises:
        ValueError: table and branches do not fit, or an argument is out of range.
        ImportError: latencies were measured with a runtime that is not installed.
    """

    def __init__(
        self,
        branches: Branches,
        table: EdgeTable | None = None,
        *,
        largest: int | None = None,
        halo: Literal["exact", "visible"] | int = "exact",
        latencies: Latencies | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.branches, self.table = branches, _fitting(table, branches)
        self.scale, self.names, self.max_pixels = branches.scale, branches.names, max_pixels
        copies = [copy.deepcopy(branches.branch(j)) for j in range(len(branches))]
        self.nets = [net.eval().requires_grad_(False) for net in copies]
        self.largest = _largest(self.nets, latencies) if largest is None else largest
        Blocks(1, 1, CELL, self.largest)
        self.halos = [_margin(net, branches.halo(j), halo) for j, net in enumerate(self.nets)]
        self.macs_per_pixel = np.array(branches.costs(CELL, CELL)) / CELL**2
        self.latencies = latencies
        if latencies is not None:
            _check_measured(latencies, self.halos, self.largest)
        kinds = (latencies and latencies.executors) or ("torch",) * len(self.nets)
        self.runs = [executor(net, kind) for net, kind in zip(self.nets, kinds)]

    def __call__(
        self,
        image: Any,
        eta: float | str | None = None,
        macs: float | None = None,
        ms: float | None = None,
        deadline_ms: float | None = None,
        *,
        steered: bool = True,
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
            steered: hold to ``ms`` by the clock, which takes small tiles; without, the tiles that
                get most for what ``ms`` should pay for, and the time taken is what it is.
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
        self.check(eta, macs, ms, deadline_ms, released=released)
        if ms is not None and self.latencies is None:
            self.tune()
            start = perf_counter()
        photo = Photo.of(image, self.max_pixels)
        if released:
            return self._released(photo, eta, start)
        painter = Painter(photo.seen(), self.runs, self.halos, self.scale)
        job = Job(self, painter, start, tick)
        if deadline_ms is not None:
            return self._result(photo, job, *job.by(photo, float(deadline_ms)))
        if ms is None:
            work = job.within(eta, macs)
        else:
            work = job.at_pace(float(ms)) if steered else job.as_planned(float(ms))
        return self._result(photo, job, work, photo.enlarged_alpha(self.scale))

    def tune(self, repeats: int = 3) -> Latencies:
        """Make ready for this machine at its present number of threads; seconds.

        Each branch is given the executor that is fastest here, see ``lithe.arm.executors``, and
        then measured on every kind of tile.
        """
        sides = [CELL << level for level in range((self.largest // CELL).bit_length())]
        size = min(2 * CELL, self.largest)
        self.runs = [fastest(net, size + 2 * halo) for net, halo in zip(self.nets, self.halos)]
        self.latencies = Latencies.measure(self.runs, self.halos, self.scale, sides, repeats)
        return self.latencies

    def routed_by(self, table: EdgeTable) -> Upscaler:
        """The same branches, executors and latencies behind another table.

        Raises:
            ValueError: it is of another number of branches.
        """
        other = copy.copy(self)
        other.table = _fitting(table, self.branches)
        return other

    def gains(self, pixels: np.ndarray) -> np.ndarray:
        """What the table expects of every branch on every cell ``(rows, columns, m)``.

        Args:
            pixels: ``(h, w, 3 or 1)``, as in :class:`lithe.arm.photo.Photo`.
        """
        blocks = Blocks(*pixels.shape[:2], CELL, self.largest)
        patches = _cells(pixels, blocks)
        gains = self.table.filled().gains(edge_scores(patches, self.table.score))
        return gains.reshape(blocks.rows, blocks.columns, -1) * blocks.areas()[..., None]

    def check(
        self,
        eta: Any = None,
        macs: Any = None,
        ms: Any = None,
        deadline_ms: Any = None,
        *,
        steered: bool = True,
        released: bool = False,
    ) -> None:
        """Refuse arguments of a call that make no sense, whatever the image.

        Raises:
            ValueError: more than one budget, one that is no positive number, one without a
                table, or one that the released rule does not know.
        """
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
            if "ms" in name and math.isinf(value):
                raise ValueError(f"{name} is {value!r}; without a limit of time leave it out")
            if released and name != "eta":
                raise ValueError(f"the released rule knows eta only; {name} was given")

    def _result(self, photo: Photo, job: Job, work: Work, alpha: np.ndarray | None) -> Result:
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
        # in the layout that the released code hands over: channels first
        plain = [lambda x, net=net: net(x.contiguous()) for net in self.nets]
        made = run_patches(plain, patches, routes)
        canvas = combine(made, rows, columns, 28 * self.scale)
        macs = int(np.rint((self.macs_per_pixel[routes] * CELL**2).sum()))
        elapsed = 1000 * (perf_counter() - start)
        return Result(canvas, routes.reshape(rows, columns), macs, elapsed, self.names, photo.info)


def _fitting(table: EdgeTable | None, branches: Branches) -> EdgeTable | None:
    if table is not None and len(table) != len(branches):
        raise ValueError(f"the table has {len(table)} branches, there are {len(branches)}")
    if table is not None and _foreign(table.names[1:], branches.names[1:]):
        raise ValueError(f"the table is of {table.names}, the branches are {branches.names}")
    if table is not None and not np.isfinite(table.values).all(0).any():
        raise ValueError("the table has no bin with a number for every branch")
    if table is not None and not (np.diff(table.centres, prepend=-np.inf) > 0).all():
        raise ValueError(f"the table's centres do not rise: {table.centres}; it is damaged")
    return table


def _foreign(tabled: Sequence[str], names: Sequence[str]) -> bool:
    """Whether both name published networks, and not the same; other names are anyone's own."""
    known = all(name.split("-")[0] in BACKBONES for name in (*tabled, *names))
    return known and tuple(tabled) != tuple(names)


def _check_measured(latencies: Latencies, halos: Sequence[int], largest: int) -> None:
    if latencies.halos != tuple(halos):
        raise ValueError(f"latencies are for margins {latencies.halos}, not {tuple(halos)}")
    sides = [CELL << level for level in range((largest // CELL).bit_length())]
    if missing := [side for side in sides if side not in latencies.ms]:
        raise ValueError(f"latencies are for tiles of {sorted(latencies.ms)}, not of {missing[0]}")


def _largest(nets: Sequence[nn.Module], latencies: Latencies | None) -> int:
    """The side that was measured, or as large as the memory of the thickest layer allows."""
    if latencies is not None:
        return max(latencies.ms)
    side = 4 * CELL
    return 2 * side if (2 * side) ** 2 * max(map(_thickness, nets)) <= MEMORY else side


def _thickness(net: nn.Module) -> float:
    """Most bytes that a layer reads and writes per input pixel."""
    most = [0]

    def note(_: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        tensors = [t for t in (*given, made) if isinstance(t, torch.Tensor)]
        most.append(sum(t.numel() * t.element_size() for t in tensors))

    hooks = [module.register_forward_hook(note) for module in net.modules()]
    try:
        with torch.inference_mode():
            net(
                torch.zeros(
                    1, 3, CELL, CELL, device=next((p.device for p in net.parameters()), None)
                )
            )
    finally:
        for hook in hooks:
            hook.remove()
    return max(most) / CELL**2


def _margin(net: nn.Module, exact: int, halo: str | int) -> int:
    if exact < 0:
        raise ValueError(f"{type(net).__name__} says its halo is {exact}; it is 0 or more")
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
