"""The few kinds of picture that the chapters share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lithe.figures.style import PALETTE, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["differences", "heatmaps", "lines", "scatter"]


def heatmaps(
    images: Mapping[str, np.ndarray], *, height: float = 2.4, label: str = "", top: float = 1.0
) -> Figure:
    """Matrices side by side on one common colour scale from 0 to ``top``.

    Args:
        images: title -> matrix ``(rows, columns)``.
        height: figure height in inches.
        label: what the colour means.
        top: value of the brightest colour.
    """
    figure, axes = canvas(len(images), height)
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        shown = axis.imshow(np.asarray(image), vmin=0, vmax=top, aspect="auto")
        axis.set(title=title, xticks=[], yticks=[])
        axis.grid(False)
    figure.colorbar(shown, ax=axes, label=label, fraction=0.04, pad=0.02)
    return figure


def lines(
    axis: Axes,
    series: Mapping[str, Sequence[float]],
    *,
    x: Sequence[float] | None = None,
    spread: Mapping[str, Sequence[float]] | None = None,
) -> Axes:
    """Named curves, each told apart by colour and marker, with an optional band.

    Args:
        axis: the panel to draw into.
        series: name -> values ``(t,)``.
        x: common abscissa ``(t,)``; 0, 1, 2, ... where absent.
        spread: name -> half width of the band ``(t,)``.
    """
    for name, values in series.items():
        values = np.asarray(values, dtype=float)
        at = np.arange(len(values)) if x is None else np.asarray(x, dtype=float)
        (line,) = axis.plot(at, values, label=name, markersize=3.5)
        if spread and name in spread:
            half = np.asarray(spread[name], dtype=float)
            axis.fill_between(at, values - half, values + half, color=line.get_color(), alpha=0.15)
    return axis


def scatter(axis: Axes, x: Sequence[float], y: Sequence[float], *, name: str = "") -> Axes:
    """Small translucent points."""
    axis.scatter(x, y, s=12, alpha=0.6, label=name or None, color=PALETTE["blue"], linewidths=0)
    return axis


def differences(
    rows: Mapping[str, tuple[float, float, float]], *, unit: str, zero: str, height: float = 0
) -> Figure:
    """Paired differences to a control: a point and its confidence interval per row.

    Args:
        rows: name -> (difference, lower bound, upper bound), drawn from the top down.
        unit: unit of the differences.
        zero: what a difference of zero means, e.g. ``"same as from scratch"``.
        height: figure height in inches; grows with the rows where 0.
    """
    figure, (axis,) = canvas(1, height or 0.9 + 0.32 * len(rows))
    for place, (middle, low, high) in enumerate(rows.values()):
        clear = low > 0 or high < 0
        colour = PALETTE["vermilion"] if clear else PALETTE["blue"]
        axis.plot([low, high], [place, place], color=colour, marker="|", linewidth=2)
        axis.plot(middle, place, color=colour, marker="D" if clear else "o", markersize=6)
    axis.axvline(0, color=PALETTE["ink"], linewidth=1)
    axis.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel=f"{unit}; 0 = {zero}")
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    return figure
