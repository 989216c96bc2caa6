"""From a sharp image to the pair that super-resolution is measured on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lithe.arm.imresize import imresize

__all__ = ["PHOTOS", "cut_starts", "degrade", "multiple", "photographs"]

#: Colour, then gray photographs inside the scikit-image wheel: nothing is fetched.
PHOTOS = (
    *("astronaut", "chelsea", "coffee", "rocket", "motorcycle", "ihc", "hubble", "retina"),
    *("camera", "brick", "grass", "gravel", "coins", "moon"),
)
LOADERS = {"ihc": "immunohistochemistry", "hubble": "hubble_deep_field"}


def multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """The image cut at the right and bottom so that ``scale`` divides its sides."""
    h, w = (side - side % scale for side in image.shape[:2])
    if not h or not w:
        raise ValueError(f"an image of {image.shape[:2]} is smaller than the scale {scale}")
    return image[:h, :w]


def degrade(image: np.ndarray, scale: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A sharp image and what is left of it: cut to a multiple, shrunk by MATLAB's bicubic.

    Source: ARM spec 3 and 8.

    Args:
        image: uint8 ``(h, w, 3)``.
        scale: whole factor.

    Returns:
        ``(hr, lr)``, uint8 ``(scale h', scale w', 3)`` and ``(h', w', 3)``.

    Raises:
        TypeError: the image is not uint8.
        ValueError: it is smaller than the scale.
    """
    if image.dtype != np.uint8:
        raise TypeError(f"image is {image.dtype}; the published pairs are 8-bit, give uint8")
    sharp = multiple(image, scale)
    return sharp, imresize(sharp, 1 / scale)


def cut_starts(n: int, size: int, step: int, least: int | None = None) -> list[int]:
    """Where patches begin along one side.

    Source: ARM spec 3 and 5.1. Patches begin at 0, step, 2 step, ...; if more than ``least``
    pixels remain at the end, one more is set flush with it.

    Args:
        n: length of the side.
        size: of a patch.
        step: from one to the next.
        least: pixels that must remain for the flush patch; ``None`` for no flush patch (as the
            released code cuts for inference).

    Raises:
        ValueError: the side is shorter than a patch.
    """
    if n < size:
        raise ValueError(f"a side of {n} pixels holds no patch of {size}")
    starts = list(range(0, n - size + 1, step))
    if least is not None and n - (starts[-1] + size) > least:
        starts.append(n - size)
    return starts


def photographs(names: tuple[str, ...] = PHOTOS) -> Iterator[tuple[str, np.ndarray]]:
    """Photographs that come with scikit-image, uint8 ``(h, w, 3)``; gray ones repeated.

    Raises:
        ValueError: a name is not in :data:`PHOTOS`.
    """
    from skimage import data

    for name in names:
        if name not in PHOTOS:
            raise ValueError(f"no photograph {name!r}; known are {', '.join(PHOTOS)}")
        if name == "motorcycle":
            image = data.stereo_motorcycle()[0]
        else:
            image = getattr(data, LOADERS.get(name, name))()
        image = np.asarray(image)
        yield name, np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., :3]
