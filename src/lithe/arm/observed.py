"""The released weights on real photographs: the three observations, and what routing is worth.

Only numbers come out of the test sets. Source: ARM spec 1, 4, 8, 9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lithe import data
from lithe.arm import published, routers
from lithe.arm.anytime import FRACTIONS, Cells, survey
from lithe.arm.branches import Interpolation, Mixed
from lithe.arm.calibrate import STEP, Patches, held_out, measure
from lithe.arm.degrade import PHOTOS
from lithe.arm.edge import SCORES
from lithe.arm.official import load_official, official_table
from lithe.arm.supernet import BACKBONES
from lithe.arm.table import Spacing, Target
from lithe.arm.testsets import SETS, Pictures, benchmark, bundled
from lithe.stats import mean_ci

__all__ = ["EXHIBITS", "observations", "official", "released_table", "scored"]

Metrics = dict[str, float | dict]
Exhibit = tuple[Metrics, dict[str, list[float]] | None, list[dict[str, Any]]]
NOTHING_DB = 0.05  # a gain that nobody sees
LOSSES = (0.02, 0.1)  # dB, against the whole image at full width


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def observations(patches: Patches) -> Metrics:
    """The three observations on patches, the first one put to both of its readings.

    ``psnr_rho`` correlates the edge score with the PSNR of each branch; ``db_rho`` with the dB
    that a larger branch gains on a smaller; ``mse_rho`` with the squared error that it saves.

    Args:
        patches: measured on branch 0, interpolation, and networks of rising cost.
    """
    names, n = [_short(name) for name in patches.names], len(patches)
    table: Metrics = {}
    for j, name in enumerate(names):
        table[f"psnr_rho_{name}"] = _over(correlation(patches.scores, patches.psnr[j]), n)
        table[f"mean_psnr_{name}"] = _over(patches.psnr[j].mean(), n, "dB")
    largest = len(names) - 1
    for smaller in range(largest):
        pair = f"{names[largest]}_{names[smaller]}"
        gained, saved = routers.gained(patches, smaller, largest)
        table[f"db_rho_{pair}"] = _over(correlation(patches.scores, gained), n)
        table[f"mse_rho_{pair}"] = _over(correlation(patches.scores, saved), n)
        table[f"db_gain_{pair}"] = _over(gained.mean(), n, "dB")
        table[f"better_share_{pair}"] = _over(100 * (gained > 0).mean(), n, "%")
        table[f"idle_share_{pair}"] = _over(100 * (gained < NOTHING_DB).mean(), n, "%")
    return table


def scored(patches: dict[str, Patches]) -> Metrics:
    """How well each edge score foretells what the largest branch saves on interpolation.

    Args:
        patches: the same patches under several scores, by name of the score.
    """
    table: Metrics = {}
    for name, found in patches.items():
        _, saved = routers.gained(found, 0, len(found.names) - 1)
        _, finer = routers.gained(found, 1, len(found.names) - 1)
        table[f"mse_rho_by_{name}"] = _over(correlation(found.scores, saved), len(found))
        table[f"mse_rho_widths_by_{name}"] = _over(correlation(found.scores, finer), len(found))
    return table


KINDS: tuple[tuple[str, Target, Spacing], ...] = (
    *(("psnr", "psnr", "even"), ("mse", "mse", "even"), ("mse_count", "mse", "count")),
)


def tables_compared(cells: Cells, patches: Patches, counts: tuple[int, ...]) -> Metrics:
    """Areas of all kinds of table at several numbers of bins, and how well they foretell."""
    floor, table = cells.psnr[0], {}
    for kind, target, spacing in KINDS:
        for bins in counts:
            curve = routers.with_table(cells, patches.table(bins, target, spacing))
            name = f"{kind}_k{bins}"
            area = routers.area(curve, floor).mean()
            table[f"area_{name}"] = _over(area, len(floor), "dB")
            unit = {"unit": "dB"} if target == "psnr" else {}
            missed = held_out(patches, bins, target, spacing).gain_rmse
            table[f"held_out_{name}"] = {"value": missed} | unit
    return table


def official(backbone: str, bins: tuple[int, ...] = (5, 10, 15, 30, 60)) -> Exhibit:
    """One released supernet on Set5, Set14, and what is there of B100 and Urban100.

    Tables of our own are made of scikit-image's photographs, on which it was not trained.

    Args:
        backbone: ``"fsrcnn"`` or ``"carn"``.
        bins: of the tables that are compared.
    """
    golden = data.shared_folder() / "golden"
    net = load_official(golden / f"arm_{backbone}_official.safetensors", backbone)
    sets = [benchmark(name) for name in SETS]
    everything = [image for one in sets for image in one.images.values()]
    cells = survey(net.deployed(), everything, ("laplacian", "variance"))
    photos = bundled(PHOTOS)
    patches = measure(net.deployed(), photos.images.values())
    taken = {name: measure_again(patches, photos, name) for name in SCORES}
    curves = routers.compare(cells, patches, taken["variance"])
    table, _ = official_table(golden / "arm_lut_official.npz", backbone)
    curves["released"] = routers.with_table(cells, table)
    pooled = routers.pooled(cells, patches) | {"released": routers.pooled_table(cells, table)}
    metrics = {
        **observations(measure(net.deployed(), everything)),
        **whole_images(cells, sets),
        **scored(taken),
        **routers.summary(cells, curves),
        **routers.pooled_summary(cells, pooled),
        **tables_compared(cells, patches, bins),
        **shares(cells, curves),
    }
    used = [one.described() for one in (*sets, photos)]
    files = (f"arm_{backbone}_official.safetensors", "arm_lut_official.npz")
    return metrics, plotted(curves, pooled), [*used, *(_file(golden, name) for name in files)]


def measure_again(patches: Patches, pictures: Pictures, score: str, step: int = STEP) -> Patches:
    """The same patches under another score, without running the networks again."""
    taken = measure(
        Mixed([Interpolation(4, "nearest")]), pictures.images.values(), score=score, step=step
    )
    return Patches(taken.scores, patches.mse, patches.image, patches.names, score)


def whole_images(cells: Cells, sets: list[Pictures]) -> Metrics:
    """PSNR of every branch alone on whole images, by test set and over all."""
    table, first = {}, 0
    for one in sets:
        rows = cells.psnr[:, first : first + len(one)]
        first += len(one)
        table |= {
            f"psnr_{_short(name)}_{one.name.lower()}": _over(row.mean(), len(one), "dB")
            for name, row in zip(cells.names, rows)
        }
    means = cells.psnr.mean(1)
    table |= {f"psnr_{_short(n)}": _over(x, first, "dB") for n, x in zip(cells.names, means)}
    return table


def shares(cells: Cells, curves: dict[str, np.ndarray]) -> Metrics:
    """Smallest budgets that come close to the largest branch on the whole image, in percent."""
    whole = cells.psnr[-1]
    return {
        f"share_{name}_{loss:g}db".replace(".", ""): _over(
            100 * routers.least_share(curves[name], whole, loss), len(whole), "%"
        )
        for name in curves
        for loss in LOSSES
    }


def plotted(curves: dict[str, np.ndarray], pooled: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Mean curves, and of each router's lead on chance the half width of its 95% interval.

    Args:
        curves: PSNR ``(images, budgets)`` by router, one budget per image.
        pooled: the same with one budget for the whole set.
    """
    found: dict[str, list[float]] = {"fraction": FRACTIONS.tolist()}
    for name, curve in curves.items():
        found[name] = curve.mean(0).tolist()
        lead = (curve - curves["chord"]).T
        if len(curve) > 1:
            found[f"{name}_band"] = [mean_ci(row.tolist()).half_width for row in lead]
    return found | {f"pooled_{name}": curve.mean(0).tolist() for name, curve in pooled.items()}


