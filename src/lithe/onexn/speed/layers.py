"""The layers that are timed: which convolutions a network runs, and how often."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["POINTWISE_GROUPS", "Layer", "groups", "layers_of"]

_NAME = re.compile(r"(?:(\d+)x\1 )?(\d+)-(\d+)@(\d+)(?:s(\d+))?")

#: The sums that the bars of 1x1 convolutions are set on.
POINTWISE_GROUPS = ("mobilenet_v1 1x1", "mobilenet_v2 1x1", "resnet50 1x1")


@dataclass(frozen=True, order=True)
class Layer:
    """A convolution of a square map, padded so that stride alone decides the size.

    Attributes:
        inputs: input channels.
        filters: output channels.
        size: height and width of the output.
        kernel: height and width of the kernel, odd.
        stride: steps in both directions.
    """

    inputs: int
    filters: int
    size: int
    kernel: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        for name in ("inputs", "filters", "size", "kernel", "stride"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; it must be odd to be padded evenly")

    @classmethod
    def parse(cls, name: str | Layer) -> Layer:
        """The layer of a name such as ``"512-512@14"`` or ``"3x3 128-128@28s2"``.

        Raises:
            ValueError: the name is not of that form.
        """
        if isinstance(name, Layer):
            return name
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(
                f"{name!r} names no layer; write inputs-filters@size as in '512-512@14', "
                "with '3x3 ' before and 's2' behind where they apply"
            )
        kernel, inputs, filters, size, stride = (int(x) if x else 1 for x in found.groups())
        return cls(inputs, filters, size, kernel, stride)

    @property
    def name(self) -> str:
        """Channels and output size, as :meth:`parse` reads them."""
        before = f"{self.kernel}x{self.kernel} " if self.kernel > 1 else ""
        behind = f"s{self.stride}" if self.stride > 1 else ""
        return f"{before}{self.inputs}-{self.filters}@{self.size}{behind}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates when dense."""
        return self.inputs * self.filters * (self.kernel * self.size) ** 2

    @property
    def source(self) -> int:
        """Height and width of the input."""
        return self.size * self.stride


def layers_of(model: nn.Module, side: int = 224) -> dict[Layer, int]:
    """The ordinary convolutions that pruning would take, with how often each runs.

    Left out are the first convolution, grouped and depthwise ones, and what works on one pixel
    (classifiers, squeeze and excitation).

    Args:
        model: any network of square convolutions for images ``(1, 3, side, side)``; not run on
            data: a network on the device ``"meta"`` will do.
        side: of the image.
    """
    found: Counter[Layer] = Counter()
    seen: list[nn.Conv2d] = []

    def note(conv: nn.Conv2d, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        first, seen[:] = not seen, [*seen, conv]
        if first or conv.groups > 1 or out.shape[-1] == 1:
            return
        found[
            Layer(
                conv.in_channels,
                conv.out_channels,
                out.shape[-1],
                conv.kernel_size[0],
                conv.stride[0],
            )
        ] += 1

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d)]
    try:
        with torch.no_grad():
            model(torch.empty(1, 3, side, side, device=next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return dict(found)


def groups(network: str, counts: dict[Layer, int]) -> dict[str, dict[Layer, int]]:
    """Layers of a network by kernel size, those of stride 1 besides: ``"resnet50 3x3"`` ...

    A group of all strides holds the strided layers too; where there are any, the group without
    them is given beside it under the name ``"... stride 1"``.
    """
    table: dict[str, dict[Layer, int]] = {}
    for kernel in sorted({layer.kernel for layer in counts}):
        own = {layer: count for layer, count in counts.items() if layer.kernel == kernel}
        plain = {layer: count for layer, count in own.items() if layer.stride == 1}
        table[f"{network} {kernel}x{kernel}"] = own
        if plain and plain != own:
            table[f"{network} {kernel}x{kernel} stride 1"] = plain
    return table
