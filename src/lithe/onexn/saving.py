"""Pruned networks on disk: packed, without pickle, loaded without their class."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import Tensor, nn

from lithe import export
from lithe.export import ExportError
from lithe.onexn.masked import MaskedConv2d, masked_layers
from lithe.onexn.packed_layers import PackedConv2d, PackedLinear, packed_layers

__all__ = ["compress", "load", "save"]


def compress(model: nn.Module) -> nn.Module:
    """A copy of a pruned model with packed layers in place of masked ones.

    Args:
        model: from :func:`lithe.onexn.prune`, with a pattern of blocks; left as it is.

    Returns:
        The same function, to the bit.

    Raises:
        ValueError: the model has no masked layer, or a mask is not made of blocks or a kept
            weight NaN; the layer is named.
    """
    layers = masked_layers(model)
    if not layers:
        raise ValueError(f"{type(model).__name__} has no masked layer; call onexn.prune first")
    memo = {}
    for name, layer in layers.items():
        shared = (layer.weight, layer.bias, layer.mask, layer.n)
        try:
            if isinstance(layer, MaskedConv2d):
                moves = (layer.stride, layer.padding, layer.dilation, layer.groups)
                packed = PackedConv2d(*shared, *moves, layer.order)
            else:
                packed = PackedLinear(*shared, layer.order)
        except ValueError as error:
            raise ValueError(f"{name or 'the layer'}: {error}") from None
        memo[id(layer)] = packed.train(layer.training)
    # the memo makes deepcopy put the packed layer wherever the masked one is referred to
    return copy.deepcopy(model, memo)


def save(model: nn.Module, path: str | Path, example: Tensor | None = None) -> Path:
    """Write a pruned model, packed, as the pair ``x.json`` and ``x.safetensors``.

    Args:
        model: with masked or packed layers; not changed.
        path: ``"x"``, ``"x.json"`` or ``"x.safetensors"``.
        example: see :func:`lithe.export.save`.

    Returns:
        Path of the plan, ``x.json``.

    Raises:
        ValueError: the model has neither masked nor packed layers, or :func:`compress` refuses.
        lithe.export.ExportError: the model cannot be written (:func:`lithe.export.save`).
    """
    if masked_layers(model):
        model = compress(model)
    elif not packed_layers(model):
        raise ValueError(f"{type(model).__name__} has neither masked nor packed layers")
    return export.save(model, path, example)


def load(path: str | Path) -> nn.Module:
    """Load what :func:`save` wrote. The files need not be trusted.

    Args:
        path: as for :func:`save`.

    Returns:
        The model with packed layers, in eval mode, on the CPU.

    Raises:
        lithe.export.ExportError: a file is missing, truncated or altered
            (:func:`lithe.export.load`), or a packed weight is not whole: indices out of range,
            values that no block holds, NaN.
    """
    model = export.load(path)
    for name, layer in packed_layers(model).items():
        try:
            layer.packed.check()
        except ValueError as error:
            raise ExportError(f"packed layer {name!r}: {error}") from error
    return model
