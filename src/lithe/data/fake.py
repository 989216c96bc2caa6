"""Random images of any shape, for dry runs at the real size."""

from __future__ import annotations

import torch

from lithe.data.augment import Augmentation
from lithe.data.errors import DataError
from lithe.data.images import Images

__all__ = ["fake_images"]


def fake_images(shape: tuple[int, int, int], classes: int, n: int, seed: int = 0) -> Images:
    """Noise with labels: nothing to learn, everything to run.

    Args:
        shape: channels, height, width of one image.
        classes: number of classes; labels are uniform.
        n: number of images.
        seed: same seed, same bytes.

    Raises:
        DataError: a size is not positive.
    """
    if min(*shape, classes, n) < 1 or len(shape) != 3:
        raise DataError(f"shape={shape}, classes={classes}, n={n}: all sizes must be 1 or more")
    generator = torch.Generator().manual_seed(seed)
    return Images(
        pixels=torch.randint(256, (n, *shape), generator=generator, dtype=torch.uint8),
        labels=torch.randint(classes, (n,), generator=generator),
        classes=tuple(f"class {k}" for k in range(classes)),
        name=f"fake {'x'.join(map(str, shape))}",
        mean=(0.5,) * shape[0],
        std=(0.29,) * shape[0],  # of the uniform distribution
        augmentation=Augmentation(),
    )
