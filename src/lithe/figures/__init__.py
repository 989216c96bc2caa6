"""House style of all figures: colour-blind safe, opaque, readable at page width."""

from lithe.figures.plots import differences, heatmaps, lines, scatter
from lithe.figures.style import PALETTE, canvas, contrast_ratio, use_house_style

__all__ = [
    "PALETTE",
    "canvas",
    "contrast_ratio",
    "differences",
    "heatmaps",
    "lines",
    "scatter",
    "use_house_style",
]
