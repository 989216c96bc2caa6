"""Enlarge tiles in batches and paint them onto the result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lithe.arm.executors import Run, layout_of
from lithe.arm.tiles import Tile, Window, window_of

__all__ = ["Painter", "full_scale"]


def full_scale(kind: np.dtype) -> float:
    """What stands for 1.0 in a type of pixels: 255, 65535, or 1 for floating point."""
    return 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)


class Painter:
    """Runs branches on tiles of one image.

    The memory needed beside the image and the canvas is that of one batch of windows.

    Args:
        pixels: the image ``(h, w, 3)``, or ``(h, w, 1)`` if it is gray: uint8, uint16, or
            float32 in 0..1.
        nets: one module or executor per branch.
        halos: receptive field of each, input pixels.
        scale: enlargement.

    Attributes:
        canvas: the result, of the same kind, ``(scale h, scale w, c)``.
    """

    def __init__(
        self, pixels: np.ndarray, nets: Sequence[Run], halos: Sequence[int], scale: int
    ) -> None:
        self.pixels, self.nets, self.halos, self.scale = pixels, nets, halos, scale
        self.height, self.width, channels = pixels.shape
        self.canvas = np.zeros((self.height * scale, self.width * scale, channels), pixels.dtype)
        self.one = full_scale(pixels.dtype)

    def window(self, tile: Tile, branch: int) -> Window:
        """What ``branch`` has to see to paint ``tile``."""
        return window_of(tile, self.halos[branch], self.height, self.width)

    def paint(self, tiles: Sequence[Tile], branch: int) -> None:
        """Enlarge tiles of one kind with one branch, as few batches as their windows allow."""
        alike: dict[tuple[int, int], list[tuple[Tile, Window]]] = {}
        for tile in tiles:
            window = self.window(tile, branch)
            alike.setdefault((window.height, window.width), []).append((tile, window))
        for batch in alike.values():
            images = self._enlarge([window for _, window in batch], branch)
            for (tile, window), image in zip(batch, images):
                self._put(tile, window, image)

    def _enlarge(self, windows: Sequence[Window], branch: int) -> np.ndarray:
        """Windows of one size to pixels of the canvas' kind ``(n, c, scale h, scale w)``."""
        with torch.inference_mode():
            made = self.nets[branch](self._cut(windows, branch))
            if self.canvas.shape[2] == 1:
                made = made.mean(1, keepdim=True)
            made = made.clamp_(0, 1).mul_(self.one)
            if self.canvas.dtype.kind != "f":
                made = made.round_()
            if self.canvas.dtype == np.uint8:
                made = made.to(torch.uint8)  # a quarter of what the paint must carry
        return made.numpy()

    def _cut(self, windows: Sequence[Window], branch: int) -> Tensor:
        parts = [self.pixels[w.top : w.top + w.height, w.left : w.left + w.width] for w in windows]
        batch = torch.from_numpy(np.stack(parts).astype(np.float32) / np.float32(self.one))
        batch = batch.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
        return batch.contiguous(memory_format=layout_of(self.nets[branch]))

    def _put(self, tile: Tile, window: Window, image: np.ndarray) -> None:
        s = self.scale
        top, left = (tile.top - window.top) * s, (tile.left - window.left) * s
        inner = image[:, top : top + tile.height * s, left : left + tile.width * s]
        rows = slice(tile.top * s, (tile.top + tile.height) * s)
        columns = slice(tile.left * s, (tile.left + tile.width) * s)
        self.canvas[rows, columns] = inner.transpose(1, 2, 0)
