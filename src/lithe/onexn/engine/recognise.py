"""Which nodes of a graph a program has a step for."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from lithe.onexn.engine import operations as op
from lithe.onexn.engine.dense_weight import dense_weight
from lithe.onexn.engine.folding import affine
from lithe.onexn.engine.graph import argument, leaf
from lithe.onexn.packed import PackedWeight
from lithe.onexn.packed_layers import PackedConv2d, PackedLinear
from lithe.onexn.program import Activation

__all__ = ["Recogniser"]

#: Filters per block of layers that keep every block: the tallest tile of the micro-kernel.
DENSE_N = 8
Made = op.Operation | None

_ACTIVATIONS: dict[Any, Activation] = {
    nn.ReLU: "relu", F.relu: "relu", torch.relu: "relu", "relu": "relu",
    nn.ReLU6: "relu6", F.relu6: "relu6",
    nn.Hardswish: "hardswish", F.hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid", F.hardsigmoid: "hardsigmoid",
}  # fmt: skip
_ADD = {operator.add, torch.add, "add", "__add__"}
_MULTIPLY = {operator.mul, torch.mul, torch.multiply, "mul", "multiply"}
_SUBTRACT = {operator.sub, torch.sub, "sub"}
_DIVIDE = {operator.truediv, torch.div, torch.true_divide, "div"}
_RESHAPES = {
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten, nn.Flatten,
    nn.Unflatten, "flatten", "reshape", "view", "squeeze", "unsqueeze", "unflatten", "contiguous",
    "view_as", "reshape_as", "clone", torch.clone,
}  # fmt: skip
_PARTS = {torch.chunk, torch.split, torch.tensor_split, "chunk", "split", "tensor_split"}


class Recogniser:
    """Reads operations off the nodes of one network, for inputs of one shape.

    Args:
        network: the folded network.
        values: what each node gives (:func:`lithe.onexn.engine.graph.outcomes`).
        batch: images at once.
        weights: packed weights of dense layers made so far, by layer; filled on the way.
    """

    def __init__(
        self,
        network: fx.GraphModule,
        values: dict[fx.Node, Any],
        batch: int,
        weights: dict[str, PackedWeight],
    ) -> None:
        self.network, self.values, self.batch, self.weights = network, values, batch, weights

    def fits(self, value: Any) -> bool:
        """Can a node's value lie in a buffer: floats, one run of them per image?"""
        if not isinstance(value, fx.Node) or value.op == "get_attr":
            return False
        x = self.values.get(value)
        is_float = isinstance(x, Tensor) and x.dtype is torch.float32
        return is_float and x.ndim > 0 and x.shape[0] == self.batch and x.numel() > 0

    def operation(self, node: fx.Node) -> Made:
        """The operation that a node stands for, or None."""
        if node.op in ("placeholder", "output", "get_attr") or not self.fits(node):
            return None
        layer = leaf(self.network, node)
        if node.op == "call_module" and layer is None:
            return None
        key = type(layer) if layer is not None else node.target
        if not node.args:
            return None
        if key in _ACTIVATIONS:
            return self._apply(node.args[0], _ACTIVATIONS[key])
        if key is operator.getitem:
            return self._slice(node)
        if key in (torch.cat, torch.concat):
            return self._concatenate(node)
        if not self.fits(node.args[0]):
            return self._arithmetic(node, key)
        if layer is not None and key in _LAYERS:
            return _LAYERS[key](self, node, layer)
        if key in _RESHAPES:
            return op.Reshape(node.args[0])
        if key in _CALLS:
            return _CALLS[key](self, node)
        return self._arithmetic(node, key)

    def shape(self, node: fx.Node) -> torch.Size:
        """Of a node's tensor, the batch first."""
        return self.values[node].shape

    # -- layers --------------------------------------------------------------------------------

    def _convolution(self, node: fx.Node, layer: nn.Conv2d | PackedConv2d) -> Made:
        x = node.args[0]
        moves = _moves(layer)
        if moves is None or len(self.shape(x)) != 4:
            return None
        if isinstance(layer, PackedConv2d):
            return op.Convolve(x, layer.packed, layer.bias, moves)
        if layer.groups > 1 and layer.groups == layer.in_channels == layer.out_channels:
            return op.Filter(x, layer.weight.detach(), _values(layer.bias), moves)
        weight = self._dense(node.target, layer.weight, layer.groups)
        return op.Convolve(x, weight, _values(layer.bias), moves)

    def _linear(self, node: fx.Node, layer: nn.Linear | PackedLinear) -> Made:
        x = node.args[0]
        if len(self.shape(x)) != 2:
            return None
        if isinstance(layer, PackedLinear):
            return op.Convolve(x, layer.packed, layer.bias)
        return op.Convolve(x, self._dense(node.target, layer.weight, 1), _values(layer.bias))

    def _dense(self, place: str, weight: Tensor, groups: int) -> PackedWeight:
        if place not in self.weights:
            if not bool(weight.isfinite().all()):
                raise ValueError(f"{place}: its weight holds NaN or infinity")
            self.weights[place] = dense_weight(weight.detach(), DENSE_N, groups)
        return self.weights[place]

    def _norm(self, node: fx.Node, layer: nn.BatchNorm2d) -> Made:
        if layer.running_mean is None:
            return None
        return self._filter(node.args[0], *affine(layer))

    def _filter(self, x: fx.Node, scale: Tensor, shift: Tensor) -> Made:
        if len(self.shape(x)) < 2:
            return None
        return op.Filter(x, scale.reshape(-1, 1, 1, 1).contiguous(), shift.contiguous())

    def _hardtanh(self, node: fx.Node, layer: nn.Hardtanh) -> Made:
        return self._clamp(node.args[0], layer.min_val, layer.max_val)

    def _max_pool(self, node: fx.Node, layer: nn.MaxPool2d) -> Made:
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
        return None if layer.return_indices else self._max(node, *sizes)

    def _mean_pool(self, node: fx.Node, layer: nn.AvgPool2d) -> Made:
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
        return self._mean(node, *sizes, layer.count_include_pad, layer.divisor_override)

    def _adaptive(self, node: fx.Node, layer: nn.Module | None = None) -> Made:
        """Adaptive mean pools whose windows are all alike."""
        return self._evenly(node, "mean")

    def _adaptive_max(self, node: fx.Node, layer: nn.Module | None = None) -> Made:
        indices = argument(node, 2, "return_indices", getattr(layer, "return_indices", False))
        return None if indices else self._evenly(node, "max")

    def _evenly(self, node: fx.Node, kind: str) -> Made:
        x = node.args[0]
        if len(self.shape(x)) != 4 or len(self.shape(node)) != 4:
            return None
        (h, w), (oh, ow) = self.shape(x)[2:], self.shape(node)[2:]
        if (h, w) == (oh, ow):
            return op.Reshape(x)
        if kind == "mean" and (oh, ow) == (1, 1):
            return op.Average(x)
        if h % oh or w % ow:
            return None
        window = (h // oh, w // ow)
        return op.Window(x, kind, window, window)

    # -- calls ---------------------------------------------------------------------------------

    def _call_clamp(self, node: fx.Node) -> Made:
        return self._clamp(
            node.args[0],
            argument(node, 1, "min", argument(node, 1, "min_val")),
            argument(node, 2, "max", argument(node, 2, "max_val")),
        )

    def _clamp(self, x: fx.Node, least: Any, most: Any) -> Made:
        if any(isinstance(bound, fx.Node) for bound in (least, most)) or least != 0:
            return None
        kind = {None: "relu", 6: "relu6"}.get(most)
        return None if kind is None else self._apply(x, kind)

    def _apply(self, x: Any, activation: Activation) -> Made:
        return op.Apply(x, activation) if self.fits(x) else None

    def _call_mean(self, node: fx.Node) -> Made:
        x = node.args[0]
        axes = argument(node, 1, "dim", argument(node, 1, "axis"))
        rank = len(self.shape(x))
        if rank != 4 or not isinstance(axes, tuple | list) or node.kwargs.get("dtype"):
            return None
        return op.Average(x) if {axis % rank for axis in axes} == {2, 3} else None

    def _call_max_pool(self, node: fx.Node) -> Made:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        defaults = (None, None, 0, 1, False)
        values = [argument(node, i + 1, n, d) for i, (n, d) in enumerate(zip(names, defaults))]
        return self._max(node, *values)

    def _max(
        self, node: fx.Node, kernel: Any, stride: Any, padding: Any, dilation: Any, _: Any
    ) -> Made:
        if _pair(dilation) != (1, 1):
            return None
        return self._window(node, "max", kernel, stride, padding, True)

    def _call_mean_pool(self, node: fx.Node) -> Made:
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
        defaults = (None, None, 0, False, True)
        values = [argument(node, i + 1, n, d) for i, (n, d) in enumerate(zip(names, defaults))]
        return self._mean(node, *values, argument(node, 6, "divisor_override"))

    def _mean(self, node: fx.Node, kernel: Any, stride: Any, padding: Any, *rest: Any) -> Made:
        _, counts, divisor = rest
        if divisor is not None:
            return None
        return self._window(node, "mean", kernel, stride, padding, bool(counts))

    def _window(
        self, node: fx.Node, kind: str, kernel: Any, stride: Any, padding: Any, counts: bool
    ) -> Made:
        x = node.args[0]
        if len(self.shape(x)) != 4:
            return None
        kernel = _pair(kernel)
        stride = kernel if stride in (None, [], ()) else _pair(stride)
        padding = _pair(padding)
        sizes = zip(self.shape(x)[2:], kernel, stride, padding)
        floor = tuple((size + 2 * p - k) // s + 1 for size, k, s, p in sizes)
        if kind == "mean" and floor != tuple(self.shape(node)[2:]):
            return None  # a last window that hangs over the border divides by what is inside
        return op.Window(x, kind, kernel, stride, padding, counts)

    def _concatenate(self, node: fx.Node) -> Made:
        parts, axis = node.args[0], argument(node, 1, "dim", 0)
        rank = len(self.shape(node))
        alike = isinstance(parts, tuple | list) and all(self.fits(part) for part in parts)
        if not alike or rank < 2 or axis % rank != 1:
            return None
        return op.Concatenate(tuple(parts))

    def _slice(self, node: fx.Node) -> Made:
        source, index = node.args[0], node.args[1]
        if isinstance(self.values.get(source), tuple | list):
            return self._part(source, index)
        if not self.fits(source) or not isinstance(index, tuple):
            return None
        rank = len(self.shape(source))
        if len(self.shape(node)) != rank or not all(isinstance(i, slice) for i in index):
            return None
        channels = index[1] if len(index) > 1 else slice(None)
        others = [i for place, i in enumerate(index) if place != 1]
        bounds = (channels.start, channels.stop, channels.step)
        if any(i != slice(None) for i in others) or any(isinstance(b, fx.Node) for b in bounds):
            return None
        start, _, step = channels.indices(self.shape(source)[1])
        return op.Slice(source, start) if step == 1 else None

    def _part(self, source: fx.Node, index: Any) -> Made:
        """One item of ``chunk`` or ``split`` along the channels."""
        if source.target not in _PARTS or not isinstance(index, int):
            return None
        whole = source.args[0]
        sizes = [part.shape for part in self.values[source]]
        axis = argument(source, 2, "dim", 0)
        if not self.fits(whole) or len(sizes[0]) < 2 or axis % len(sizes[0]) != 1:
            return None
        return op.Slice(whole, sum(size[1] for size in sizes[: index % len(sizes)]))

    def _narrow(self, node: fx.Node) -> Made:
        x = node.args[0]
        axis, start = argument(node, 1, "dim"), argument(node, 2, "start")
        rank = len(self.shape(x))
        known = isinstance(start, int) and isinstance(axis, int)
        if rank < 2 or not known or axis % rank != 1:
            return None
        return op.Slice(x, start % self.shape(x)[1])

    # -- arithmetic ----------------------------------------------------------------------------

    def _arithmetic(self, node: fx.Node, key: Any) -> Made:
        plain = len(node.args) == 2 and not node.kwargs  # no alpha, no rounding mode
        if not plain or node.op == "call_module":
            return None
        a, b = node.args
        if self.fits(a) and self.fits(b):
            return self._join(node, key, a, b)
        for x, other, swapped in ((a, b, False), (b, a, True)):
            constant = self._per_channel(other, node) if self.fits(x) else None
            if constant is not None and self.shape(x) == self.shape(node):
                return self._scale(key, x, constant, swapped)
        return None

    def _join(self, node: fx.Node, key: Any, a: fx.Node, b: fx.Node) -> Made:
        kind = "add" if key in _ADD else "multiply" if key in _MULTIPLY else None
        if kind is None:
            return None
        if self.shape(a) != self.shape(node):
            a, b = b, a
        one, other = self.shape(a), self.shape(b)
        spread = len(one) == 4 and other == (*one[:2], 1, 1)
        return op.Join(kind, a, b) if one == self.shape(node) and (spread or one == other) else None

    def _per_channel(self, value: Any, node: fx.Node) -> Tensor | None:
        """A constant as one float per channel, ``(c,)``; None if it is not one."""
        shape = self.shape(node)
        if len(shape) < 2:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return torch.full((shape[1],), float(value), dtype=torch.float32)
        if not isinstance(value, fx.Node) or value.op != "get_attr":
            return None
        found = operator.attrgetter(value.target)(self.network)
        if found.dtype is not torch.float32 or found.ndim > len(shape):
            return None
        padded = found.detach().reshape(*[1] * (len(shape) - found.ndim), *found.shape)
        per_channel = padded.shape[0] == 1 and all(size == 1 for size in padded.shape[2:])
        return padded.reshape(-1).expand(shape[1]).clone() if per_channel else None

    def _scale(self, key: Any, x: fx.Node, constant: Tensor, swapped: bool) -> Made:
        one, zero = torch.ones_like(constant), torch.zeros_like(constant)
        if key in _ADD:
            return self._filter(x, one, constant)
        if key in _MULTIPLY:
            return self._filter(x, constant, zero)
        if key in _SUBTRACT:
            return self._filter(x, *((-one, constant) if swapped else (one, -constant)))
        inverse = 1 / constant  # of a tiny number it is out of range; torch divides then
        possible = key in _DIVIDE and not swapped and bool(inverse.isfinite().all())
        return self._filter(x, inverse, zero) if possible else None


_LAYERS: dict[type, Callable[..., Made]] = {
    nn.Conv2d: Recogniser._convolution,
    PackedConv2d: Recogniser._convolution,
    nn.Linear: Recogniser._linear,
    PackedLinear: Recogniser._linear,
    nn.BatchNorm2d: Recogniser._norm,
    nn.BatchNorm1d: Recogniser._norm,
    nn.Hardtanh: Recogniser._hardtanh,
    nn.MaxPool2d: Recogniser._max_pool,
    nn.AvgPool2d: Recogniser._mean_pool,
    nn.AdaptiveAvgPool2d: Recogniser._adaptive,
    nn.AdaptiveMaxPool2d: Recogniser._adaptive_max,
    nn.Flatten: lambda _, node, __: op.Reshape(node.args[0]),
    nn.Unflatten: lambda _, node, __: op.Reshape(node.args[0]),
}
_CALLS: dict[Any, Callable[[Recogniser, fx.Node], Made]] = {
    F.hardtanh: Recogniser._call_clamp,
    torch.clamp: Recogniser._call_clamp,
    "clamp": Recogniser._call_clamp,
    torch.mean: Recogniser._call_mean,
    "mean": Recogniser._call_mean,
    F.max_pool2d: Recogniser._call_max_pool,
    torch.max_pool2d: Recogniser._call_max_pool,
    F.avg_pool2d: Recogniser._call_mean_pool,
    F.adaptive_avg_pool2d: Recogniser._adaptive,
    F.adaptive_max_pool2d: Recogniser._adaptive_max,
    torch.narrow: Recogniser._narrow,
    "narrow": Recogniser._narrow,
}


def _values(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.detach()


def _moves(layer: nn.Conv2d | PackedConv2d) -> op.Moves | None:
    if getattr(layer, "padding_mode", "zeros") != "zeros":
        return None
    kernel = layer.shape[2:] if isinstance(layer, PackedConv2d) else layer.kernel_size
    padding = layer.padding
    if padding == "valid":
        padding = (0, 0)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(layer.dilation, kernel)]
        if any(side % 2 for side in total):
            return None  # torch pads one side more than the other
        padding = (total[0] // 2, total[1] // 2)
    return op.Moves(tuple(layer.stride), tuple(padding), tuple(layer.dilation))


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, tuple | list):
        return value, value
    return (value[0], value[-1])
