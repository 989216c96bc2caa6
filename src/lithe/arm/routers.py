"""The routers that the chapter compares: what each believes every branch to gain on a cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lithe.arm.anytime import FRACTIONS, Cells, anytime, area, chord_curve, ladder
from lithe.arm.calibrate import Patches
from lithe.arm.metrics import psnr_of
from lithe.arm.table import EdgeTable
from lithe.stats import mean_ci

__all__ = [
    "ROUTERS",
    "compare",
    "gained",
    "least_share",
    "pooled",
    "pooled_summary",
    "pooled_table",
    "random_gains",
    "score_gains",
    "summary",
    "with_table",
]

DRAWS = 8  # of random routings, averaged

#: Router -> what it knows. ``chord`` is the expectation of the best routing that knows nothing.
ROUTERS = {
    "psnr": "the paper's table of PSNR by edge score",
    "mse": "a table of squared error by edge score",
    "variance": "a table of squared error by the deviation of gray",
    "score": "the order of the edge scores alone",
    "random": "nothing, drawn",
    "chord": "nothing, in expectation",
    "oracle": "the squared error of every branch on every cell",
}


def score_gains(scores: np.ndarray, patches: Patches) -> np.ndarray:
    """Gains in proportion to the score: the harder the cell, the larger the branch.

    Source: ARM spec 8.4. How the branches compare with each other is their mean over all
    calibration patches.

    Args:
        scores: edge score of each cell ``(n,)``.
        patches: calibration patches.

    Returns:
        ``(n, m)``.
    """
    saved = patches.mse[0].mean() - patches.mse.mean(1)
    return scores[:, None] * saved


def random_gains(n: int, costs: Sequence[float], generator: torch.Generator) -> np.ndarray:
    """Gains that know nothing of the cells; see :func:`lithe.arm.random_routes`.

    Args:
        n: cells.
        costs: of each branch ``(m,)``, rising.
        generator: source of the numbers.
    """
    worth = torch.rand((n, len(costs) - 1), generator=generator, dtype=torch.float64)
    rises = worth.sort(1, descending=True).values.numpy() * np.diff(costs)
    return np.c_[np.zeros(n), rises.cumsum(1)]


def compare(
    cells: Cells,
    patches: Patches,
    by_variance: Patches,
    bins: int = 10,
    generator: torch.Generator | None = None,
) -> dict[str, np.ndarray]:
    """Anytime curves of all routers: PSNR ``(images, budgets)`` by name.

    Args:
        cells: of the test images, with the scores ``laplacian`` and ``variance``.
        patches: calibration patches, for the tables.
        by_variance: the same patches with the score ``variance``.
        bins: of the tables.
        generator: of the random control; seeded with 0 if none is given.
    """
    generator = generator or torch.Generator().manual_seed(0)
    scores, variances = cells.scores["laplacian"], cells.scores["variance"]
    tables = {target: patches.table(bins, target) for target in ("psnr", "mse")}
    gains = {
        **{target: table.gains(scores) for target, table in tables.items()},
        "variance": by_variance.table(bins, "mse").gains(variances),
        "score": score_gains(scores, patches),
        "oracle": -cells.error,
    }
    curves = {name: anytime(cells, gain) for name, gain in gains.items()}
    drawn = [anytime(cells, random_gains(len(cells), cells.costs, generator)) for _ in range(DRAWS)]
    return curves | {"random": np.mean(drawn, 0), "chord": chord_curve(cells)}


def with_table(cells: Cells, table: EdgeTable) -> np.ndarray:
    """Anytime curve of a table that is there already."""
    return anytime(cells, table.filled().gains(cells.scores[table.score]))


def pooled(cells: Cells, patches: Patches, bins: int = 10) -> dict[str, np.ndarray]:
    """Curves with one budget for the whole set of images, as the paper spends it.

    Source: ARM spec 5.5, 8.3: one exchange rate for all patches of all images, PSNR averaged
    over images. ``chord`` mixes the branches' mean PSNR in dB, as there.

    Returns:
        PSNR ``(images, budgets)`` by router.
    """
    curves = {t: pooled_table(cells, patches.table(bins, t)) for t in ("psnr", "mse")}
    chord = [np.interp(FRACTIONS, cells.costs / cells.costs.max(), row) for row in cells.psnr.T]
    return curves | {"oracle": _pooled(cells, -cells.error), "chord": np.stack(chord)}


def pooled_table(cells: Cells, table: EdgeTable) -> np.ndarray:
    """The same for one table."""
    return _pooled(cells, table.filled().gains(cells.scores[table.score]))


def _pooled(cells: Cells, gains: np.ndarray) -> np.ndarray:
    found = ladder(gains, cells.squared, cells.costs, cells.area)
    budgets = FRACTIONS * cells.costs.max() * cells.area.sum()
    taken = np.searchsorted(found.spent, budgets * (1 + 1e-12), side="right") - 1
    everywhere, curve = np.arange(len(cells)), []
    for steps in taken:
        route = found.start.copy()
        route[found.cell[:steps]] = found.branch[:steps]  # steps of a cell are in rising order
        chosen = cells.squared[route, everywhere]
        curve.append(np.bincount(cells.image, chosen, len(cells.pixels)) / cells.pixels)
    return psnr_of(np.stack(curve, 1))


def pooled_summary(cells: Cells, curves: dict[str, np.ndarray]) -> dict[str, dict]:
    """:func:`summary` of curves with one budget for the whole set."""
    found = summary(cells, curves)
    return {f"pooled_{name}": value for name, value in found.items()}


def summary(cells: Cells, curves: dict[str, np.ndarray]) -> dict[str, dict]:
    """Areas under the curves over all images, and how they differ from each other by image.

    ``area_`` is the mean gain over interpolation at all budgets. ``a_over_b`` compares two
    routers image by image: mean, and the ends of its 95% interval over images.
    """
    floor, n = cells.psnr[0], len(cells.pixels)
    areas = {name: area(curve, floor) for name, curve in curves.items()}
    table = {f"area_{name}": _db(values.mean(), n) for name, values in areas.items()}
    half = int(np.searchsorted(FRACTIONS, 0.5))
    table |= {f"half_{name}": _db(curve[:, half].mean(), n) for name, curve in curves.items()}
    for better, worse in PAIRS:
        if n > 1 and {better, worse} <= areas.keys():
            found = mean_ci((areas[better] - areas[worse]).tolist())
            table[f"{better}_over_{worse}"] = _db(found.mean, n)
            table[f"{better}_over_{worse}_low"] = _db(found.low, n)
            table[f"{better}_over_{worse}_high"] = _db(found.high, n)
    return table


PAIRS = (
    *(("psnr", "chord"), ("psnr", "random"), ("mse", "chord"), ("mse", "psnr")),
    *(("mse", "variance"), ("mse", "score"), ("oracle", "mse"), ("psnr", "score")),
    ("released", "chord"),
    ("mse", "released"),
)


def least_share(curve: np.ndarray, whole: np.ndarray, loss: float) -> float:
    """Smallest budget at which the mean PSNR is within ``loss`` dB of the largest branch's.

    Args:
        curve: PSNR ``(images, budgets)`` at :data:`lithe.arm.anytime.FRACTIONS`.
        whole: PSNR of the largest branch ``(images,)``.
        loss: dB.

    Returns:
        Share of the largest branch's cost; 1 if only all of it does.
    """
    enough = curve.mean(0) >= whole.mean() - loss
    return float(FRACTIONS[enough.argmax()]) if enough.any() else 1.0


def gained(patches: Patches, smaller: int, larger: int) -> tuple[np.ndarray, np.ndarray]:
    """What the larger of two branches gains on each patch: dB, and squared error saved."""
    quality = psnr_of(patches.mse)
    return quality[larger] - quality[smaller], patches.mse[smaller] - patches.mse[larger]


def _db(value: float, n: int) -> dict[str, object]:
    return {"value": float(value), "unit": "dB", "n": n}
