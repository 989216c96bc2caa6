"""Pruned and packed networks on disk, without pickle, loaded without their class."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lithe import export
from lithe.export import ExportError
from lithe.onexn.engine import PackedNetwork
from lithe.onexn.masked import MaskedConv2d, masked_layers
from lithe.onexn.packed_layers import PackedConv2d, PackedLinear, keep_hooks, packed_layers

__all__ = ["compress", "load", "save"]

#: The name under which a plan holds what belongs to a packed network.
EXTRA = "onexn.PackedNetwork"
MOST_THREADS, MOST_VALUES = 1024, 2**27


def compress(model: nn.Module) -> nn.Module:
    """A copy of a pruned model with packed layers in place of masked ones.

    Args:
        model: from :func:`lithe.onexn.prune`, with a pattern of blocks; left as it is.

    Returns:
        The same function; to the bit with LITHE_KERNELS=reference. Forward hooks stay.

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
        memo[id(layer)] = keep_hooks(layer, packed.train(layer.training))
    # the memo makes deepcopy put the packed layer wherever the masked one is referred to
    return copy.deepcopy(model, memo)


def save(model: nn.Module, path: str | Path, example: Tensor | None = None) -> Path:
    """Write a pruned or packed model as the pair ``x.json`` and ``x.safetensors``.

    Of a :class:`PackedNetwork` the folded graph is written, the shape of its example and its
    number of threads.

    Args:
        model: a packed network, or one with masked or packed layers; not changed.
        path: ``"x"``, ``"x.json"`` or ``"x.safetensors"``.
        example: see :func:`lithe.export.save`.

    Returns:
        Path of the plan, ``x.json``.

    Raises:
        ValueError: the model has neither masked nor packed layers, or :func:`compress` refuses.
        lithe.export.ExportError: the model cannot be written (:func:`lithe.export.save`).
    """
    if isinstance(model, PackedNetwork):
        shapes = [list(shape) for shape in model.shapes]
        extra = {EXTRA: {"shapes": shapes, "threads": model.threads, "by_torch": model.by_torch}}
        return export.save(model.network, path, example, extra)
    if masked_layers(model):
        model = compress(model)
    elif not packed_layers(model):
        raise ValueError(f"{type(model).__name__} has neither masked nor packed layers")
    return export.save(model, path, example)


def load(path: str | Path, *, threads: int | None = None, tune: bool = True) -> nn.Module:
    """Load what :func:`save` wrote. The files need not be trusted.

    Args:
        path: as for :func:`save`.
        threads: of a packed network, in place of those it was saved with.
        tune: as in :func:`lithe.onexn.pack`; what this machine has measured is not timed again.

    Returns:
        A :class:`PackedNetwork`, ready to run, where one was saved; otherwise the model with
        packed layers, in eval mode, on the CPU.

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
    if EXTRA not in model.meta["extra"]:
        return model
    shapes, stored, reason = _checked(model.meta["extra"][EXTRA])
    try:
        chosen = stored if threads is None else threads
        return PackedNetwork(model, shapes, chosen, tune=tune, by_torch=reason)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ExportError(f"the packed network does not run: {error}") from error


def _checked(extra: Any) -> tuple[tuple[tuple[int, ...], ...], int | None, str | None]:
    """Shapes of the example, threads, and why torch runs it, as read from a file."""
    if not isinstance(extra, dict) or extra.keys() != {"shapes", "threads", "by_torch"}:
        raise ExportError(f"a packed network has shapes, threads and by_torch, not {extra!r}")
    shapes, threads, reason = extra["shapes"], extra["threads"], extra["by_torch"]
    if not isinstance(shapes, list) or not shapes or not all(map(_is_shape, shapes)):
        raise ExportError(f"shapes are {shapes!r}, not lists of sizes")
    if threads is not None and (type(threads) is not int or not 1 <= threads <= MOST_THREADS):
        raise ExportError(f"threads is {threads!r}; it must be 1..{MOST_THREADS}")
    if reason is not None and not isinstance(reason, str):
        raise ExportError(f"by_torch is {reason!r}, not a text")
    return tuple(map(tuple, shapes)), threads, reason


def _is_shape(shape: Any) -> bool:
    """Shapes that fit a memory: one in a file may claim anything."""
    if not isinstance(shape, list) or len(shape) < 2:
        return False
    sound = all(type(size) is int and size > 0 for size in shape)
    return sound and math.prod(shape) <= MOST_VALUES
