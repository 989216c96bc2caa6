"""``lithe::packed_conv2d``: the packed convolution as an operator that torch knows.

Tracing, export and autograd see one operator with a fake kernel. It computes natively where it
can; elsewhere it unpacks the weight and lets torch convolve, which gives the same numbers.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from lithe.onexn.packed import PackedWeight
from lithe.onexn.program import Conv, Plane, Program

__all__ = ["native_enabled", "packed_conv2d"]

# Programs kept per weight, the least recently used given up first: one per shape of the input.
KEPT = 8

_programs: WeakIdKeyDictionary = WeakIdKeyDictionary()
_lock = threading.Lock()


@torch.library.custom_op("lithe::packed_conv2d", mutates_args=())
def packed_conv2d(
    x: Tensor,
    values: Tensor,
    columns: Tensor,
    pointers: Tensor,
    order: Tensor | None,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    shape: list[int],
) -> Tensor:
    """Convolve with a packed weight.

    Args:
        x: ``(batch, i * groups, h, w)``.
        values: see :class:`lithe.onexn.packed.PackedWeight`, as are the next three.
        columns: int32 ``(b,)``.
        pointers: int32 ``(r + 1,)``.
        order: int32 ``(o,)`` or None.
        bias: ``(o,)`` or None.
        stride: two numbers, as of ``torch.nn.Conv2d``.
        padding: likewise, of zeros.
        dilation: likewise.
        groups: of the convolution.
        shape: of the weight, ``(o, i, kh, kw)``, or ``(o, i)`` for a kernel of one place.

    Returns:
        ``(batch, o, h', w')``, contiguous.

    Raises:
        ValueError: the tensors make no packed weight, or the input has other channels.
    """
    weight = PackedWeight(values, columns, pointers, order, torch.Size(shape), groups)
    _check(x, weight)
    moves = (tuple(stride), tuple(padding), tuple(dilation))
    if _native(x, weight, bias):
        return _program(x, weight, bias, moves).run(x)[0]
    kernels = weight.unpack()
    if kernels.ndim == 2:  # to the last bit what a linear layer computes
        pixels = x.movedim(1, 3)
        y = F.linear(pixels.reshape(-1, x.shape[1]), kernels, bias)
        return y.reshape(*pixels.shape[:3], -1).movedim(3, 1).contiguous()
    return F.conv2d(x, kernels, bias, *moves, groups).contiguous()


@packed_conv2d.register_fake
def _(x, values, columns, pointers, order, bias, stride, padding, dilation, groups, shape):
    weight = _kernels(torch.empty(shape, dtype=values.dtype, device=x.device))
    y = F.conv2d(x, weight, bias, tuple(stride), tuple(padding), tuple(dilation), groups)
    return y.new_empty(y.shape)  # contiguous, whatever the layout of the input


def _remember(ctx, inputs, output) -> None:
    x, values, columns, pointers, order, _, *moves, groups, shape = inputs
    ctx.save_for_backward(values, columns, pointers, *([] if order is None else [order]))
    ctx.moves, ctx.packing, ctx.sizes = moves, (shape, groups), list(x.shape)


def _backward(ctx, gradient: Tensor):
    """The gradient of the input; packed weights are not trained."""
    values, columns, pointers, *order = ctx.saved_tensors
    index = (columns, pointers, order[0] if order else None)
    shape, groups = ctx.packing
    own = _input_gradient(gradient, values, *index, *ctx.moves, groups, shape, ctx.sizes)
    return own, *[None] * 10


@torch.library.custom_op("lithe::packed_conv2d_input_gradient", mutates_args=())
def _input_gradient(
    gradient: Tensor,
    values: Tensor,
    columns: Tensor,
    pointers: Tensor,
    order: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    shape: list[int],
    sizes: list[int],
) -> Tensor:
    """An operator too, for a tracer cannot follow how a weight is unpacked."""
    weight = PackedWeight(values, columns, pointers, order, torch.Size(shape), groups).unpack()
    moves = (tuple(stride), tuple(padding), tuple(dilation))
    own = torch.nn.grad.conv2d_input(sizes, _kernels(weight), gradient, *moves, groups)
    return own.contiguous()


@_input_gradient.register_fake
def _(gradient, values, columns, pointers, order, stride, padding, dilation, groups, shape, sizes):
    return gradient.new_empty(sizes)


packed_conv2d.register_autograd(_backward, setup_context=_remember)


def native_enabled() -> bool:
    """Whether native kernels may be used: not with LITHE_KERNELS=reference, or without llvmlite.

    Raises:
        ValueError: LITHE_KERNELS is neither ``native`` nor ``reference``.
    """
    wanted = os.environ.get("LITHE_KERNELS", "native")
    if wanted not in ("native", "reference"):
        raise ValueError(f"LITHE_KERNELS is {wanted!r}; it must be 'native' or 'reference'")
    return wanted == "native" and _available()


@cache
def _available() -> bool:
    from lithe.onexn.kernels import NativeUnavailable, host

    try:
        host()
    except NativeUnavailable:
        return False
    return True


def _check(x: Tensor, weight: PackedWeight) -> None:
    """Refused before unpacking: the shape in a file may claim more than any memory holds."""
    wanted = weight.shape[1] * weight.groups
    if x.ndim != 4 or x.shape[1] != wanted:
        raise ValueError(f"input of shape {tuple(x.shape)} for a layer of {wanted} channels")


def _kernels(weight: Tensor) -> Tensor:
    """The weight of a linear layer as kernels of one place."""
    return weight if weight.ndim == 4 else weight[..., None, None]


def _native(x: Tensor, weight: PackedWeight, bias: Tensor | None) -> bool:
    tensors = [x, *_tensors(weight, bias)]
    plain = all(t.device.type == "cpu" and t.layout is torch.strided for t in tensors)
    floats = [x, weight.values, *([] if bias is None else [bias])]
    # What changes an inference tensor leaves no trace, so a program made from one may be stale.
    traced = not any(t.is_inference() for t in tensors[1:])
    return (
        plain
        and traced
        and x.numel() > 0
        and all(t.dtype is torch.float32 for t in floats)
        and native_enabled()
    )


def _tensors(weight: PackedWeight, bias: Tensor | None) -> list[Tensor]:
    own = (weight.values, weight.columns, weight.pointers, weight.order, bias)
    return [tensor for tensor in own if tensor is not None]


def _program(x: Tensor, weight: PackedWeight, bias: Tensor | None, moves: tuple):
    """The program for this input, made at its first use; it dies with the weight's values."""
    from lithe.onexn.kernels import NativeProgram

    state = tuple((id(t), t.data_ptr(), t._version) for t in _tensors(weight, bias))
    threads = torch.get_num_threads()
    key = (tuple(x.shape), moves, weight.shape, weight.groups, threads, os.environ.get("LITHE_ISA"))
    with _lock:
        kept = _programs.setdefault(weight.values, OrderedDict())
        found = kept.get(key)
        if found is not None and found[0] == state:
            kept.move_to_end(key)
            return found[1]
        program = NativeProgram(_plan(x, weight, bias, moves), x.shape[0], threads)
        kept[key] = (state, program)
        kept.move_to_end(key)
        while len(kept) > KEPT:
            kept.popitem(last=False)
        return program


def _plan(x: Tensor, weight: PackedWeight, bias: Tensor | None, moves: tuple) -> Program:
    """A program of one convolution."""
    shape = tuple(x.shape[1:])
    empty = _kernels(torch.empty(weight.shape, device="meta"))
    y = F.conv2d(x[:1].to("meta"), empty, None, *moves, weight.groups).shape[1:]
    start = -(-x[0].numel() // 16) * 16
    source, target = Plane(0, *shape), Plane(1, *y)
    step = Conv(source, target, weight, None if bias is None else bias.detach(), *moves)
    size = start + -(-y.numel() // 16) * 16
    return Program((step,), (shape, tuple(y)), (0, start), size, (source,), (target,))
