"""CARN: residual units in cascades, every stage fused with all that came before it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.zoo.initialise import torch_default_

__all__ = ["CARN", "MeanShift"]

MEAN_RGB = (0.4488, 0.4371, 0.4040)
GROUPS = 4
STAGES = {2: (2,), 3: (3,), 4: (2, 2)}


class MeanShift(nn.Conv2d):
    """Adds ``sign`` times the mean colour, as a frozen 1x1 convolution."""

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            self.bias.copy_(sign * torch.tensor(MEAN_RGB))
        self.requires_grad_(False)


class ResidualUnit(nn.Module):
    """Two grouped 3x3 convolutions and a 1x1 one; ReLU after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=GROUPS),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=GROUPS),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, width, h, w)`` to the same shape."""
        return F.relu(self.body(x) + x)


def _fusion(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs * width, width, 1), nn.ReLU())


def _cascade(x: Tensor, steps: Sequence[nn.Module], fusions: Sequence[nn.Module]) -> Tensor:
    """``o_k = c_k([x, s_1(o_0), ..., s_k(o_(k-1))])`` with ``o_0 = x``; returns the last."""
    seen = out = x
    for step, fusion in zip(steps, fusions):
        seen = torch.cat([seen, step(out)], 1)
        out = fusion(seen)
    return out


class CascadingBlock(nn.Module):
    """One residual unit, used three times, and three fusions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.b1 = ResidualUnit(width)
        self.c1, self.c2, self.c3 = (_fusion(k, width) for k in (2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, width, h, w)`` to the same shape."""
        return _cascade(x, [self.b1] * 3, [self.c1, self.c2, self.c3])


class Upsample(nn.Module):
    """Grouped convolution, ReLU and pixel shuffle, once or twice."""

    def __init__(self, width: int, scale: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for factor in STAGES[scale]:
            conv = nn.Conv2d(width, factor**2 * width, 3, padding=1, groups=GROUPS)
            layers += [conv, nn.ReLU(), nn.PixelShuffle(factor)]
        self.up = nn.ModuleDict({"body": nn.Sequential(*layers)})

    def forward(self, x: Tensor) -> Tensor:
        """``(n, width, h, w)`` to ``(n, width, scale h, scale w)``."""
        return self.up["body"](x)


class CARN(nn.Module):
    """CARN with shared residual units and four groups, named as in the released weights.

    Source: ARM spec 2.3.

    Args:
        width: channels; a multiple of 4.
        scale: 2, 3 or 4.
        generator: source of the first weights (torch's own rule); torch's global one if none is
            given.

    Raises:
        ValueError: width or scale is out of range.
    """

    def __init__(
        self, width: int = 64, scale: int = 4, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not isinstance(width, int) or width < 1 or width % GROUPS:
            raise ValueError(f"width is {width!r}; CARN has {GROUPS} groups: a multiple of it")
        if scale not in STAGES:
            raise ValueError(f"scale is {scale!r}; CARN is built for {', '.join(map(str, STAGES))}")
        self.scale = scale
        self.halo = 1 + 3 * 3 * 2 + _upsampling_reach(scale)
        self.entry = nn.Conv2d(3, width, 3, padding=1)
        self.b1, self.b2, self.b3 = (CascadingBlock(width) for _ in range(3))
        self.c1, self.c2, self.c3 = (_fusion(k, width) for k in (2, 3, 4))
        self.upsample = Upsample(width, scale)
        self.exit = nn.Conv2d(width, 3, 3, padding=1)
        torch_default_(self, generator)
        self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(1)

    def forward(self, x: Tensor) -> Tensor:
        """RGB ``(n, 3, h, w)`` in 0..1 to ``(n, 3, scale h, scale w)``, not clipped."""
        x = self.entry(self.sub_mean(x))
        x = _cascade(x, [self.b1, self.b2, self.b3], [self.c1, self.c2, self.c3])
        return self.add_mean(self.exit(self.upsample(x)))


def _upsampling_reach(scale: int) -> int:
    """Input pixels that the 3x3 convolutions between and after the pixel shuffles reach.

    ``last`` is how far, in pixels of the present size, an output block reads to one side.
    """
    sizes = [1]
    for factor in STAGES[scale]:
        sizes.append(sizes[-1] * factor)
    reach = 1  # of the last convolution, at full size, beyond the block's own outputs
    for fine, coarse in pairwise(reversed(sizes)):
        reach = -(-reach * coarse // fine) + 1
    return reach
