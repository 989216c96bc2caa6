"""Tiles of an image, and the larger windows that a network must see to fill them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Tile", "Window", "window_areas", "window_of"]


@dataclass(frozen=True)
class Tile:
    """A rectangle of input pixels, to be enlarged by one branch.

    Attributes:
        top: first row.
        left: first column.
        height: rows, at least 1.
        width: columns, at least 1.
        side: rows and columns of a tile of this kind that the border has not clipped.
    """

    top: int
    left: int
    height: int
    width: int
    side: int


@dataclass(frozen=True)
class Window:
    """The input pixels that a branch is shown: the tile and a margin around it."""

    top: int
    left: int
    height: int
    width: int


def window_of(tile: Tile, halo: int, height: int, width: int) -> Window:
    """The window that gives a tile the pixels of the whole-image pass.

    It reaches ``halo`` pixels beyond the tile, or to the image's border where that is nearer:
    there the network pads as it does on the whole image.

    Args:
        tile: inside the image.
        halo: receptive field of the branch, input pixels to each side.
        height: of the image.
        width: of the image.
    """
    top, left = max(tile.top - halo, 0), max(tile.left - halo, 0)
    bottom = min(tile.top + tile.height + halo, height)
    right = min(tile.left + tile.width + halo, width)
    return Window(top, left, bottom - top, right - left)


def window_areas(side: int, halo: int, height: int, width: int) -> np.ndarray:
    """Input pixels in the windows of all tiles of a kind ``(rows, columns)``."""
    rows, columns = (_lengths(side, halo, size) for size in (height, width))
    return np.outer(rows, columns)


def _lengths(side: int, halo: int, size: int) -> np.ndarray:
    starts = np.arange(0, size, side)
    return np.minimum(starts + side + halo, size) - np.maximum(starts - halo, 0)
