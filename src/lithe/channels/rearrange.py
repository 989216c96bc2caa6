"""How atoms pass through operations that only move, copy or leave out elements.

Such an operation is run on the atoms themselves, so that views, splits, concatenations,
channel shuffles and pixel shuffles need no rule each.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .atoms import compress, varying
from .flow import Call, Flow, Value, execute, packed, tensors
from .pointwise import opaque, spatial, unfollowed

__all__ = ["PAD_MODULES", "filled", "padding", "rearrange"]

_JOINS = {"cat", "concat", "concatenate", "stack"}
PAD_MODULES = tuple(
    getattr(nn, f"{stem}{d}d") for d in (1, 2, 3) for stem in ("ZeroPad", "ConstantPad")
)


def filled(arguments: Any, replace: dict[int, Any]) -> Any:
    """Copy a nest of arguments with each value ``v`` replaced by ``replace[id(v)]``."""
    if isinstance(arguments, Value):
        return replace[id(arguments)]
    if isinstance(arguments, dict):
        return {key: filled(item, replace) for key, item in arguments.items()}
    if isinstance(arguments, slice):
        parts = (arguments.start, arguments.stop, arguments.step)
        return slice(*(filled(part, replace) for part in parts))
    if isinstance(arguments, tuple) and type(arguments) is not tuple:
        return arguments  # a torch.Size
    if isinstance(arguments, (tuple, list)):
        return type(arguments)(filled(item, replace) for item in arguments)
    return arguments


def is_index(value: Value) -> bool:
    """Whether a value is an index tensor held by the model, to be used as it is."""
    return value.data is not None and not value.data.is_floating_point()


def rearrange(flow: Flow, call: Call) -> Any:
    """Run the operation on the atoms of its inputs."""
    inputs = [value for value in tensors((call.args, call.kwargs)) if not is_index(value)]
    carrying = [value for value in inputs if value.ids is not None]
    if not carrying:
        return opaque(call.out, inputs[0].why if inputs else "a constant")
    ids = {id(v): v.data.cpu() for v in tensors((call.args, call.kwargs)) if is_index(v)}
    ids |= {id(value): _atoms_of(flow, value, call, carrying) for value in inputs}
    args, kwargs = filled(call.args, ids), filled(call.kwargs, ids)
    try:
        result = execute(call.target, args, kwargs)
    except (RuntimeError, TypeError, IndexError):
        return unfollowed(flow, call)
    flow.rearrangements[call.node] = call
    return packed(result)


def _atoms_of(flow: Flow, value: Value, call: Call, carrying: list[Value]) -> Tensor:
    """Full atoms of an input; one without any gets pinned ones where the others vary."""
    if value.ids is not None:
        return value.full
    if call.operation not in _JOINS or len(value.shape) != len(carrying[0].shape):
        return torch.zeros(value.shape, dtype=torch.int64)  # only its shape is used
    axes = {axis for other in carrying for axis in varying(other.ids)}
    axes |= {call.get(1, "dim", 0) % len(value.shape)}
    sizes = [size if axis in axes else 1 for axis, size in enumerate(value.shape)]
    fresh = flow.atoms.fresh(*sizes)
    flow.atoms.pin(fresh, f"{call.label} joins it with {value.why}")
    return fresh.expand(value.shape)


def padding(flow: Flow, call: Call) -> Any:
    """``pad``: on space every channel by itself; on channels the new ones are constants."""
    value = call.get(0, "input")
    if value.ids is None:
        return opaque(call.out, value.why)
    pads = list(getattr(call.target, "padding", None) or call.get(1, "pad"))
    if call.get(2, "mode", "constant") != "constant":
        return spatial(flow, call, windows=len(pads) // 2)
    ids = value.ids
    for back, (left, right) in enumerate(zip(pads[::2], pads[1::2])):
        ids = _padded(flow, ids, ids.ndim - 1 - back, left, right)
    flow.rearrangements[call.node] = call
    return Value(tuple(call.out), compress(ids))


def _padded(flow: Flow, ids: Tensor, axis: int, left: int, right: int) -> Tensor:
    if ids.shape[axis] == 1:
        return ids  # its channels do not lie along this axis
    ids = ids.narrow(axis, max(-left, 0), ids.shape[axis] - max(-left, 0) - max(-right, 0))
    sides = []
    for count in (max(left, 0), max(right, 0)):
        shape = [count if a == axis else size for a, size in enumerate(ids.shape)]
        sides.append(flow.atoms.fresh(*shape))
    return torch.cat([sides[0], ids, sides[1]], axis)
