"""How far a super-resolution network looks: its receptive field, from its graph.

A block of outputs is asked for, and the question is passed backwards through the graph: which
rows and columns must each operation read to answer it?
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from math import ceil, floor, inf
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from lithe.channels.operations import POINTWISE, Key
from lithe.channels.tracing import Shape, record, source_line, symbolic

__all__ = ["receptive_field"]

Span = tuple[float, float]  # first index read and one past the last, along one axis
DEEP = 4096  # the pixel asked about: far from every border


def receptive_field(model: nn.Module, channels: int = 3) -> int:
    """Input pixels that the block of outputs of one pixel reads to each side of it.

    A tile cut with this margin, or up to the image's own border where that is nearer, gives
    the same pixels as the whole image.

    Args:
        model: from ``(n, channels, h, w)`` to an image whose sides are the same whole multiple
            of ``h`` and ``w``; traceable by torch.fx. It is not changed.
        channels: of the input.

    Returns:
        The largest of the four sides, at least 0.

    Raises:
        UntraceableError: the pass cannot be traced.
        ValueError: the output is not a whole multiple of the input, or the pass holds an
            operation whose reach is not known or not bounded (a mean over the image, say), or
            that reduces the image on the way, so that tiles would have to be aligned.
    """
    model = copy.deepcopy(model).eval()
    graph, constants = symbolic(model)
    for name, value in constants.items():
        setattr(model, name, value)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    example = torch.zeros(1, channels, 48, 32, device=device)
    with torch.no_grad():
        outcomes = record(model, graph, (example,))
    scale = _scale(outcomes, tuple(example.shape))
    spans = [_read(model, graph, outcomes, scale, axis) for axis in (-2, -1)]
    return int(max(0, *(max(DEEP - first, end - DEEP - 1) for first, end in spans)))


def _scale(outcomes: dict[fx.Node, Any], given: tuple[int, ...]) -> int:
    made = next(value for node, value in outcomes.items() if node.op == "output")
    if not isinstance(made, Shape) or len(made) != 4:
        raise ValueError(f"the model makes {made}; it must make one batch of images")
    scale = made[-1] // given[-1]
    if scale < 1 or any(made[axis] != scale * given[axis] for axis in (-2, -1)):
        raise ValueError(f"the model makes {made} of {given}: not a whole multiple of both sides")
    return scale


class _Call:
    """An operation with its arguments and their shapes at hand, along one axis."""

    def __init__(
        self, node: fx.Node, module: nn.Module | None, outcomes: dict[fx.Node, Any], axis: int
    ) -> None:
        self.node, self.module, self.outcomes, self.axis = node, module, outcomes, axis

    @property
    def key(self) -> Key:
        return type(self.module) if self.module is not None else self.node.target

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument of the call, or the attribute of the module that stands for it."""
        if self.module is not None:
            return getattr(self.module, name, default)
        args, kwargs = self.node.args, self.node.kwargs
        return args[position] if len(args) > position else kwargs.get(name, default)

    def along(self, position: int, name: str, default: Any) -> Any:
        """The same, of a pair the entry of this axis."""
        value = self.get(position, name, default)
        return value[self.axis] if isinstance(value, tuple | list) else value

    def kernel(self) -> int:
        if self.module is not None:
            return self.along(0, "kernel_size", 1)
        return self.outcomes[self.get(1, "weight")][self.axis]

    def images(self) -> list[fx.Node]:
        """Inputs with an extent in space: not weights, nor one value a channel."""
        return [node for node in self.node.all_input_nodes if self._is_image(node)]

    def _is_image(self, node: fx.Node) -> bool:
        shape = self.outcomes.get(node)
        shape = shape[0] if isinstance(shape, tuple) and not isinstance(shape, Shape) else shape
        return node.op != "get_attr" and isinstance(shape, Shape) and len(shape) == 4

    def refuse(self, why: str) -> ValueError:
        name = getattr(self.key, "__name__", str(self.key))
        place = source_line(self.node)
        return ValueError(
            f"cannot tell how far `{name}` ({place}) reaches: {why}. If you know it, give the "
            "module an attribute `halo`, in input pixels to each side"
        )


def _read(
    model: nn.Module, graph: fx.Graph, outcomes: dict[fx.Node, Any], scale: int, axis: int
) -> Span:
    """What of the input is read for the outputs of pixel ``DEEP`` along ``axis``."""
    wanted: dict[fx.Node, Span] = {}
    modules = dict(model.named_modules())
    for node in reversed(graph.nodes):
        if node.op == "output":
            wanted[node.args[0]] = (DEEP * scale, (DEEP + 1) * scale)
        elif node in wanted and node.op not in ("placeholder", "get_attr"):
            module = modules[node.target] if node.op == "call_module" else None
            call = _Call(node, module, outcomes, axis)
            span = _rule(call)(call, wanted[node])
            for source in call.images():
                first, end = wanted.get(source, (inf, -inf))
                wanted[source] = (min(first, span[0]), max(end, span[1]))
    given = next(node for node in graph.nodes if node.op == "placeholder")
    return wanted.get(given, (DEEP, DEEP + 1))


