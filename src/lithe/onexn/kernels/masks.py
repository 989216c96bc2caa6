"""Offsets, tiles and masks of a depthwise window that is read in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lithe.onexn.kernels.cover import Tile, vectors
from lithe.onexn.kernels.geometry import Window
from lithe.onexn.kernels.isa import Isa
from lithe.onexn.kernels.memory import SLACK

__all__ = ["InPlace"]


@dataclass(frozen=True)
class InPlace:
    """A window of stride 1 or 2 whose rows follow each other as the output's do.

    Attributes:
        window: the window.
        isa: whose vectors cover the map.
    """

    window: Window
    isa: Isa

    @property
    def fits(self) -> bool:
        """Whether the window can be read in place at all."""
        own, (_, width), (_, columns) = self.window, self.window.source, self.window.target
        if own.stride == (1, 1):
            level = width == columns
        elif own.stride == (2, 2):
            level = all(self._needed(kx) <= columns for kx in range(own.kernel[1]))
        else:
            return False
        reach = int(np.abs(self.offsets()).max()) + 16
        return level and (own.stride == (2, 2) or reach <= SLACK)

    def _needed(self, kx: int) -> int:
        """Columns of a phase that are there and that some output pixel reads through ``kx``."""
        own = self.window
        shift, phase = divmod(kx * own.dilation[1] - own.padding[1], 2)
        return min(own.target[1] + shift, -(-(own.source[1] - phase) // 2))

    @property
    def margin(self) -> int:
        """Floats around the phases that masked lanes may read or the last row run over."""
        own = self.window
        reach = max(own.kernel[0] * own.dilation[0], own.padding[0]) + 1
        sides = own.kernel[1] * own.dilation[1] + own.padding[1] + 2 * self.isa.lanes
        return reach * own.target[1] + sides

    @property
    def phase(self) -> int:
        """Floats of one phase."""
        rows = -(-self.window.source[0] // 2)
        return -(-(rows * self.window.target[1] + self.margin) // 16) * 16

    @property
    def scratch(self) -> int:
        """Floats per thread; none for stride 1."""
        return 0 if self.window.stride == (1, 1) else 4 * self.phase + 2 * self.margin

    def offsets(self) -> np.ndarray:
        """Distance of each place of the window from the output pixel, int32 ``(kh * kw,)``."""
        own, result = self.window, []
        for ky in range(own.kernel[0]):
            for kx in range(own.kernel[1]):
                down = ky * own.dilation[0] - own.padding[0]
                right = kx * own.dilation[1] - own.padding[1]
                if own.stride == (1, 1):
                    result.append(down * own.source[1] + right)
                else:
                    phase = self.phase * (2 * (down % 2) + right % 2)
                    result.append(phase + down // 2 * own.target[1] + right // 2)
        return np.array(result, np.int64)

    def tiles(self) -> dict[tuple[int, ...], list[Tile]]:
        """Tiles by their kind; as many as can begin like a row, so that they share masks."""
        pixels, columns = self.window.pixels, self.window.target[1]
        cover = vectors(pixels, self.isa.widths)
        most = 13 if self.isa.registers == 32 else 7
        size = min(len(cover), most)
        if len(cover) > most:
            lanes = cover[0][0]
            size = min(
                range(4, most + 1),
                key=lambda t: (t * lanes % columns != 0, len(cover) % t != 0, -t),
            )
        result: dict[tuple[int, ...], list[Tile]] = {}
        for begin in range(0, len(cover), size):
            part = cover[begin : begin + size]
            tile = Tile(tuple(w for w, _ in part), tuple(s for _, s in part))
            result.setdefault(tile.widths, []).append(tile)
        return result

    def masks(self, tile: Tile) -> np.ndarray:
        """Masks of a tile as the kernel reads them, place by place, vector by vector."""
        own = self.window
        pixels = np.concatenate([s + np.arange(w) for w, s in zip(tile.widths, tile.starts)])
        rows, columns = np.divmod(pixels, own.target[1])
        ky, kx = np.divmod(np.arange(own.kernel[0] * own.kernel[1])[:, None], own.kernel[1])
        down = rows * own.stride[0] + ky * own.dilation[0] - own.padding[0]
        right = columns * own.stride[1] + kx * own.dilation[1] - own.padding[1]
        inside = (down >= 0) & (down < own.source[0]) & (right >= 0) & (right < own.source[1])
        if self.isa.name != "avx512":
            return np.where(inside, -1, 0).astype(np.int32)
        ends = np.cumsum(tile.widths)
        parts = [inside[:, e - w : e] @ (1 << np.arange(w)) for w, e in zip(tile.widths, ends)]
        return np.stack(parts, 1).astype(np.uint16)
