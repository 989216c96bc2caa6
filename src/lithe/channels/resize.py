"""New sizes for views, expansions and pads whose sizes were written for the uncut network."""

from __future__ import annotations

from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, fx

from .flow import Call, Flow, Value
from .plan import Plan
from .rearrange import PAD_MODULES

__all__ = ["Builder", "resized"]

_SIZED = {"view", "reshape", "expand"}


class Builder(Protocol):
    """What is needed of the graph under construction."""

    graph: fx.Graph
    flow: Flow
    plan: Plan
    twin: dict[fx.Node, fx.Node]
    actual: dict[fx.Node, Any]

    def shape(self, value: Value) -> tuple[int, ...] | None:
        """Shape of a value after the cut."""

    def cut_positions(self, value: Value, axis: int) -> Tensor:
        """Positions kept along an axis of a value."""

    def emit(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Add an operation and run it."""


def resized(builder: Builder, node: fx.Node, call: Call, twin: fx.Node) -> fx.Node | None:
    """The same operation with the sizes that the kept channels need.

    Args:
        builder: the graph under construction.
        node: the old node.
        call: its operation.
        twin: its copy in the new graph, arguments as they were.

    Returns:
        A node of the new graph, not yet run, or None for an operation without sizes.
    """
    value = builder.flow.values[node]
    if not isinstance(value, Value):
        return None
    if call.operation in _SIZED:
        sizes = _sizes(builder, call, twin, builder.shape(value))
        return builder.graph.create_node("call_method", call.operation, (twin.args[0], *sizes))
    if call.operation in ("unflatten", "Unflatten"):
        source = twin.args[0]
        batch = builder.emit("size", source, 0)
        sizes = (batch, *builder.shape(value)[1:])
        return builder.graph.create_node("call_method", "reshape", (source, *sizes))
    if call.operation == "pad" or isinstance(call.target, PAD_MODULES):
        return _repadded(builder, call, twin, value)
    return None


def _sizes(
    builder: Builder, call: Call, twin: fx.Node, wanted: tuple[int, ...]
) -> list[int | fx.Node]:
    """Sizes as they were written where they still hold, numbers where they do not."""
    written: Any = twin.args[1:] or (twin.kwargs.get("shape", twin.kwargs.get("size")),)
    if len(written) == 1 and not isinstance(written[0], int):
        written = written[0]
    if isinstance(written, fx.Node):
        count = len(wanted) if isinstance(builder.actual[written], tuple) else 1
        if count > 1:
            written = [builder.emit(_item, written, k) for k in range(count)]
        else:
            written = [written]
    now = [builder.actual[size] if isinstance(size, fx.Node) else size for size in written]
    return [old if n in (want, -1) else want for old, n, want in zip(written, now, wanted)]


def _item(sizes: tuple[int, ...], k: int) -> int:
    return sizes[k]


def _repadded(builder: Builder, call: Call, twin: fx.Node, value: Value) -> fx.Node | None:
    source = call.get(0, "input")
    pads = list(getattr(call.target, "padding", None) or call.get(1, "pad"))
    axis, _ = builder.plan.graph.axis_of(value)
    if axis is None or axis < 0:
        return None
    at = 2 * (len(value.shape) - 1 - axis)
    if at + 1 >= len(pads):
        return None
    left, right = pads[at], pads[at + 1]
    inside, outside = builder.cut_positions(source, axis), builder.cut_positions(value, axis)
    end = left + source.shape[axis]
    pads[at] = _side(left, (outside < left).sum(), (inside < -left).sum())
    cropped = (inside >= source.shape[axis] + right).sum()
    pads[at + 1] = _side(right, (outside >= end).sum(), cropped)
    fill = getattr(call.target, "value", None) if isinstance(call.target, PAD_MODULES) else None
    fill = call.get(3, "value", fill)
    tensor = twin.args[0] if twin.args else twin.kwargs["input"]
    arguments = (tensor, tuple(int(p) for p in pads), "constant", fill)
    return builder.graph.create_node("call_function", F.pad, arguments)


def _side(before: int, added: Tensor, cropped: Tensor) -> int:
    return int(added) if before >= 0 else -int(cropped)
