"""GoogLeNet for 32x32 images: a stem, nine inception modules, one linear layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lithe.zoo.convolution import Builder, MakeConv
from lithe.zoo.initialise import torch_default_

__all__ = ["INCEPTIONS", "GoogLeNet", "googlenet"]

#: Filters of each inception module: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
INCEPTIONS = {
    "a3": (64, 96, 128, 16, 32, 32),
    "b3": (128, 128, 192, 32, 96, 64),
    "a4": (192, 96, 208, 16, 48, 64),
    "b4": (160, 112, 224, 24, 64, 64),
    "c4": (128, 128, 256, 24, 64, 64),
    "d4": (112, 144, 288, 32, 64, 64),
    "e4": (256, 160, 320, 32, 128, 128),
    "a5": (256, 160, 320, 32, 128, 128),
    "b5": (384, 192, 384, 48, 128, 128),
}
POOLED = ("b3", "e4")


class Inception(nn.Module):
    """Four branches side by side, concatenated; the 5x5 is two 3x3 convolutions.

    Source: DCFF spec 3.4. Convolutions are ``b1.0``, ``b2.0``, ``b2.3``, ``b3.0``, ``b3.3``,
    ``b3.6`` and ``b4.1``; each has a bias, batch norm and ReLU.
    """

    def __init__(
        self, builder: Builder, name: str, in_channels: int, filters: tuple[int, ...]
    ) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pool = filters
        branches = {
            "b1": [(one, 1)],
            "b2": [(reduce3, 1), (three, 3)],
            "b3": [(reduce5, 1), (five, 3), (five, 3)],
            "b4": [(pool, 1)],
        }
        self.out_channels = 0
        for branch, convs in branches.items():
            layers: list[nn.Module] = [nn.MaxPool2d(3, 1, 1)] if branch == "b4" else []
            channels = in_channels
            for width, kernel in convs:
                conv = f"{name}.{branch}.{len(layers)}"
                padding = kernel // 2
                layers.append(
                    builder.conv(conv, channels, width, kernel, padding=padding, bias=True)
                )
                channels = builder.width(conv, width)
                layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            setattr(self, branch, nn.Sequential(*layers))
            self.out_channels += channels

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, h, w)`` to ``(n, out, h, w)``."""
        return torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], dim=1)


class GoogLeNet(nn.Module):
    """Stem of 192 filters, nine :class:`Inception` modules, average pool, linear classifier.

    Args:
        classes: size of the output.
        kept: channels that a named convolution passes on, where fewer than its filters.
        make_conv: builds the convolutions; plain ones if none is given.
    """

    def __init__(
        self,
        classes: int = 10,
        kept: Mapping[str, int] | None = None,
        make_conv: MakeConv | None = None,
    ) -> None:
        super().__init__()
        builder = Builder(kept, make_conv)
        stem = builder.conv("pre_layers.0", 3, 192, 3, padding=1, bias=True)
        channels = builder.width("pre_layers.0", 192)
        self.pre_layers = nn.Sequential(stem, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        for name, filters in INCEPTIONS.items():
            module = Inception(builder, name, channels, filters)
            setattr(self, name, module)
            channels = module.out_channels
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.avgpool = nn.AvgPool2d(8)
        self.linear = nn.Linear(channels, classes)
        builder.finish()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of images ``(n, 3, 32, 32)``."""
        x = self.pre_layers(x)
        for name in INCEPTIONS:
            x = getattr(self, name)(x)
            if name in POOLED:
                x = self.maxpool(x)
        return self.linear(torch.flatten(self.avgpool(x), 1))


def googlenet(
    classes: int = 10,
    kept: Mapping[str, int] | None = None,
    make_conv: MakeConv | None = None,
    generator: torch.Generator | None = None,
) -> GoogLeNet:
    """GoogLeNet for CIFAR, torch's default initialisation; arguments as in :class:`GoogLeNet`."""
    return torch_default_(GoogLeNet(classes, kept, make_conv), generator)
