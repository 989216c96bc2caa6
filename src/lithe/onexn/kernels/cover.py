"""Covers a map with register tiles: which vectors of output pixels are computed together."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Tile", "tiles"]


@dataclass(frozen=True)
class Tile:
    """Vectors of one register tile.

    Attributes:
        widths: lanes of each vector.
        starts: first pixel of each, in the flat map.
    """

    widths: tuple[int, ...]
    starts: tuple[int, ...]


def vectors(pixels: int, widths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Vectors that cover ``pixels`` and never reach past them: ``(width, start)``.

    No masks: a last vector slides back until it ends with the map, and writes equal values twice.
    What remains after full vectors is covered by the narrowest that suffices.
    """
    width = next(width for width in widths if width <= pixels)
    cover = [(width, start) for start in range(0, pixels - width + 1, width)]
    rest = pixels % width
    if rest:
        narrow = min(w for w in widths if w >= rest)
        cover.append((narrow, pixels - narrow))
    return cover


def tiles(pixels: int, widths: tuple[int, ...], most: int) -> list[Tile]:
    """Cut a map into tiles of nearly equal size.

    Args:
        pixels: of the map, at least 1.
        widths: lanes of the vectors to be had, widest first, ending in 1.
        most: vectors per tile.

    Returns:
        Tiles in rising order; each pixel is in at least one.
    """
    cover = vectors(pixels, widths)
    count = -(-len(cover) // most)
    small, larger = divmod(len(cover), count)
    result, begin = [], 0
    for index in range(count):
        end = begin + small + (index < larger)
        part = cover[begin:end]
        result.append(Tile(tuple(w for w, _ in part), tuple(s for _, s in part)))
        begin = end
    return result
