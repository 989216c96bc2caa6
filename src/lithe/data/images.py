"""Labelled images that fit in memory, cut into batches by index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lithe.data.augment import Augmentation
from lithe.data.checksum import tensor_digest
from lithe.data.errors import DataError

__all__ = ["Images"]


@dataclass(frozen=True, eq=False)
class Images:
    """Images and labels in memory.

    Attributes:
        pixels: uint8 ``(n, c, h, w)``, 0 to 255.
        labels: int64 ``(n,)``, 0 to ``len(classes) - 1``.
        classes: class names.
        name: a short name for records.
        mean: per-channel mean in 0..1, subtracted from ``pixels / 255``.
        std: per-channel standard deviation in 0..1, divided by.
        augmentation: what ``batch(..., augment=True)`` does; ``None`` for nothing.
    """

    workers: ClassVar[int] = 0  # cutting from memory is faster than any worker process

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 4:
            found = f"{self.pixels.dtype} {tuple(self.pixels.shape)}"
            raise DataError(f"pixels are {found}; they must be uint8 (n, c, h, w)")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.pixels.shape[:1]:
            found = f"{self.labels.dtype} {tuple(self.labels.shape)}"
            raise DataError(f"labels are {found}; they must be int64 ({len(self.pixels)},)")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < self.n_classes:
            span = f"{int(self.labels.min())}..{int(self.labels.max())}"
            raise DataError(f"labels span {span}; {self.n_classes} classes allow 0 and up to that")
        each = len(self.mean) == len(self.std) == self.pixels.shape[1] > 0
        if not (each and all(map(math.isfinite, (*self.mean, *self.std))) and min(self.std) > 0):
            raise DataError(
                f"mean {self.mean} and std {self.std} need one entry for each of the "
                f"{self.pixels.shape[1]} channels (1 or more), finite, std above 0"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return tuple(self.pixels.shape[1:])

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 of pixels and labels."""
        return tensor_digest(self.pixels, self.labels)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of everything a batch depends on: pixels, labels, scaling, augmentation."""
        return _text_digest(f"{self.sha256}{self.mean}{self.std}{self.augmentation}")

    def describe(self) -> dict[str, Any]:
        """Name, checksum and sizes, as a record keeps them."""
        keys = {"name": self.name, "sha256": self.sha256, "n": len(self)}
        return {**keys, "classes": self.n_classes, "shape": list(self.shape)}

    def batch(
        self,
        indices: Tensor,
        generator: Generator | None = None,
        augment: bool = False,
        part: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """Cut, augment and normalise a batch; see :class:`lithe.data.DataSet`.

        Returns:
            Images float32 ``(m, c, h, w)`` and labels int64 ``(m,)``.

        Raises:
            ValueError: augmentation is asked for without a generator.
        """
        chosen = indices[part].to(self.pixels.device)
        pixels = self.pixels.index_select(0, chosen)
        if augment and self.augmentation is not None:
            if generator is None:
                raise ValueError("augment=True needs a torch.Generator to draw from")
            draw = self.augmentation.draw(len(indices), generator)
            pixels = self.augmentation.apply(pixels, draw.part(part))
        return self._normalise(pixels), self.labels[chosen]

    def _normalise(self, pixels: Tensor) -> Tensor:
        scale, shift = self._affine
        return pixels.to(torch.float32).mul_(scale).add_(shift)

    @cached_property
    def _affine(self) -> tuple[Tensor, Tensor]:
        # (p / 255 - mean) / std = p * scale + shift, in two passes over the batch
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (self.mean, self.std))
        pair = (1 / (255 * std), -mean / std)
        device = self.pixels.device
        return tuple(x.to(device, torch.float32).view(-1, 1, 1) for x in pair)

    def subset(self, indices: int | Sequence[int] | Tensor) -> Images:
        """The first ``indices`` images (an int) or the ones listed, in that order.

        Raises:
            DataError: more images are asked for than there are, or an index is out of range.
        """
        if isinstance(indices, int):
            indices = range(_count(indices))
        chosen = torch.as_tensor(indices)
        if len(chosen) and (chosen.is_floating_point() or chosen.dtype == torch.bool):
            raise DataError(f"images are listed by whole numbers, got {chosen.dtype}")
        if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < len(self):
            asked = f"{int(chosen.min())}..{int(chosen.max())}"
            raise DataError(f"{self.name} has images 0..{len(self) - 1}; asked for {asked}")
        chosen = chosen.to(self.pixels.device, torch.int64)
        return replace(self, pixels=self.pixels[chosen], labels=self.labels[chosen])

    def resize(self, size: int) -> Images:
        """Shrink to ``size`` x ``size`` by area average; the crop padding shrinks along.

        Raises:
            DataError: ``size`` is not between 1 and the present height and width.
        """
        h, w = self.shape[1:]
        if not 1 <= size <= min(h, w):
            raise DataError(f"cannot average {h}x{w} images to {size}x{size}; 1..{min(h, w)} fit")
        chunks = self.pixels.split(1024)  # float copies of all images at once would be 4x memory
        small = [F.adaptive_avg_pool2d(x.float(), size).round().to(torch.uint8) for x in chunks]
        pixels = torch.cat(small) if small else self.pixels[:, :, :size, :size]
        augmentation = self.augmentation and replace(
            self.augmentation, pad=round(self.augmentation.pad * size / h)
        )
        return replace(self, pixels=pixels, augmentation=augmentation)

    def to(self, device: torch.device | str) -> Images:
        """The same images on another device."""
        if self.pixels.device == torch.device(device):
            return self
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device))

    def normalised(self, mean: Sequence[float], std: Sequence[float]) -> Images:
        """The same images with other normalisation statistics (one number a channel, 0..1)."""
        return replace(self, mean=tuple(mean), std=tuple(std))

    def augmented(self, augmentation: Augmentation | None) -> Images:
        """The same images with another augmentation, or none."""
        return replace(self, augmentation=augmentation)


def _count(n: int) -> int:
    if isinstance(n, bool) or n < 0:
        raise DataError(f"asked for the first {n!r} images; give a whole number, 0 or more")
    return n


def _text_digest(text: str) -> str:
    return tensor_digest(torch.frombuffer(bytearray(text, "utf-8"), dtype=torch.uint8))
