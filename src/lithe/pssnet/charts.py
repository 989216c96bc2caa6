"""The chapter's figures of what is on record: curves with bands, differences, published series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lithe import figures, ledger, stats
from lithe.figures import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bias", "deadline", "ladder", "published", "tradeoff"]

DATA = {"digits": "cluttered digits", "cifar": "CIFAR-10 images"}
CURVES = ("uniform", "space", "pool-uniform", "released", "effective")
#: Differences that are shown: label, ours, control, metric.
PAIRS = (
    ("released − space", "released", "space", "curve_pool"),
    ("the same, chosen on held-out images", "released", "space", "curve_chosen"),
    ("released − pool-uniform", "released", "pool-uniform", "curve_pool"),
    ("released − uniform width", "released", "uniform", "curve_chosen"),
    ("+ effective keys", "keys", "released", "curve_pool"),
    ("+ resting entries re-scored", "rescored", "keys", "curve_pool"),
    ("+ exact sampler", "effective", "rescored", "curve_pool"),
    ("all of ours − released", "effective", "released", "curve_chosen"),
)
SLACK = 1.5  # of the replay: deadline over the largest subnet's time, see bench.deadline
GRID = 60  # points of a joined curve


def tradeoff(profile: str = "small") -> Figure:
    """Accuracy against MACs for every policy: mean envelope over seeds, 95% bands.

    Args:
        profile: whose records.
    """
    figure, axes = figures.canvas(2, 3.2)
    for axis, (data, title) in zip(axes, DATA.items()):
        drawn = [_band(axis, data, name, profile) for name in CURVES]
        axis.set(title=title, xlabel="million MACs", ylabel="test accuracy (%)")
        _alone(axis, data, profile)
        if any(drawn):
            axis.legend(fontsize=8)
        else:
            _nothing(axis)
    return figure


def _band(axis: Axes, data: str, name: str, profile: str) -> bool:
    """One policy's curve on a grid that all of its seeds cover; whether there was any."""
    records = ledger.find(f"pssnet/{data}-{name}/{profile}/*")
    if not records:
        return False
    rows = [_joined(record) for record in records]
    low, high = max(x[0] for x, _ in rows), min(x[-1] for x, _ in rows)
    grid = np.linspace(low, high, GRID)
    heights = np.array([np.interp(grid, x, y) for x, y in rows])
    half = None
    if len(rows) > 1:
        cis = [stats.mean_ci(column) for column in heights.T]
        half = {name: [(ci.high - ci.low) / 2 for ci in cis]}
    line = figures.lines(axis, {name: heights.mean(0)}, x=grid / 1e6, spread=half)
    line.lines[-1].set(markevery=GRID // 6)
    return True


def _joined(record: Any) -> tuple[np.ndarray, np.ndarray]:
    """The envelope of a record's retained subnets, min and max net."""
    from lithe.pssnet.curves import envelope

    curves = ledger.curves(record)
    points = list(zip(curves["macs_chosen"], curves["top1_chosen"]))
    for end in ("min", "max"):
        points.append((record.metric(f"{end}_macs").value, record.metric(f"{end}_top1").value))
    best = envelope(points)
    dearest = max(x for x, _ in points)
    x, y = zip(*best, (dearest, best[-1][1]))
    return np.array(x, dtype=float), np.array(y, dtype=float)


def _alone(axis: Axes, data: str, profile: str) -> None:
    """Subnets that were trained by themselves, one cross a seed and budget."""
    records = ledger.find(f"pssnet/{data}-alone/{profile}/*")
    curves = [ledger.curves(record) for record in records]
    if curves:
        x = np.concatenate([c["macs"] for c in curves]) / 1e6
        y = np.concatenate([c["top1"] for c in curves])
        axis.scatter(x, y, marker="+", color=PALETTE["ink"], label="trained alone", zorder=3)


def ladder(data: str = "digits", profile: str = "small") -> Figure:
    """Paired differences of the mean height of the curve, with 95% intervals.

    Args:
        data: ``"digits"`` or ``"cifar"``.
        profile: whose records.
    """
    rows = {}
    for label, ours, control, metric in PAIRS:
        pair = [_values(data, name, metric, profile) for name in (ours, control)]
        seeds = sorted(pair[0].keys() & pair[1].keys())
        if len(seeds) > 1:
            found = stats.paired(*([side[seed] for seed in seeds] for side in pair))
            rows[label] = (found.mean, found.low, found.high)
    if not rows:
        figure, (axis,) = figures.canvas(1, 1.6)
        _nothing(axis)
        return figure
    figure = figures.differences(rows, unit="mean accuracy over budgets (points)", zero="control")
    figure.axes[0].set_title(DATA[data])
    return figure


def _values(data: str, name: str, metric: str, profile: str) -> dict[int, float]:
    records = ledger.find(f"pssnet/{data}-{name}/{profile}/*")
    return {record.seed: record.metric(metric).value for record in records}


def published(nets: Sequence[str] = ("mbv1", "mbv2")) -> Figure:
    """The published curves at the FLOPs budgets, with the plateau of the low end."""
    figure, axes = figures.canvas(2, 3.0)
    records = ledger.find("pssnet/published/small/0")
    for axis, net in zip(axes, nets):
        axis.set(title=f"MobileNetV{net[-1]}", xlabel="million MACs", ylabel="top-1 (%)")
        if not records:
            _nothing(axis)
            continue
        curves = ledger.curves(records[0])
        for name in ("PSS-Net_F", "MutualNet", "USNet"):
            x, y = curves[f"{net}_{name}_x"], curves[f"{net}_{name}_top1"]
            figures.lines(axis, {name.replace("_F", ""): y}, x=x)
        ends = [records[0].metric(f"low_end_{net}_{side}").value for side in ("low", "high")]
        axis.axvspan(*ends, color=PALETTE["ochre"], alpha=0.25, lw=0, label="no better than min")
        axis.legend(fontsize=8)
    return figure


def bias() -> Figure:
    """What the released sampler draws at one budget, and which budgets it never reaches."""
    figure, (left, right) = figures.canvas(2, 2.8)
    records = ledger.find("pssnet/sampler/small/0")
    left.set(title="200 million MACs", xlabel="resolution (pixels)", ylabel="share of subnets")
    right.set(title="100,000 draws", xlabel="budget (million MACs)", ylabel="configurations")
    if not records:
        _nothing(left)
        _nothing(right)
        return figure
    curves = ledger.curves(records[0])
    for shift, name in ((-1.5, "space"), (1.5, "released")):
        label = "the space" if name == "space" else "as drawn"
        left.bar(curves["resolution"] + shift, curves[f"share_{name}"], 3, label=label)
    left.legend(fontsize=8)
    right.bar(curves["target"], curves["count"], 8)
    empty = curves["target"][curves["count"] == 0]
    right.plot(empty, np.full(len(empty), 0.8), "x", color=PALETTE["vermilion"], label="none")
    right.set_yscale("symlog", linthresh=1)
    right.legend(fontsize=8)
    return figure


def deadline() -> Figure:
    """Frame by frame: the load that was replayed, and how long the chosen subnet took."""
    figure, (axis,) = figures.canvas(1, 3.0)
    records = ledger.find("pssnet/bench/small/0")
    axis.set(xlabel="frame", ylabel="milliseconds")
    if not records:
        _nothing(axis)
        return figure
    curves, limit = ledger.curves(records[0]), records[0].metric("deadline_ms").value
    took = np.array(curves["elapsed_ms"])
    frames, late = np.arange(len(took)), took > limit
    idle = limit / SLACK * np.array(curves["load"])
    axis.step(frames, idle, color=PALETTE["ochre"], where="mid", marker="", label="largest subnet")
    axis.plot(frames, took, color=PALETTE["blue"], marker="", label="chosen subnet")
    axis.plot(frames[late], took[late], "x", color=PALETTE["vermilion"], label="too late")
    axis.axhline(limit, color=PALETTE["ink"], ls="--", lw=1, label="deadline")
    axis.set_ylim(0)
    axis.legend(fontsize=8, ncols=4, loc="lower right")
    return figure


def _nothing(axis: Axes) -> None:
    """An honest empty panel: the figure is made of records, and these are not there."""
    axis.text(0.5, 0.5, "not on record yet", ha="center", va="center", transform=axis.transAxes)
    axis.set(xticks=[], yticks=[])
