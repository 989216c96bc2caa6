"""ResNet-20, -56, -110 for 32x32 images, with parameter-free shortcuts (option A)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.zoo.convolution import Builder, MakeConv
from lithe.zoo.initialise import kaiming_normal_, torch_default_

__all__ = ["CifarResNet", "PadShortcut", "resnet20", "resnet56", "resnet110", "resnet_cifar"]

STAGES = (16, 32, 64)


class PadShortcut(nn.Module):
    """Every ``stride``-th pixel, zero channels added on both sides.

    Source: DCFF spec 3.3. The left side gets ``floor((out - in) / 2)`` channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.left = (out_channels - in_channels) // 2
        self.right = out_channels - in_channels - self.left
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, h, w)`` to ``(n, out, ceil(h / stride), ceil(w / stride))``."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.left, self.right))


class BasicBlock(nn.Module):
    """conv 3x3, batch norm, ReLU, conv 3x3, batch norm, shortcut, ReLU."""

    def __init__(
        self, builder: Builder, name: str, in_channels: int, filters: int, stride: int
    ) -> None:
        super().__init__()
        first, second = f"{name}.conv1", f"{name}.conv2"
        middle, out = builder.width(first, filters), builder.width(second, filters)
        self.conv1 = builder.conv(first, in_channels, filters, 3, stride=stride, padding=1)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = builder.conv(second, middle, filters, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(out)
        same = stride == 1 and in_channels == out
        self.shortcut = nn.Identity() if same else PadShortcut(in_channels, out, stride)
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, h, w)`` to ``(n, out, h / stride, w / stride)``."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """Stem, three stages of basic blocks, global average, linear classifier.

    Source: DCFF spec 3.3. Convolutions are ``conv1`` and ``layer<s>.<b>.conv<1|2>``.

    Args:
        blocks: basic blocks per stage; depth is ``6 * blocks + 2``.
        classes: size of the output.
        kept: channels that a named convolution passes on, where fewer than its filters. All
            ``conv2`` of a stage, and the stem with the first stage, must agree.
        make_conv: builds the convolutions; plain ones if none is given.
        pool_module: average with a module rather than a function. The released compact nets do,
            the dense ones do not, and the published operation counts see modules only.
    """

    def __init__(
        self,
        blocks: int,
        classes: int = 10,
        kept: Mapping[str, int] | None = None,
        make_conv: MakeConv | None = None,
        pool_module: bool = False,
    ) -> None:
        super().__init__()
        builder = Builder(kept, make_conv)
        channels = builder.width("conv1", STAGES[0])
        self.conv1 = builder.conv("conv1", 3, STAGES[0], 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        for stage, filters in enumerate(STAGES, start=1):
            layers = []
            for index in range(blocks):
                stride = 2 if stage > 1 and index == 0 else 1
                name = f"layer{stage}.{index}"
                layers.append(BasicBlock(builder, name, channels, filters, stride))
                channels = layers[-1].out_channels
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.pool = nn.AdaptiveAvgPool2d(1) if pool_module else None
        self.linear = nn.Linear(channels, classes)
        builder.finish()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of images ``(n, 3, 32, 32)``."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = self.pool(x) if self.pool is not None else F.adaptive_avg_pool2d(x, 1)
        return self.linear(torch.flatten(x, 1))


def resnet_cifar(
    depth: int,
    classes: int = 10,
    kept: Mapping[str, int] | None = None,
    make_conv: MakeConv | None = None,
    *,
    pool_module: bool = False,
    generator: torch.Generator | None = None,
) -> CifarResNet:
    """ResNet of ``depth`` layers, Kaiming-normal weights (fan in); see :class:`CifarResNet`.

    Raises:
        ValueError: ``depth`` is not ``6 b + 2``.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"depth is {depth}; it must be 6 b + 2, such as 20, 56 or 110")
    model = CifarResNet(blocks, classes, kept, make_conv, pool_module)
    torch_default_(model, generator)  # for the classifier's bias
    return kaiming_normal_(model, "fan_in", generator=generator)


def resnet20(classes: int = 10, generator: torch.Generator | None = None) -> CifarResNet:
    """ResNet-20 for CIFAR; its submodule names are those of the released weights."""
    return resnet_cifar(20, classes, generator=generator)


def resnet56(classes: int = 10, generator: torch.Generator | None = None) -> CifarResNet:
    """ResNet-56 for CIFAR."""
    return resnet_cifar(56, classes, generator=generator)


def resnet110(classes: int = 10, generator: torch.Generator | None = None) -> CifarResNet:
    """ResNet-110 for CIFAR."""
    return resnet_cifar(110, classes, generator=generator)
