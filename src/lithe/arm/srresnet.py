"""SRResNet without batch norm: residual blocks, two pixel shuffles, a bilinear base."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.arm.start import released_start_

__all__ = ["SRResNet"]

SLOPE = 0.1


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, plus the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, width, h, w)`` to the same shape."""
        return x + self.conv2(F.relu(self.conv1(x)))


class SRResNet(nn.Module):
    """SRResNet x4 ("MSRResNet"), submodules named as in the released code's state dict.

    Source: ARM spec 2.4. There is no long skip around the trunk.

    Args:
        width: channels.
        blocks: residual blocks.
        scale: 4, the only one that the released network has.
        generator: source of the first weights (Kaiming times 0.1); torch's global one if none
            is given.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 16,
        scale: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("blocks", blocks)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; it is a whole number, at least 1")
        if scale != 4:
            raise ValueError(f"scale is {scale!r}; SRResNet is built for 4")
        self.scale = scale
        self.halo = 1 + 2 * blocks + 2  # two after the trunk: its own, and one for all at 2x, 4x
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.recon_trunk = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.upconv1 = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.upconv2 = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.HRconv = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)
        released_start_(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """RGB ``(n, 3, h, w)`` in 0..1 to ``(n, 3, 4 h, 4 w)``, not clipped."""
        y = self.recon_trunk(F.leaky_relu(self.conv_first(x), SLOPE))
        y = F.leaky_relu(F.pixel_shuffle(self.upconv1(y), 2), SLOPE)
        y = F.leaky_relu(F.pixel_shuffle(self.upconv2(y), 2), SLOPE)
        y = self.conv_last(F.leaky_relu(self.HRconv(y), SLOPE))
        return y + F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
