"""Layers that hold a packed weight and compute with it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.export import register_module
from lithe.onexn.operator import packed_conv2d
from lithe.onexn.packed import PackedWeight, pack_weight

__all__ = ["PackedConv2d", "PackedLinear", "keep_hooks", "packed_layers"]

#: Where torch keeps what is called around a layer's forward pass.
_HOOKS = (
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
)


class _Packed(nn.Module):
    """What packed layers share: the packed weight as buffers, checked whenever it is read."""

    def _hold(self, packed: PackedWeight, bias: Tensor | None) -> None:
        super().__init__()
        self.shape, self.groups = packed.shape, packed.groups
        self.register_buffer("values", packed.values)
        self.register_buffer("columns", packed.columns)
        self.register_buffer("pointers", packed.pointers)
        self.register_buffer("order", packed.order)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @property
    def packed(self) -> PackedWeight:
        """The packed weight, as stored and not yet checked."""
        index = (self.columns, self.pointers, self.order)
        return PackedWeight(self.values, *index, self.shape, self.groups)

    def _config(self) -> dict[str, Any]:
        packed = self.packed
        return {
            "shape": list(packed.shape),
            "n": packed.n,
            "blocks": len(packed.values),
            "ordered": packed.order is not None,
            "groups": packed.groups,
            "bias": self.bias is not None,
        }

    @classmethod
    def _unfilled(cls, axes: int, config: dict[str, Any]) -> tuple[_Packed, dict[str, Any]]:
        """A layer whose tensors have no values, and what is left of its configuration."""
        config = dict(config)
        shape, bias = config.pop("shape"), config.pop("bias")
        if len(shape) != axes or not all(isinstance(x, int) and x > 0 for x in shape):
            raise ValueError(f"shape is {shape!r}; a weight has {axes} positive sizes")
        packed = {key: config.pop(key) for key in ("n", "blocks", "ordered", "groups")}
        layer = cls.__new__(cls)
        offset = torch.empty(shape[0], device="meta") if bias else None
        layer._hold(PackedWeight.empty(torch.Size(shape), **packed), offset)
        return layer, config


@register_module("onexn.PackedConv2d")
class PackedConv2d(_Packed):
    """A convolution that stores only the blocks it keeps.

    Its pass is :func:`lithe.onexn.operator.packed_conv2d`: native kernels where they apply, else
    the reference that they are held to, the weight unpacked and given to torch.

    Args:
        weight: ``(o, i, kh, kw)``, ``i`` input channels per group.
        bias: ``(o,)`` or None.
        mask: shaped as the weight, bool, made of whole blocks.
        n: filters per block.
        stride: as of ``torch.nn.Conv2d``.
        padding: likewise, of zeros.
        dilation: likewise.
        groups: likewise.
        order: see :func:`lithe.onexn.packed.pack_weight`.

    Raises:
        TypeError, ValueError: as :func:`lithe.onexn.packed.pack_weight`, or a weight or bias of
            another shape.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        mask: Tensor,
        n: int,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        order: Tensor | None = None,
    ) -> None:
        _check_layer(weight, bias, axes=4)
        self._hold(pack_weight(weight, mask, n, order, groups), bias)
        self._move(stride, padding, dilation)

    def _move(self, stride: object, padding: object, dilation: object) -> None:
        self.stride = _pair("stride", stride, 1)
        self.dilation = _pair("dilation", dilation, 1)
        self.padding = padding if padding in ("same", "valid") else _pair("padding", padding, 0)
        if padding == "same" and self.stride != (1, 1):
            raise ValueError(f"padding is 'same' with stride {self.stride}; it needs stride 1")

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(batch, i * groups, h, w)``; ValueError for other channels."""
        if x.ndim not in (3, 4):
            raise ValueError(f"input has shape {tuple(x.shape)}; it must be (batch, c, h, w)")
        _check_input(self, x, x.shape[-3])
        sides = self._sides()
        if sides is None:  # borders of unequal sides: torch pads them
            weight, moves = self.packed.unpack(), (self.stride, self.padding, self.dilation)
            return F.conv2d(x, weight, self.bias, *moves, self.groups)
        image = x if x.ndim == 4 else x[None]
        y = _convolve(self, image, self.stride, sides, self.dilation)
        return y if x.ndim == 4 else y[0]

    def _sides(self) -> tuple[int, int] | None:
        """The padding in numbers; None for ``same`` where an even kernel makes sides unequal."""
        if self.padding == "valid":
            return 0, 0
        if self.padding != "same":
            return self.padding
        total = [d * (k - 1) for d, k in zip(self.dilation, self.shape[2:])]
        return None if any(t % 2 for t in total) else (total[0] // 2, total[1] // 2)

    def export_config(self) -> dict[str, Any]:
        """What the files hold of the layer beside its tensors."""
        moves = {key: getattr(self, key) for key in ("stride", "padding", "dilation")}
        return self._config() | moves

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PackedConv2d:
        """A layer of the right shapes whose tensors have no values yet."""
        layer, moves = cls._unfilled(4, config)
        layer._move(**moves)
        return layer

    def extra_repr(self) -> str:
        """Shape, pattern and how many blocks stay."""
        moves = f"stride={self.stride}, padding={self.padding}, groups={self.groups}"
        return f"{_summary(self)}, {moves}"


@register_module("onexn.PackedLinear")
class PackedLinear(_Packed):
    """A linear layer that stores only the blocks it keeps; see :class:`PackedConv2d`.

    Args:
        weight: ``(o, i)``.
        bias: ``(o,)`` or None.
        mask: shaped as the weight, bool, made of whole blocks.
        n: filters per block.
        order: see :func:`lithe.onexn.packed.pack_weight`.

    Raises:
        TypeError, ValueError: as :class:`PackedConv2d`.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        mask: Tensor,
        n: int,
        order: Tensor | None = None,
    ) -> None:
        _check_layer(weight, bias, axes=2)
        self._hold(pack_weight(weight, mask, n, order), bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., i)`` to ``(..., o)``; ValueError for other features."""
        if x.ndim == 0:
            raise ValueError("input has shape (); it must be (..., features)")
        _check_input(self, x, x.shape[-1])
        if not x.numel():
            return x.new_empty(*x.shape[:-1], self.shape[0])
        rows = x.reshape(-1, x.shape[-1])
        # Many rows are the pixels of one image; a single one is an image of one pixel.
        y = _convolve(self, rows.t()[None, :, None], (1, 1), (0, 0), (1, 1))
        return y[0, :, 0].t().reshape(*x.shape[:-1], self.shape[0]).contiguous()

    def export_config(self) -> dict[str, Any]:
        """What the files hold of the layer beside its tensors."""
        return self._config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PackedLinear:
        """A layer of the right shapes whose tensors have no values yet."""
        layer, rest = cls._unfilled(2, config)
        if rest:
            raise ValueError(f"a linear layer has no {', '.join(sorted(rest))}")
        return layer

    def extra_repr(self) -> str:
        """Shape, pattern and how many blocks stay."""
        return _summary(self)


def keep_hooks(layer: nn.Module, stand_in: nn.Module) -> nn.Module:
    """Give a layer's forward hooks to the layer that takes its place, and return that one."""
    for name in _HOOKS:
        setattr(stand_in, name, copy.copy(getattr(layer, name)))
    return stand_in