def released_table() -> Exhibit:
    """What the released table and its log say by themselves. Source: ARM spec 4.4, 9.1, 9.2."""
    path = data.shared_folder() / "golden" / "arm_lut_official.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    scores, psnr = arrays["bilinear_log_scores"], arrays["bilinear_log_psnr"]
    table, _ = official_table(arrays, "fsrcnn")
    bins, first = table.bin_of(scores), scores < table.edges[1]
    metrics: Metrics = {
        "patches": len(scores),
        "psnr_rho_interpolation": _over(correlation(scores, psnr), len(scores)),
        "at_cap": int((psnr == psnr.max()).sum()),
        "cap": {"value": float(psnr.max()), "unit": "dB"},
        "bin0_patches": int(first.sum()),
        "bin0_interpolation": _over(psnr[first].mean(), int(first.sum()), "dB"),
        "bin0_same_cap": _over(np.where(psnr == psnr.max(), 80, psnr)[first].mean(), 1, "dB"),
        "fewest_in_a_bin": int(table.counts.min()),
        "same_bins": int((np.bincount(bins, minlength=table.bins) == table.counts).sum()),
    }
    for backbone in ("fsrcnn", "carn"):
        found, _ = official_table(arrays, backbone)
        best = found.values.argmax(0)
        metrics[f"bin0_largest_{backbone}"] = {"value": float(found.values[-1, 0]), "unit": "dB"}
        metrics[f"bins_for_interpolation_{backbone}"] = int((best == 0).sum())
        spread = np.diff(found.values[-1] - found.values[1])
        metrics[f"reversals_{backbone}"] = int((spread[:-1] * spread[1:] < 0).sum())
        metrics[f"gain_middle_to_large_{backbone}"] = {
            "value": float((found.values[3] - found.values[2])[3:21].mean()),
            "unit": "dB",
        }
    return metrics, None, [_file(path.parent, path.name)]


def _file(folder: Path, name: str) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}


def _short(name: str) -> str:
    """``fsrcnn-36`` to ``w36``; interpolation keeps its name."""
    return f"w{name.rpartition('-')[2]}" if "-" in name else name


def _over(value: float, n: int, unit: str = "") -> dict[str, Any]:
    return {"value": float(value), "unit": unit, "n": n}


def _counted(exhibit: Callable[[], Metrics]) -> Exhibit:
    return exhibit(), None, []


#: Records without training, by name: metrics, curves and the data used.
EXHIBITS: dict[str, Callable[[], Exhibit]] = {
    **{f"costs-{net}": partial(_counted, partial(published.costs, net)) for net in BACKBONES},
    "published": partial(_counted, published.published),
    "released-table": released_table,
    "official-fsrcnn": partial(official, "fsrcnn"),
    "official-carn": partial(official, "carn"),
}
