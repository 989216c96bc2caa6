"""ResNet-50 (v1.5: the stride sits on the 3x3) for 224x224 images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.zoo.convolution import Builder, MakeConv
from lithe.zoo.initialise import kaiming_normal_, torch_default_

__all__ = ["ImageNetResNet", "resnet50"]

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with batch norm around a shortcut.

    The shortcut's 1x1 convolution, where there is one, is ordinary, at the kept widths.
    """

    def __init__(
        self, builder: Builder, name: str, in_channels: int, filters: int, stride: int, first: bool
    ) -> None:
        super().__init__()
        names = [f"{name}.conv{index}" for index in (1, 2, 3)]
        one, two = builder.width(names[0], filters), builder.width(names[1], filters)
        out = builder.width(names[2], filters * EXPANSION)
        self.conv1 = builder.conv(names[0], in_channels, filters, 1)
        self.bn1 = nn.BatchNorm2d(one)
        self.conv2 = builder.conv(names[1], one, filters, 3, stride=stride, padding=1)
        self.bn2 = nn.BatchNorm2d(two)
        self.conv3 = builder.conv(names[2], two, filters * EXPANSION, 1)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if first:
            conv = nn.Conv2d(in_channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(out))
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, h, w)`` to ``(n, out, h / stride, w / stride)``."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


class ImageNetResNet(nn.Module):
    """ResNet-50: stem, sixteen bottlenecks in four stages, average pool, linear classifier.

    Source: DCFF spec 3.5. Convolutions are ``conv1``, ``layer<s>.<b>.conv<1|2|3>`` and the
    ordinary ``layer<s>.0.downsample.0``.

    Args:
        classes: size of the output.
        kept: channels that a named convolution passes on; all ``conv3`` of a stage must agree.
        make_conv: builds the convolutions; plain ones if none is given.
    """

    def __init__(
        self,
        classes: int = 1000,
        kept: Mapping[str, int] | None = None,
        make_conv: MakeConv | None = None,
    ) -> None:
        super().__init__()
        builder = Builder(kept, make_conv)
        channels = builder.width("conv1", 64)
        self.conv1 = builder.conv("conv1", 3, 64, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for stage, (filters, blocks) in enumerate(STAGES, start=1):
            layers = []
            for index in range(blocks):
                stride = 2 if stage > 1 and index == 0 else 1
                name = f"layer{stage}.{index}"
                block = Bottleneck(builder, name, channels, filters, stride, index == 0)
                layers.append(block)
                channels = block.out_channels
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.avgpool = nn.AvgPool2d(7)
        self.fc = nn.Linear(channels, classes)
        builder.finish()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of images ``(n, 3, 224, 224)``."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet50(
    classes: int = 1000,
    kept: Mapping[str, int] | None = None,
    make_conv: MakeConv | None = None,
    generator: torch.Generator | None = None,
) -> ImageNetResNet:
    """ResNet-50, convolutions Kaiming-normal (fan out); arguments as in :class:`ImageNetResNet`."""
    model = ImageNetResNet(classes, kept, make_conv)
    torch_default_(model, generator)  # for the classifier
    return kaiming_normal_(model, "fan_out", linear=False, generator=generator)
