"""VGG-16 for 32x32 images: thirteen 3x3 convolutions, batch norm, one linear layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lithe.zoo.convolution import Builder, MakeConv
from lithe.zoo.initialise import torch_default_

__all__ = ["VGG", "vgg16"]

POOL = "pool"
VGG16 = (64, 64, POOL, 128, 128, POOL, *(256,) * 3, POOL, *(512,) * 3, POOL, *(512,) * 3)


class VGG(nn.Module):
    """A plain chain: (conv 3x3, batch norm, ReLU) with max pools, then a linear classifier.

    Source: DCFF spec 3.2. Convolutions are ``features.<i>`` and carry a bias. The last pooling
    window is one pixel, a no-op that the published operation count includes.

    Args:
        layout: filters per convolution, ``"pool"`` for a 2x2 max pool.
        classes: size of the output.
        kept: channels that a named convolution passes on, where fewer than its filters.
        make_conv: builds the convolutions; plain ones if none is given.
    """

    def __init__(
        self,
        layout: tuple[int | str, ...] = VGG16,
        classes: int = 10,
        kept: Mapping[str, int] | None = None,
        make_conv: MakeConv | None = None,
    ) -> None:
        super().__init__()
        builder = Builder(kept, make_conv)
        layers: list[nn.Module] = []
        channels = 3
        for entry in layout:
            if entry == POOL:
                layers.append(nn.MaxPool2d(2))
                continue
            name = f"features.{len(layers)}"
            layers.append(builder.conv(name, channels, entry, 3, padding=1, bias=True))
            channels = builder.width(name, entry)
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers, nn.MaxPool2d(2), nn.AvgPool2d(1))
        self.classifier = nn.Linear(channels, classes)
        builder.finish()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of images ``(n, 3, 32, 32)``."""
        return self.classifier(torch.flatten(self.features(x), 1))


def vgg16(
    classes: int = 10,
    kept: Mapping[str, int] | None = None,
    make_conv: MakeConv | None = None,
    generator: torch.Generator | None = None,
) -> VGG:
    """VGG-16 for CIFAR, torch's default initialisation; arguments as in :class:`VGG`."""
    return torch_default_(VGG(VGG16, classes, kept, make_conv), generator)
