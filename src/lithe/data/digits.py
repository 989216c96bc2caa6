"""Real handwritten digits pasted over real textures: any number of images, no download."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lithe.data.augment import Augmentation
from lithe.data.errors import DataError
from lithe.data.images import Images
from lithe.data.seeding import generator_for
from lithe.data.textures import Part, texture_patches

__all__ = ["cluttered_digits"]

SIDE = 32
TEST_DIGITS = 500  # the last ones of the collection, in its own order: other writers
CHUNK = 512  # images drawn at a time; image i does not depend on how many are asked for
SCALES = (12.0, 24.0)  # size of the 8 x 8 digit on the canvas, in pixels
TILT = math.radians(20)
DIM = 0.85  # of the background: the lever of difficulty; at 1 a small net needs many epochs


def cluttered_digits(n_train: int, n_test: int, seed: int = 0) -> tuple[Images, Images]:
    """Ten classes of 32 x 32 colour images: one digit somewhere over a patch of a photograph.

    Place, size (12 to 24 pixels), tilt and colour vary. The digits are scikit-learn's (UCI,
    8 x 8), the textures scikit-image's photographs; test images use other digits and other
    regions of the photographs than training images. The same seed gives the same bytes, and
    the first images of a longer set are the images of a shorter one.

    Args:
        n_train: number of training images.
        n_test: number of test images.
        seed: what to draw.

    Returns:
        ``(train, test)``.

    Raises:
        DataError: a size is negative.
    """
    if min(n_train, n_test) < 0:
        raise DataError(f"n_train={n_train}, n_test={n_test}: sizes must be 0 or more")
    return _part("train", n_train, seed), _part("test", n_test, seed)


def _part(part: Part, n: int, seed: int) -> Images:
    chunks = [_chunk(part, seed, k) for k in range(-(-n // CHUNK))]
    empty = torch.empty((0, 3, SIDE, SIDE), dtype=torch.uint8), torch.empty(0, dtype=torch.int64)
    pixels, labels = (torch.cat(parts)[:n] for parts in zip(empty, *chunks))
    return Images(
        pixels=pixels,
        labels=labels,
        classes=tuple("0123456789"),
        name=f"cluttered digits {part}, seed {seed}",
        mean=(0.46, 0.41, 0.39),
        std=(0.21, 0.21, 0.21),
        augmentation=Augmentation(pad=2, mirror=False),
    )


def _chunk(part: Part, seed: int, number: int) -> tuple[Tensor, Tensor]:
    """``CHUNK`` images ``(512, 3, 32, 32)`` and their labels."""
    generator = generator_for(seed, number, part == "test")
    strokes, labels = _digits(part)
    chosen = torch.randint(len(labels), (CHUNK,), generator=generator)
    background = texture_patches(part, CHUNK, SIDE, generator).float() * DIM
    ink = _ink(CHUNK, generator)
    alpha = _paste(strokes[chosen], generator)
    pixels = background + alpha * (ink - background)
    return pixels.round().clamp(0, 255).to(torch.uint8), labels[chosen]


@lru_cache(maxsize=2)
def _digits(part: Part) -> tuple[Tensor, Tensor]:
    """Strokes ``(n, 1, 8, 8)`` in 0..1 and labels ``(n,)``."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    cut = slice(None, -TEST_DIGITS) if part == "train" else slice(-TEST_DIGITS, None)
    strokes = torch.from_numpy(bunch.images[cut]).float().div(16).unsqueeze(1)
    return strokes, torch.from_numpy(bunch.target[cut]).long()


def _ink(n: int, generator: Generator) -> Tensor:
    """Light colours ``(n, 3, 1, 1)``, 0..255: any hue, at most 60 % saturated, 200+ bright.

    With any colour at all, dark ones included, the small networks of the chapters learn
    nothing for ten epochs.
    """
    hue = torch.rand((n, 3), generator=generator)
    hue = hue / hue.max(1, keepdim=True).values
    value = 200 + 55 * torch.rand((n, 1), generator=generator)
    return (value * (0.4 + 0.6 * hue))[:, :, None, None]


def _paste(strokes: Tensor, generator: Generator) -> Tensor:
    """Opacity ``(n, 1, 32, 32)`` of digits at random places, sizes and tilts."""
    n = len(strokes)
    size, angle, x, y = torch.rand((4, n), generator=generator)
    size = SCALES[0] + size * (SCALES[1] - SCALES[0])
    angle = (2 * angle - 1) * TILT
    reach = 1 - size / SIDE  # of the centre, so that the digit stays inside
    cx, cy = (2 * x - 1) * reach, (2 * y - 1) * reach
    zoom = SIDE / size
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    shift_x, shift_y = -(cos * cx - sin * cy), -(sin * cx + cos * cy)
    theta = torch.stack(
        [torch.stack([cos, -sin, shift_x], 1), torch.stack([sin, cos, shift_y], 1)], 1
    )
    grid = F.affine_grid(theta, [n, 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(strokes, grid, align_corners=False).mul(1.5).clamp(0, 1)
