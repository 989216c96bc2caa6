"""A network that trains in seconds: 3x3 convolutions, max pools, a global average."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lithe.zoo.initialise import torch_default_

__all__ = ["small_cnn"]


def small_cnn(
    classes: int = 10,
    widths: Sequence[int] = (16, 16, 32, 32, 64, 64),
    *,
    in_channels: int = 3,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A chain of (conv 3x3, batch norm, ReLU), a 2x2 max pool after every second one.

    The last pool is the global average, so that any image of at least
    ``2 ** ((len(widths) - 1) // 2)`` pixels a side will do; 32x32 is meant. A convolution before
    batch norm carries no bias, which the norm would cancel.

    Args:
        classes: size of the output.
        widths: filters of each convolution.
        in_channels: channels of the image.
        generator: source of the first weights; torch's global one if none is given.

    Returns:
        ``(n, in_channels, h, w)`` to logits ``(n, classes)``.

    Raises:
        ValueError: no widths, or a width below 1.
    """
    if not widths or min(widths) < 1:
        raise ValueError(f"widths is {tuple(widths)}; give at least one width, each at least 1")
    layers: list[nn.Module] = []
    channels = in_channels
    for index, width in enumerate(widths):
        if index and index % 2 == 0:
            layers.append(nn.MaxPool2d(2))
        conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return torch_default_(nn.Sequential(*layers, *head), generator)