def packed_layers(model: nn.Module) -> dict[str, PackedConv2d | PackedLinear]:
    """The packed layers of a model by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, _Packed)}


def _convolve(
    layer: _Packed,
    x: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    packed, moves = layer.packed, (list(stride), list(padding), list(dilation))
    index = (packed.columns, packed.pointers, packed.order)
    shape = list(packed.shape)
    return packed_conv2d(x, packed.values, *index, layer.bias, *moves, packed.groups, shape)


def _summary(layer: _Packed) -> str:
    return f"{tuple(layer.shape)}, n={layer.packed.n}, blocks={len(layer.values)}"


def _check_input(layer: _Packed, x: Tensor, channels: int) -> None:
    """Refused before unpacking: the shape in a file may claim more than any memory holds."""
    if channels != layer.shape[1] * layer.groups:
        wanted = layer.shape[1] * layer.groups
        raise ValueError(f"input of shape {tuple(x.shape)} for a layer of {wanted} channels")


def _pair(name: str, value: object, least: int) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(type(x) is int and x >= least for x in pair):
        raise ValueError(f"{name} is {value!r}; it must be one or two integers from {least}")
    return pair


def _check_layer(weight: Tensor, bias: Tensor | None, axes: int) -> None:
    if weight.ndim != axes:
        raise ValueError(f"weight has shape {tuple(weight.shape)}; it must have {axes} axes")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias has shape {tuple(bias.shape)} for {len(weight)} filters")
