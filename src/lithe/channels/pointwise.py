"""How atoms pass through operations that leave every channel in its place."""

from __future__ import annotations

from typing import Any

import torch

from .atoms import varying
from .flow import Call, Flow, Value, carriers, tensors
from .tracing import Shape

__all__ = [
    "along_axis",
    "gated",
    "maximum",
    "mixed_along",
    "opaque",
    "pointwise",
    "reduction",
    "spatial",
    "unfollowed",
]


def opaque(out: Any, why: str) -> Any:
    """Values without atoms for every tensor in an outcome."""
    if isinstance(out, Shape):
        return Value(tuple(out), why=why)
    if isinstance(out, tuple) and not isinstance(out, torch.Size):
        return tuple(opaque(item, why) for item in out)
    return out


def pointwise(flow: Flow, call: Call) -> Any:
    """Element-wise operations: operands that meet on an axis are tied along it."""
    operands = tensors((call.args, call.kwargs))
    carrying = [value for value in operands if value.ids is not None]
    if not carrying or not isinstance(call.out, Shape):
        return opaque(call.out, operands[0].why if operands else "a constant")
    rank = len(call.out)
    ids = {id(v): v.ids.reshape((1,) * (rank - v.ids.ndim) + v.ids.shape) for v in carrying}
    axes = {axis for v in carrying for axis in varying(ids[id(v)])}
    for value in operands:
        if value.ids is None and _reaches(value, axes, rank):
            _pin_all(flow, call, carrying, value)
    meeting = [v for v in carrying if v.ids.numel() > 1 or _reaches(v, axes, rank) or not axes]
    joined = torch.broadcast_tensors(*(ids[id(v)] for v in meeting))
    for other in joined[1:]:
        flow.atoms.tie(joined[0], other)
    return Value(tuple(call.out), joined[0])


def _reaches(value: Value, axes: set[int], rank: int) -> bool:
    """Whether ``value`` is wider than 1 on any of ``axes`` of a result of that rank."""
    offset = rank - len(value.shape)
    return any(axis >= offset and value.shape[axis - offset] > 1 for axis in axes)


def _pin_all(flow: Flow, call: Call, carrying: list[Value], other: Value) -> None:
    for value in carrying:
        flow.atoms.pin(value.ids, f"{call.label} combines it with {other.why}")


def spatial(flow: Flow, call: Call, windows: int) -> Any:
    """Pooling, resampling and the like: channels apart, the last ``windows`` axes mixed."""
    value = call.get(0, "input")
    if value.ids is None:
        return opaque(call.out, value.why)
    if not isinstance(call.out, Shape):
        return unfollowed(flow, call)
    first = len(value.shape) - windows if windows else 2
    axes = [axis for axis in varying(value.ids) if axis >= first]
    return Value(tuple(call.out), flow.ties(value.ids, axes))


def unfollowed(flow: Flow, call: Call) -> Any:
    """An operation that no rule covers: its inputs keep their width, and it is named."""
    reason = f"{call.label} is not an operation whose channels can be followed"
    for value in carriers((call.args, call.kwargs)):
        flow.atoms.pin(value.ids, reason, error=call.unknown())
    return opaque(call.out, f"the result of {call.label}")


def reduction(flow: Flow, call: Call) -> Any:
    """Means, sums and the like over axes: over space they are free, over channels they pin."""
    value = call.get(0, "input")
    if value.ids is None:
        return opaque(call.out, value.why)
    dims = _reduced(call, len(value.shape))
    inside = [axis for axis in varying(value.ids) if axis in dims]
    outside = [axis for axis in varying(value.ids) if axis not in dims]
    if inside and not outside:
        flow.atoms.pin(value.ids, f"{call.label} is taken over all its channels", movable=True)
        return opaque(call.out, f"the result of {call.label} over all channels")
    ids = flow.ties(value.ids, inside)
    if len(call.out) < ids.ndim:
        ids = ids.reshape([size for axis, size in enumerate(ids.shape) if axis not in dims])
    return Value(tuple(call.out), ids)


def _reduced(call: Call, rank: int) -> list[int]:
    """Axes that a reduction is taken over; ``var(x, False)`` means all of them."""
    dims = call.get(1, "dim", call.kwargs.get("axis"))
    if dims is None or isinstance(dims, bool) or dims == ():
        return list(range(rank))
    return [dim % rank for dim in (dims if isinstance(dims, (tuple, list)) else [dims])]


def maximum(flow: Flow, call: Call) -> Any:
    """``max`` and ``min``: of two tensors, or over everything, or along an axis with indices."""
    if len(tensors((call.args, call.kwargs))) > 1:
        return pointwise(flow, call)
    value = call.get(0, "input")
    if value.ids is None or isinstance(call.out, Shape):
        return reduction(flow, call)
    dim = call.get(1, "dim") % len(value.shape)
    if dim in varying(value.ids):
        return unfollowed(flow, call)
    ids = value.ids if len(call.out[0]) == value.ids.ndim else value.ids.squeeze(dim)
    return tuple(Value(tuple(shape), ids) for shape in call.out)


def along_axis(flow: Flow, call: Call) -> Any:
    """Softmax and normalisation along one axis."""
    value = call.get(0, "input")
    if value.ids is None:
        return opaque(call.out, value.why)
    default = {"normalize": 1, "Softmax2d": 1}.get(call.operation)
    position = 2 if call.operation == "normalize" else 1
    dim = getattr(call.target, "dim", None) or call.get(position, "dim", default)
    if not isinstance(dim, int):
        return unfollowed(flow, call)
    return mixed_along(flow, call, value, [dim % len(value.shape)])


def mixed_along(flow: Flow, call: Call, value: Value, dims: list[int]) -> Value:
    """Statistics over ``dims`` are applied back to each element: pin or tie along them."""
    inside = [axis for axis in varying(value.ids) if axis in dims]
    if inside and len(inside) == len(varying(value.ids)):
        reason = f"{call.label} normalises over its channels, dropped ones included"
        flow.atoms.pin(value.ids, reason, movable=True)
        return Value(tuple(call.out), value.ids)
    return Value(tuple(call.out), flow.ties(value.ids, inside))


def gated(flow: Flow, call: Call) -> Any:
    """Gated linear unit: the halves of an axis are tied to each other."""
    value = call.get(0, "input")
    if value.ids is None:
        return opaque(call.out, value.why)
    dim = getattr(call.target, "dim", None)
    dim = (call.get(1, "dim", -1) if dim is None else dim) % len(value.shape)
    if dim not in varying(value.ids):
        return Value(tuple(call.out), value.ids)
    value_half, gate_half = value.ids.chunk(2, dim)
    flow.atoms.tie(value_half, gate_half)
    return Value(tuple(call.out), value_half)
