"""Random crops and flips of a whole batch at once, drawn from a given generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["Augmentation", "Draw", "crop", "flip"]


@dataclass(frozen=True)
class Draw:
    """What was drawn for ``n`` images.

    Attributes:
        top: first row of each crop in the padded image, ``(n,)``, 0 to ``2 pad``.
        left: first column of each crop, ``(n,)``, 0 to ``2 pad``.
        mirrored: which images are flipped left to right, bool ``(n,)``.
    """

    top: Tensor
    left: Tensor
    mirrored: Tensor

    def part(self, cut: slice) -> Draw:
        """The draws of some of the images."""
        return Draw(self.top[cut], self.left[cut], self.mirrored[cut])


@dataclass(frozen=True)
class Augmentation:
    """The CIFAR augmentation: pad with black, crop back at random, mirror half of the images.

    Source: DCFF spec 4.

    Attributes:
        pad: pixels added on every side before the crop; 0 means no crop.
        mirror: whether images may be flipped left to right (digits may not).
    """

    pad: int = 4
    mirror: bool = True

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise ValueError(f"pad is {self.pad}; it is a number of pixels, 0 or more")

    def draw(self, n: int, generator: Generator) -> Draw:
        """Draw crops and flips for ``n`` images; always consumes the same random numbers."""
        top, left = torch.randint(2 * self.pad + 1, (2, n), generator=generator)
        coin = torch.randint(2, (n,), generator=generator, dtype=torch.bool)
        return Draw(top, left, coin & self.mirror)

    def apply(self, pixels: Tensor, draw: Draw) -> Tensor:
        """Crop and flip ``pixels`` ``(n, c, h, w)`` as drawn; same shape and dtype."""
        if self.pad:
            pixels = crop(pixels, self.pad, draw.top, draw.left)
        return flip(pixels, draw.mirrored) if self.mirror else pixels


def crop(pixels: Tensor, pad: int, top: Tensor, left: Tensor) -> Tensor:
    """Pad with zeros, then cut each image at its own place.

    Args:
        pixels: ``(n, c, h, w)``.
        pad: pixels added on every side.
        top: first padded row of each cut, ``(n,)``.
        left: first padded column of each cut, ``(n,)``.

    Returns:
        ``(n, c, h, w)``.
    """
    n, _, h, w = pixels.shape
    windows = F.pad(pixels, (pad, pad, pad, pad)).unfold(2, h, 1).unfold(3, w, 1)
    device = pixels.device  # windows is a view (n, c, 2 pad + 1, 2 pad + 1, h, w): one gather
    return windows[torch.arange(n, device=device), :, top.to(device), left.to(device)]


def flip(pixels: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror the chosen images ``(n, c, h, w)`` left to right."""
    chosen = mirrored.to(pixels.device).view(-1, 1, 1, 1)
    return torch.where(chosen, pixels.flip(-1), pixels)
