"""MobileNetV1: depthwise 3x3 and pointwise 1x1 convolutions in turn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lithe.zoo.initialise import kaiming_normal_, torch_default_

__all__ = ["MobileNetV1", "mobilenet_v1"]

#: Filters of each pointwise convolution, and stride of the depthwise one before it.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


def _unit(i: int, o: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(o), nn.ReLU(inplace=True)]


class MobileNetV1(nn.Module):
    """A stem, thirteen depthwise separable blocks, average pool and classifier.

    Source: Howard et al. 2017, table 1 (arXiv 1704.04861); 4.2 million parameters and 569
    million MACs at width 1 and 224x224.

    Args:
        classes: size of the output.
        width: multiplies every number of filters; they stay whole multiples of 8.
        stem_stride: 2 for large images, 1 for small ones.

    Raises:
        ValueError: ``width`` is not positive.
    """

    def __init__(self, classes: int = 1000, width: float = 1.0, stem_stride: int = 2) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"width is {width}; it must be positive")
        channels = _scaled(32, width)
        self.stem = nn.Sequential(*_unit(3, channels, 3, stem_stride))
        blocks = []
        for filters, stride in BLOCKS:
            out = _scaled(filters, width)
            depthwise = _unit(channels, channels, 3, stride, groups=channels)
            blocks.append(nn.Sequential(*depthwise, *_unit(channels, out, 1)))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of images ``(n, 3, h, w)``."""
        x = self.pool(self.blocks(self.stem(x)))
        return self.classifier(torch.flatten(x, 1))


def mobilenet_v1(
    classes: int = 1000,
    width: float = 1.0,
    stem_stride: int = 2,
    generator: torch.Generator | None = None,
) -> MobileNetV1:
    """MobileNetV1, convolutions Kaiming-normal (fan out); see :class:`MobileNetV1`."""
    model = MobileNetV1(classes, width, stem_stride)
    torch_default_(model, generator)  # for the classifier
    return kaiming_normal_(model, "fan_out", linear=False, generator=generator)


def _scaled(filters: int, width: float) -> int:
    return max(8, int(filters * width + 4) // 8 * 8)
