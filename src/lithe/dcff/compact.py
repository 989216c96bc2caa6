"""Turning fused layers into the plain convolutions they stand for."""

from __future__ import annotations

import copy

import torch
from torch import nn

from lithe.dcff.fused import FusedConv2d
from lithe.dcff.refresh import fused_layers

__all__ = ["compact", "plain"]


def compact(model: nn.Module) -> nn.Module:
    """A copy of ``model`` with an ordinary convolution in place of every fused layer.

    Fused filters are computed here from mixing rows and weights, so that the result does not
    depend on what a forward pass may have left behind (DCFF spec 2.12 and B5). Outputs in eval
    mode are equal.

    Args:
        model: holds refreshed :class:`lithe.dcff.FusedConv2d` layers; left as it is.

    Returns:
        A module without fused layers; everything else is copied, the training flag too.

    Raises:
        RuntimeError: a fused layer was never refreshed; the message names it.
        TypeError: ``model`` is not a module.
    """
    built: dict[int, nn.Conv2d] = {}
    for name, layer in fused_layers(model).items():
        try:
            built[id(layer)] = plain(layer)
        except RuntimeError as error:
            raise RuntimeError(f"{name or 'the layer'}: {error}") from None
    # the memo makes deepcopy put the plain convolution wherever the fused layer is referred to
    return copy.deepcopy(model, memo=dict(built))


@torch.no_grad()
def plain(layer: FusedConv2d) -> nn.Conv2d:
    """The ordinary convolution of a refreshed fused layer.

    Raises:
        RuntimeError: the layer was never refreshed.
    """
    weight, bias = layer.fused(), layer.fused_bias()
    conv = nn.utils.skip_init(
        nn.Conv2d,
        layer.in_channels,
        layer.kept,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    conv.weight.copy_(weight)
    if bias is not None:
        conv.bias.copy_(bias)
    return conv.train(layer.training)
