"""Pairs of small and large patches, cut from images as training asks for them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
import torch
from torch import Generator, Tensor

from lithe.arm.degrade import cut_starts, degrade
from lithe.data import DataError
from lithe.data.checksum import tensor_digest

__all__ = ["Pairs", "pairs_of"]

SIZE, STEP, LEAST = 32, 16, 12  # of small patches: ARM spec 3


class Pairs:
    """All patches of a set of image pairs; a :class:`lithe.data.DataSet`.

    Source: ARM spec 3. Patches are cut when a batch asks for them, from arrays in memory or
    mapped from disk: the 1.59 million pairs of DIV2K take the room of its images.

    Args:
        images: ``(large, small)``, uint8 ``(scale h, scale w, 3)`` and ``(h, w, 3)``.
        name: for records.
        size: side of a small patch.
        step: from one patch to the next.
        least: small pixels that must remain at the border for one more flush patch.
        digest: hex sha256 of the images, where it is known already.
        workers: processes that cut batches.

    Raises:
        DataError: the images of a pair do not fit each other.
    """

    def __init__(
        self,
        images: Sequence[tuple[np.ndarray, np.ndarray]],
        name: str = "pairs",
        *,
        size: int = SIZE,
        step: int = STEP,
        least: int = LEAST,
        digest: str | None = None,
        workers: int = 0,
    ) -> None:
        self.name, self.workers = name, workers
        self.size, self.step, self.least, self._digest = size, step, least, digest
        self.images = [pair for pair in images if min(pair[1].shape[:2]) >= size]
        self.scale = _common_scale(self.images)
        self._starts = [
            tuple(cut_starts(side, size, step, least) for side in small.shape[:2])
            for _, small in self.images
        ]
        self._ends = list(accumulate(len(rows) * len(columns) for rows, columns in self._starts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of the images and of how they are cut."""
        digest = self._digest or tensor_digest(
            *(torch.from_numpy(np.array(array)) for pair in self.images for array in pair)
        )
        text = f"{digest} {self.size} {self.step} {self.least} {self.scale}"
        return tensor_digest(torch.frombuffer(bytearray(text, "utf-8"), dtype=torch.uint8))

    def place(self, index: int) -> tuple[int, int, int]:
        """Image, row and column (in the small image) of a patch."""
        if not 0 <= index < len(self):
            raise DataError(f"{self.name} has patches 0..{len(self) - 1}; asked for {index}")
        image = bisect_right(self._ends, index)
        rows, columns = self._starts[image]
        within = index - (self._ends[image - 1] if image else 0)
        return image, rows[within // len(columns)], columns[within % len(columns)]

    def patch(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Small and large patch, uint8 ``(size, size, 3)`` and ``scale`` times that."""
        image, row, column = self.place(index)
        large, small = self.images[image]
        s, n = self.scale, self.size
        return (
            small[row : row + n, column : column + n],
            large[s * row : s * (row + n), s * column : s * (column + n)],
        )

    def batch(
        self,
        indices: Tensor,
        generator: Generator | None = None,
        augment: bool = False,
        part: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """Cut a batch; see :class:`lithe.data.DataSet`.

        Augmentation mirrors left-right, up-down and along the diagonal, each with chance one
        half and alike on both patches (ARM spec 3).

        Returns:
            Small ``(m, 3, size, size)`` and large patches, float32 in 0..1.

        Raises:
            ValueError: augmentation is asked for without a generator.
        """
        if augment and generator is None:
            raise ValueError("augment=True needs a torch.Generator to draw from")
        coins = torch.zeros(len(indices), 3, dtype=torch.bool)
        if augment:
            coins = torch.randint(2, coins.shape, generator=generator, dtype=torch.bool)
        cut = [self.patch(k) for k in indices[part].tolist()]
        turned = [
            [_turned(image, coin) for image in pair]
            for pair, coin in zip(cut, coins[part].tolist())
        ]
        small, large = (_batch([pair[k] for pair in turned]) for k in (0, 1))
        return small, large


def pairs_of(
    images: Iterable[np.ndarray], scale: int = 4, name: str = "pairs", **cut: int
) -> Pairs:
    """Pairs in memory from sharp images, degraded here; see :func:`lithe.arm.degrade`."""
    return Pairs([degrade(image, scale) for image in images], name, **cut)


def _common_scale(images: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
    """The whole number by which all pairs differ; 1 where there are none."""
    scales = set()
    for large, small in images:
        scale = large.shape[0] // small.shape[0]
        fits = large.shape == (scale * small.shape[0], scale * small.shape[1], 3)
        if not fits or large.dtype != np.uint8 or small.dtype != np.uint8:
            raise DataError(
                f"{large.dtype} {large.shape} and {small.dtype} {small.shape} are no pair: the "
                "large image must be a whole multiple of the small one, both uint8 RGB"
            )
        scales.add(scale)
    if len(scales) > 1:
        raise DataError(f"pairs of the scales {sorted(scales)}; all must have the same")
    return scales.pop() if scales else 1


def _turned(image: np.ndarray, coins: Sequence[bool]) -> np.ndarray:
    across, down, diagonal = coins
    image = image[:, ::-1] if across else image
    image = image[::-1] if down else image
    return image.swapaxes(0, 1) if diagonal else image


def _batch(images: Sequence[np.ndarray]) -> Tensor:
    stacked = torch.from_numpy(np.stack(images)) if images else torch.zeros(0, 1, 1, 3)
    return stacked.permute(0, 3, 1, 2).to(torch.float32).div_(255)
