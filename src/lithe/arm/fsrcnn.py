"""FSRCNN: feature extraction, shrinking, mapping, expanding, one transposed convolution."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.arm.start import released_start_, skip_start_
from lithe.zoo.initialise import torch_default_

__all__ = ["FSRCNN"]

TRUNK, MAPPINGS, KERNEL = 12, 4, 9


class FSRCNN(nn.Module):
    """FSRCNN(56, 12, 4) on RGB, submodules named as in the released weights.

    Source: ARM spec 2.2. No skip and no clipping; the four mapping convolutions have **no**
    activation between them; one slope per PReLU.

    Args:
        width: channels of the outer layers; the trunk has 12 at every width.
        scale: 2, 3 or 4.
        base: what is added to the output: ``"none"`` (released), or ``"bilinear"``, the input
            enlarged, without which training from scratch takes days (ARM spec 10).
        generator: source of the first weights; torch's global one if none is given. With
            ``base="none"`` they are the released ones: Kaiming times 0.1, torch's own for the
            transposed convolution.

    Raises:
        ValueError: width, scale or base is out of range.
    """

    def __init__(
        self,
        width: int = 56,
        scale: int = 4,
        base: Literal["none", "bilinear"] = "none",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check(width, scale, base)
        self.scale, self.base = scale, base
        self.halo = 2 + MAPPINGS + _reach(scale)
        self.head_conv = nn.Sequential(nn.Conv2d(3, width, 5, padding=2), nn.PReLU())
        mappings = [nn.Conv2d(TRUNK, TRUNK, 3, padding=1) for _ in range(MAPPINGS)]
        self.body_conv = nn.Sequential(
            nn.Sequential(nn.Conv2d(width, TRUNK, 1), nn.PReLU()),
            *mappings,
            nn.PReLU(),
            nn.Sequential(nn.Conv2d(TRUNK, width, 1), nn.PReLU()),
        )
        padding = (KERNEL - scale + 1) // 2
        spare = 2 * padding - (KERNEL - scale)  # so that the output is scale times the input
        self.tail_conv = nn.ConvTranspose2d(
            width, 3, KERNEL, stride=scale, padding=padding, output_padding=spare
        )
        torch_default_(self, generator)
        start = released_start_ if base == "none" else skip_start_
        start(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """RGB ``(n, 3, h, w)`` in 0..1 to ``(n, 3, scale h, scale w)``, not clipped."""
        y = self.tail_conv(self.body_conv(self.head_conv(x)))
        if self.base == "none":
            return y
        return y + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)


def _reach(scale: int) -> int:
    """How many input pixels to each side a pixel's block of outputs reads.

    Output ``u`` reads input ``k`` where ``0 <= u + padding - scale k < 9``; the block of pixel 0
    is ``u = 0 .. scale - 1``.
    """
    padding = (KERNEL - scale + 1) // 2
    furthest = (scale - 1 + padding) // scale
    nearest = -((KERNEL - 1 - padding) // scale)
    return max(furthest, -nearest)


def _check(width: int, scale: int, base: str) -> None:
    if not isinstance(width, int) or width < 1:
        raise ValueError(f"width is {width!r}; it is a number of channels, at least 1")
    if scale not in (2, 3, 4):
        raise ValueError(f"scale is {scale!r}; FSRCNN is defined for 2, 3 and 4")
    if base not in ("none", "bilinear"):
        raise ValueError(f"base is {base!r}; known are 'none' and 'bilinear'")
