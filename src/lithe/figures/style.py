"""Colours, sizes and the canvas that every figure of the book is drawn on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PALETTE", "canvas", "contrast_ratio", "use_house_style"]

#: Darkened Okabe-Ito colours: at least 4.5 to 1 against white, told apart under the three
#: common colour deficiencies (both are computed in the tests).
PALETTE = {
    "blue": "#0072b2",
    "vermilion": "#c24a00",
    "green": "#004f3b",
    "purple": "#9b4a82",
    "ochre": "#8a6a00",
    "ink": "#1a1a1a",
    "gray": "#6b6b6b",
}
PAGE_WIDTH = 7.2  # inches; the text column of the rendered book at 110 dpi

_STYLE: dict[str, Any] = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "cividis",
}


def use_house_style() -> None:
    """Set matplotlib's defaults to the house style for this process."""
    import matplotlib as mpl
    from cycler import cycler

    colours = [PALETTE[name] for name in ("blue", "vermilion", "green", "purple", "ochre", "gray")]
    markers = ["o", "s", "^", "D", "v", "x"]
    mpl.rcParams.update(_STYLE)
    mpl.rcParams["axes.prop_cycle"] = cycler(color=colours) + cycler(marker=markers)


def canvas(columns: int = 1, height: float = 2.8, **options: Any) -> tuple[Figure, list[Axes]]:
    """A page-wide figure with ``columns`` panels side by side.

    Args:
        columns: number of panels, at least 1.
        height: figure height in inches.
        options: passed on to ``matplotlib.pyplot.subplots``.

    Returns:
        The figure and its panels, left to right.
    """
    import matplotlib.pyplot as plt

    if columns < 1:
        raise ValueError(f"a figure needs at least one panel, got columns={columns}")
    use_house_style()
    size = (PAGE_WIDTH, height)
    figure, axes = plt.subplots(1, columns, figsize=size, squeeze=False, **options)
    return figure, list(axes[0])


def contrast_ratio(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two ``#rrggbb`` colours, from 1 (equal) to 21."""
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
