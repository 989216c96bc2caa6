"""Networks built from the blocks of the paper's spaces: what a latency table is measured on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lithe.pssnet.block import Block

__all__ = ["InvertedResidual", "chain"]


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3 and linear 1x1; its input added where shapes allow.

    Source: PSS-Net spec 2.3.

    Args:
        cin: input channels.
        cmid: channels of the depthwise convolution; without expansion if equal to ``cin``.
        cout: output channels.
        stride: of the depthwise convolution.
    """

    def __init__(self, cin: int, cmid: int, cout: int, stride: int) -> None:
        super().__init__()
        expand = _unit(cin, cmid, 1, 1) if cmid != cin else []
        linear = _unit(cmid, cout, 1, 1)[:-1]
        self.body = nn.Sequential(*expand, *_unit(cmid, cmid, 3, stride, cmid), *linear)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """``(n, cin, h, w)`` to ``(n, cout, h / stride, w / stride)``."""
        return x + self.body(x) if self.residual else self.body(x)


def chain(blocks: tuple[Block, ...]) -> nn.Sequential:
    """The network that a subnet of the paper's spaces describes, one child a block.

    Average pooling belongs to the linear layer's child. Weights are random.

    Args:
        blocks: from :meth:`lithe.pssnet.space.Space.blocks`.

    Raises:
        ValueError: a block is of a kind that is not known how to build.
    """
    return nn.Sequential(*(_built(block) for block in blocks))


def _unit(i: int, o: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(o), nn.ReLU6(inplace=True)]


def _convolution(b: Block) -> nn.Module:
    return nn.Sequential(*_unit(b.cin, b.cout, b.kernel, b.stride))


def _separable(b: Block) -> nn.Module:
    return nn.Sequential(*_unit(b.cin, b.cin, 3, b.stride, b.cin), *_unit(b.cin, b.cout, 1, 1))


def _inverted(b: Block) -> nn.Module:
    return InvertedResidual(b.cin, b.cmid, b.cout, b.stride)


def _linear(b: Block) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(b.cin, b.cout))


_KINDS: dict[str, Callable[[Block], nn.Module]] = {
    "Conv2d": _convolution,
    "MBV1Block": _separable,
    "MBV2Block": _inverted,
    "Linear": _linear,
}


def _built(block: Block) -> nn.Module:
    if block.kind not in _KINDS:
        raise ValueError(f"cannot build {block}; known kinds are {', '.join(_KINDS)}")
    with torch.random.fork_rng(devices=[]):  # fresh weights must not move the caller's seed
        return _KINDS[block.kind](block)
