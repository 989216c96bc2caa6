"""The chapter's figure of quality against time, from the record of the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lithe import figures, ledger
from lithe.figures import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quality_against_time"]

ROUTED = {"mse": "table of squared error", "psnr": "table of PSNR", "random": "blind"}
COLOURS = {"mse": "blue", "psnr": "vermilion", "random": "gray"}
PANELS = (("fsrcnn", "mosaic"), ("carn", "mosaic"), ("carn", "smooth"))


def quality_against_time(threads: int = 1) -> Figure:
    """PSNR against milliseconds: routed by either table, blindly, and every width alone.

    Args:
        threads: of the measurement, 1 or 2.
    """
    figure, axes = figures.canvas(len(PANELS), 2.9)
    records = ledger.find("arm/speed-curves/small/0")
    for axis, (backbone, picture) in zip(axes, PANELS):
        axis.set(title=f"{backbone.upper()}, {picture}", xlabel="milliseconds")
        if records:
            _panel(axis, records[0], f"{backbone}_{picture}_t{threads}")
        else:
            text = "not on record yet"
            axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes)
            axis.set(xticks=[], yticks=[])
    axes[0].set(ylabel="PSNR (dB)")
    if records:
        axes[0].legend(fontsize=7)
    return figure


def _panel(axis: Axes, record: ledger.Record, tag: str) -> None:
    curves = ledger.curves(record)
    for name, label in ROUTED.items():
        points = [curves.get(f"{tag}_{name}_{field}") for field in ("ms", "psnr")]
        if points[0] is not None:
            axis.plot(*points, color=PALETTE[COLOURS[name]], marker=".", label=label)
    for marker, label, names in _marks(record, tag):
        at = [[record.metric(f"{tag}_{n}_{f}").value for n in names] for f in ("ms", "psnr")]
        axis.plot(*at, marker, color=PALETTE["ink"], label=label, markersize=5)


def _marks(record: ledger.Record, tag: str) -> list[tuple[str, str, list[str]]]:
    """Single points: every width over the whole picture, and two that tell the gains apart."""
    start, end = f"{tag}_fixed_", "_ms"
    found = [key for key in record.metrics if key.startswith(start) and key.endswith(end)]
    names = [key[len(tag) + 1 : -len(end)] for key in found]
    widths = [name for name in names if name not in ("fixed_last", "fixed_executor")]
    return [
        ("D", "whole, plain torch", widths),
        ("^", "whole, our executor", ["fixed_executor"]),
        ("s", "largest, our tiles", ["tiled"]),
    ]
