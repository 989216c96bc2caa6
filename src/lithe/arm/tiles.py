"""Tiles of an image, and the larger windows that a network must see to fill them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Tile", "Window", "window_of", "window_side"]


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


def window_side(side: int, halo: int, size: int) -> int:
    """Rows (or columns) of the window of a tile of ``side`` in an image of ``size``."""
    return min(side + 2 * halo, size)


def window_of(tile: Tile, halo: int, height: int, width: int) -> Window:
    """The window that gives a tile the pixels of the whole-image pass.

    It reaches ``halo`` pixels beyond the tile, or to the image's border where that is nearer:
    there the network pads as it does on the whole image. All windows of one kind of tile have
    one size, so that they fit in a batch: at the border the window is moved inward, not cut.

    Args:
        tile: inside the image.
        halo: receptive field of the branch, input pixels to each side.
        height: of the image.
        width: of the image.
    """
    rows, columns = window_side(tile.side, halo, height), window_side(tile.side, halo, width)
    top = min(max(tile.top - halo, 0), height - rows)
    left = min(max(tile.left - halo, 0), width - columns)
    return Window(top, left, rows, columns)
