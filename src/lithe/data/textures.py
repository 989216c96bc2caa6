"""Patches of real photographs, as backgrounds."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Generator, Tensor

__all__ = ["PHOTOS", "texture_patches", "texture_regions"]

# Photographs that come inside the scikit-image wheel: nothing is fetched.
PHOTOS = (
    *("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry"),
    *("brick", "camera", "grass", "gravel", "coins"),
)
TRAIN_SHARE = 0.75  # of each photograph's width; the rest, to the right, is for testing

Part = Literal["train", "test"]


@lru_cache(maxsize=2)
def texture_regions(part: Part) -> tuple[Tensor, ...]:
    """The left three quarters (train) or the right quarter (test) of each photograph.

    Returns:
        One uint8 tensor ``(3, h, w)`` per photograph, at half the original resolution.
    """
    from skimage import data

    regions = []
    for name in PHOTOS:
        photo = _half(_rgb(getattr(data, name)()))
        edge = int(photo.shape[2] * TRAIN_SHARE)
        region = photo[:, :, :edge] if part == "train" else photo[:, :, edge:]
        regions.append(region.contiguous())
    return tuple(regions)


def texture_patches(part: Part, n: int, size: int, generator: Generator) -> Tensor:
    """Cut ``n`` random square patches, each mirrored at random.

    Args:
        part: which side of the photographs.
        n: how many.
        size: side length in pixels.
        generator: source of the choices.

    Returns:
        uint8 ``(n, 3, size, size)``.
    """
    regions = texture_regions(part)
    which = torch.randint(len(regions), (n,), generator=generator)
    place = torch.rand((2, n), generator=generator)
    mirrored = torch.randint(2, (n,), generator=generator, dtype=torch.bool)
    patches = torch.empty((n, 3, size, size), dtype=torch.uint8)
    for k, region in enumerate(regions):
        chosen = (which == k).nonzero().flatten()
        room = torch.tensor(region.shape[1:]) - size + 1
        top, left = (place[:, chosen] * room[:, None]).long()
        windows = region.unfold(1, size, 1).unfold(2, size, 1)  # (3, rows, columns, size, size)
        patches[chosen] = windows[:, top, left].transpose(0, 1)
    return torch.where(mirrored.view(-1, 1, 1, 1), patches.flip(-1), patches)


def _rgb(photo: np.ndarray) -> Tensor:
    """A photograph ``(h, w)`` or ``(h, w, 3)`` as uint8 ``(3, h, w)``."""
    image = torch.from_numpy(np.array(photo))
    return image.expand(3, *image.shape) if image.ndim == 2 else image.permute(2, 0, 1)


def _half(image: Tensor) -> Tensor:
    """Average 2 x 2 pixels; the photographs' own pixels are too smooth for small patches."""
    pooled = torch.nn.functional.avg_pool2d(image.float(), 2)
    return pooled.round().to(torch.uint8)
