"""Quality at every budget: the anytime curve of an image under any router.

Every branch enlarges the whole image once; a routing then picks, for each cell of 32 x 32 input
pixels, whose pixels are shown. Tiled and whole give the same pixels (:class:`lithe.arm.Upscaler`),
so that is what the routing would have made, and its squared error is a sum over cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lithe.arm.branches import Branches
from lithe.arm.calibrate import to_uint8
from lithe.arm.degrade import degrade
from lithe.arm.edge import edge_scores
from lithe.arm.hull import steps, upper_hull
from lithe.arm.metrics import psnr_of
from lithe.modes import evaluating

__all__ = ["FRACTIONS", "Cells", "Ladder", "anytime", "area", "chord_curve", "ladder", "survey"]

CELL = 32
FRACTIONS = np.arange(1, 21) / 20  # of the cost of the largest branch everywhere


@dataclass(frozen=True, eq=False)
class Cells:
    """What every branch makes of every cell of some images.

    Attributes:
        squared: summed squared error of each branch on each cell, float64 ``(m, n)``; the border
            of the image is left out.
        area: input pixels of each cell ``(n,)``, fewer at the right and bottom.
        image: number of the image of each cell ``(n,)``.
        pixels: values that the error of each image is a mean of ``(images,)``.
        scores: edge scores of each cell ``(n,)``, by name of the score.
        costs: of each branch per input pixel, multiply-accumulates ``(m,)``.
        names: of the branches.
    """

    squared: np.ndarray
    area: np.ndarray
    image: np.ndarray
    pixels: np.ndarray
    scores: Mapping[str, np.ndarray]
    costs: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.area)

    @property
    def psnr(self) -> np.ndarray:
        """PSNR in dB of each branch on each whole image ``(m, images)``."""
        rows = [np.bincount(self.image, row, len(self.pixels)) for row in self.squared]
        return psnr_of(np.stack(rows) / self.pixels)

    @property
    def error(self) -> np.ndarray:
        """Squared error of each branch on each cell, per input pixel ``(n, m)``."""
        return (self.squared / self.area).T


def survey(
    branches: Branches,
    images: Iterable[np.ndarray],
    scores: Sequence[str] = ("laplacian",),
    progress: Callable[[int], None] | None = None,
) -> Cells:
    """Degrade images, enlarge them whole with every branch, and measure cell by cell.

    PSNR follows ARM spec 5.5: uint8, RGB, ``scale`` pixels of border left out. The margin that
    tiles need around them is not counted: costs are those of one pass over the whole image.

    Args:
        branches: what to measure.
        images: sharp, uint8 ``(h, w, 3)``.
        scores: which edge scores to take.
        progress: called with the number of each image that is done.

    Raises:
        ValueError: there are no images.
    """
    found = []
    for number, picture in enumerate(images):
        found.append(_surveyed(branches, picture, scores))
        if progress is not None:
            progress(number)
    if not found:
        raise ValueError("no images to survey")
    squared, area, taken, pixels = zip(*found)
    image = np.repeat(np.arange(len(found)), [len(cells) for cells in area])
    joined = {name: np.concatenate([part[name] for part in taken]) for name in scores}
    costs = np.array(branches.costs(CELL, CELL)) / CELL**2
    return Cells(
        np.concatenate(squared, 1),
        np.concatenate(area),
        image,
        np.array(pixels),
        joined,
        costs,
        branches.names,
    )


def _surveyed(branches: Branches, picture: np.ndarray, scores: Sequence[str]) -> tuple:
    large, small = degrade(picture, branches.scale)
    tops, lefts = (np.arange(0, side, CELL) for side in small.shape[:2])
    patches = _patches(small, tops, lefts)
    taken = {name: edge_scores(patches, name) for name in scores}
    maps = [_error_map(branches, j, small, large) for j in range(len(branches))]
    corners = tops * branches.scale, lefts * branches.scale
    squared = np.stack([_summed(error, *corners).ravel() for error in maps])
    area = _summed(np.ones(small.shape[:2]), tops, lefts).ravel()
    inside = [side - 2 * branches.scale for side in large.shape[:2]]
    return squared, area, taken, 3 * inside[0] * inside[1]


def _summed(values: np.ndarray, tops: np.ndarray, lefts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(np.add.reduceat(values, tops, 0), lefts, 1)


def _patches(small: np.ndarray, tops: np.ndarray, lefts: np.ndarray) -> np.ndarray:
    """One patch per cell; those at the far border are moved inward, as the upscaler does."""
    height, width = (min(CELL, side) for side in small.shape[:2])
    rows = np.minimum(tops, small.shape[0] - height)
    columns = np.minimum(lefts, small.shape[1] - width)
    return np.stack([small[r : r + height, c : c + width] for r in rows for c in columns])


@torch.inference_mode()
def _error_map(branches: Branches, j: int, small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """Squared error summed over colours ``(h, w)``, zero on the border."""
    x = torch.from_numpy(small).to(branches.device).permute(2, 0, 1)[None].float() / 255
    with evaluating(branches):
        made = to_uint8(branches(x, j))[0]
    error = ((made.astype(np.float64) - large) ** 2).sum(2)
    kept = np.zeros_like(error)
    inside = slice(branches.scale, -branches.scale)
    kept[inside, inside] = error[inside, inside]
    return kept


@dataclass(frozen=True, eq=False)
class Ladder:
    """All routings of one image from the cheapest up, each one step dearer than the last.

    Attributes:
        start: branch that each cell begins with ``(n,)``.
        cell: which cell each step changes ``(s,)``.
        branch: the branch that it changes to ``(s,)``.
        spent: multiply-accumulates before the first and after each step ``(s + 1,)``.
        squared: summed squared error likewise ``(s + 1,)``.
    """

    start: np.ndarray
    cell: np.ndarray
    branch: np.ndarray
    spent: np.ndarray
    squared: np.ndarray

    def at(self, budgets: np.ndarray) -> np.ndarray:
        """Squared error of the last routing that each budget pays for."""
        affordable = np.searchsorted(self.spent, budgets * (1 + 1e-12), side="right") - 1
        return self.squared[affordable.clip(0)]


def ladder(gains: np.ndarray, squared: np.ndarray, costs: np.ndarray, area: np.ndarray) -> Ladder:
    """Buy steps up the hulls of (cost, gain) in order of gain per cost, as ``allocate`` does.

    Args:
        gains: what the router believes, per input pixel, more is better ``(n, m)``.
        squared: summed squared error that it gets ``(m, n)``.
        costs: of each branch per input pixel ``(m,)``.
        area: input pixels of each cell ``(n,)``.
    """
    start, cell, branch, extra = steps(gains, costs)
    order = np.argsort(cell, kind="stable")
    before = np.empty_like(branch)
    first = np.r_[True, np.diff(cell[order]) != 0] if len(order) else np.zeros(0, bool)
    before[order] = np.where(first, start[cell[order]], np.roll(branch[order], 1))
    everywhere = np.arange(len(area))
    begin = float((costs[start] * area).sum()), float(squared[start, everywhere].sum())
    saved = squared[branch, cell] - squared[before, cell]
    return Ladder(
        start,
        cell,
        branch,
        np.cumsum(np.r_[begin[0], extra * area[cell]]),
        np.cumsum(np.r_[begin[1], saved]),
    )


def anytime(cells: Cells, gains: np.ndarray, fractions: np.ndarray = FRACTIONS) -> np.ndarray:
    """PSNR of every image at every budget under a router, dB ``(images, budgets)``.

    Args:
        cells: what the branches make of the images.
        gains: what the router believes, per input pixel, more is better ``(n, m)``.
        fractions: budgets of each image, as shares of its largest branch everywhere.
    """
    curves = []
    for number, pixels in enumerate(cells.pixels):
        own = cells.image == number
        area = cells.area[own]
        found = ladder(gains[own], cells.squared[:, own], cells.costs, area)
        curves.append(found.at(fractions * cells.costs.max() * area.sum()) / pixels)
    return psnr_of(np.stack(curves))


def chord_curve(cells: Cells, fractions: np.ndarray = FRACTIONS) -> np.ndarray:
    """The same for the best random mixture of branches, in expectation: routing without knowledge.

    Source: ARM spec 8.3, with squared errors in the place of dB, which is what a mixture within
    an image averages.
    """
    curves = []
    for number, pixels in enumerate(cells.pixels):
        whole = cells.squared[:, cells.image == number].sum(1)
        on = upper_hull(-whole[None], cells.costs)[0]
        curves.append(np.interp(fractions * cells.costs.max(), cells.costs[on], whole[on]) / pixels)
    return psnr_of(np.stack(curves))


def area(curve: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Mean gain over all budgets: the area between a curve and interpolation, dB ``(images,)``.

    Args:
        curve: PSNR ``(images, budgets)``.
        floor: PSNR of the cheapest branch ``(images,)``.
    """
    return (curve - floor[:, None]).mean(1)