def _rule(call: _Call) -> Callable[[_Call, Span], Span]:
    if call.key in _RULES:
        return _RULES[call.key]
    if call.key in POINTWISE or call.key in _IN_PLACE:
        return lambda call, span: span
    raise call.refuse("the operation is not among those that can be followed")


def _convolution(call: _Call, span: Span) -> Span:
    if getattr(call.module, "padding_mode", "zeros") == "circular":
        raise call.refuse("circular padding reads across the image")
    if call.along(3, "stride", 1) != 1:
        raise call.refuse("it reduces the image, and tiles would have to be aligned to it")
    reach = call.along(5, "dilation", 1) * (call.kernel() - 1)
    padding = call.get(4, "padding", 0)
    padding = reach // 2 if padding == "same" else 0 if padding == "valid" else padding
    before = padding[call.axis] if isinstance(padding, tuple | list) else padding
    return span[0] - before, span[1] - before + reach


def _transposed(call: _Call, span: Span) -> Span:
    stride, padding = call.along(3, "stride", 1), call.along(4, "padding", 0)
    reach = call.along(7, "dilation", 1) * (call.kernel() - 1)
    # output u takes input i at the taps 0 <= u + padding - stride i <= reach
    first = ceil((span[0] + padding - reach) / stride)
    return first, floor((span[1] - 1 + padding) / stride) + 1


def _pooling(call: _Call, span: Span) -> Span:
    kernel = call.along(1, "kernel_size", 1)
    if (call.along(2, "stride", None) or kernel) != 1 or call.along(4, "dilation", 1) not in (
        1,
        False,  # of avg_pool2d that position is ceil_mode
    ):
        raise call.refuse("it reduces the image, and tiles would have to be aligned to it")
    padding = call.along(3, "padding", 0)
    return span[0] - padding, span[1] - padding + kernel - 1


def _shuffled(call: _Call, span: Span) -> Span:
    factor = call.get(1, "upscale_factor")
    return span[0] // factor, (span[1] - 1) // factor + 1


def _resampled(call: _Call, span: Span) -> Span:
    mode = call.get(3, "mode", "nearest")
    margin = {"nearest": (0, 0), "bilinear": (0, 1), "bicubic": (1, 2)}.get(mode)
    if margin is None or call.get(4, "align_corners") or call.get(6, "antialias"):
        raise call.refuse(f"interpolation is {mode!r}, or aligned to the corners, or antialiased")
    factor = call.outcomes[call.node][call.axis] / call.outcomes[call.images()[0]][call.axis]
    if factor < 1:
        raise call.refuse("it reduces the image, and tiles would have to be aligned to it")
    if mode == "nearest":
        return floor(span[0] / factor), floor((span[1] - 1) / factor) + 1
    first, last = ((u + 0.5) / factor - 0.5 for u in (span[0], span[1] - 1))
    return floor(first) - margin[0], floor(last) + margin[1] + 1


def _padded(call: _Call, span: Span) -> Span:
    pads = call.get(1, "padding" if call.module is not None else "pad")
    if call.get(2, "mode", "constant") == "circular":
        raise call.refuse("circular padding reads across the image")
    place = 2 * (-call.axis - 1)  # pads are listed from the last axis to the first
    sides = (pads,) * (place + 1) if isinstance(pads, int) else pads
    before = sides[place] if len(sides) > place else 0
    return span[0] - before, span[1] - before


def _picked(call: _Call, span: Span) -> Span:
    index = call.node.args[1]
    spatial = index[2:] if isinstance(index, tuple) else ()
    if any(part != slice(None) for part in spatial) or Ellipsis in (
        index if isinstance(index, tuple) else ()
    ):
        raise call.refuse("it cuts rows or columns out of the image")
    return span


_PADS = (nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ConstantPad2d)
_RULES: dict[Key, Callable[[_Call, Span], Span]] = {
    **dict.fromkeys((nn.Conv2d, F.conv2d), _convolution),
    **dict.fromkeys((nn.ConvTranspose2d, F.conv_transpose2d), _transposed),
    **dict.fromkeys((nn.MaxPool2d, nn.AvgPool2d, F.max_pool2d, F.avg_pool2d), _pooling),
    **dict.fromkeys((nn.PixelShuffle, F.pixel_shuffle), _shuffled),
    **dict.fromkeys((nn.Upsample, F.interpolate), _resampled),
    **dict.fromkeys((*_PADS, F.pad), _padded),
    operator.getitem: _picked,
}
_IN_PLACE: frozenset[Key] = frozenset(
    (nn.PReLU, F.prelu, nn.BatchNorm2d, nn.ChannelShuffle, torch.cat, torch.concat, torch.chunk)
) | {"contiguous", "clone", "detach", "chunk"}
