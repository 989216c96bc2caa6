"""How atoms meet parameters: convolutions, linear layers, norms and learned slopes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from .atoms import varying
from .flow import Balance, Call, Flow, Layer, Read, Value
from .pointwise import mixed_along, opaque, unfollowed

__all__ = ["batch_norm", "convolution", "group_norm", "layer_norm", "linear", "slopes"]


def _parameters(flow: Flow, call: Call, position: int) -> tuple[Tensor | None, Tensor | None, bool]:
    """Weight and bias of a module or a functional call, and whether both are at hand."""
    if isinstance(call.target, nn.Module):
        module = call.target
        flow.covered.add(id(module))
        plain = all(n in module._parameters or not hasattr(module, n) for n in ("weight", "bias"))
        return getattr(module, "weight", None), getattr(module, "bias", None), plain
    weight, bias = call.get(position, "weight"), call.get(position + 1, "bias")
    if any(v is not None and getattr(v, "data", None) is None for v in (weight, bias)):
        return None, None, False
    flow.covered |= {value.name for value in (weight, bias) if value is not None}
    return weight.data if weight else None, bias.data if bias else None, True


def _name(call: Call, position: int) -> str:
    if isinstance(call.target, nn.Module):
        return str(call.node.target)
    weight = call.get(position, "weight")
    name = weight.name if isinstance(weight, Value) else call.node.name
    return name.removesuffix(".weight")


def _source(call: Call) -> Any:
    """The node of the tensor that a layer reads."""
    return call.node.args[0] if call.node.args else call.node.kwargs["input"]


def convolution(flow: Flow, call: Call, windows: int, transposed: bool = False) -> Any:
    """Convolutions of any rank: dense, grouped or depthwise, plain or transposed."""
    value = call.get(0, "input")
    weight, bias, plain = _parameters(flow, call, 1)
    if not plain or weight is None:
        return unfollowed(flow, call)
    default = call.get(6, "groups", 1)
    groups = call.target.groups if isinstance(call.target, nn.Module) else default
    outer, inner = (1, 0) if transposed else (0, 1)
    i = weight.shape[inner] * (1 if transposed else groups)
    o = weight.shape[outer] * (groups if transposed else 1)
    ins, outs = flow.port(weight, "in", i), flow.port(weight, "out", o)
    name, axis = _name(call, 1), len(value.shape) - windows - 1
    role = "depthwise" if groups == i and groups > 1 else "conv"
    layer = Layer(name, role, ins, outs, groups, transposed, weight, call.label)
    flow.layers.setdefault(name, layer)
    if not isinstance(call.target, nn.Module):
        flow.functional[call.node] = layer
    _enter(flow, call, value, ins, axis, mixes=role == "conv")
    if role == "depthwise":
        flow.atoms.tie(outs, ins.repeat_interleave(o // i))
    elif groups > 1:
        flow.balances.append(Balance(name, ins.reshape(groups, -1), outs.reshape(groups, -1)))
    flow.hold(bias, 0, outs)
    return flow.along(value, outs, axis, call.out)


def _enter(flow: Flow, call: Call, value: Value, ins: Tensor, axis: int, mixes: bool) -> None:
    """Tie a layer's input side to what it reads, or pin it to what it cannot follow."""
    ids = flow.channels(value, axis)
    if ids is None:
        flow.atoms.pin(ins, f"{call.label} reads {value.why}")
        return
    flow.atoms.tie(ins, ids)
    if mixes:
        flow.reads.append(Read(call.node, _source(call), axis, ids))


def linear(flow: Flow, call: Call) -> Any:
    """Linear layers mix the last axis; along any other axis channels pass by."""
    value = call.get(0, "input")
    weight, bias, plain = _parameters(flow, call, 1)
    if not plain or weight is None:
        return unfollowed(flow, call)
    last = len(value.shape) - 1
    if value.ids is not None and varying(value.ids) and last not in varying(value.ids):
        return Value(tuple(call.out), value.ids)
    o, i = weight.shape
    ins, outs = flow.port(weight, "in", i), flow.port(weight, "out", o)
    name = _name(call, 1)
    layer = Layer(name, "linear", ins, outs, weight=weight, where=call.label)
    flow.layers.setdefault(name, layer)
    _enter(flow, call, value, ins, last, mixes=True)
    flow.hold(weight, 0, outs)
    flow.hold(weight, 1, ins)
    flow.hold(bias, 0, outs)
    return flow.along(value, outs, last, call.out)


def batch_norm(flow: Flow, call: Call) -> Any:
    """Batch and instance norms: one slot per channel of axis 1."""
    value = call.get(0, "input")
    module = call.target if isinstance(call.target, nn.Module) else None
    weight, bias, plain = _parameters(flow, call, 3)
    if not plain or (module is None and not _has_buffers(call)):
        return unfollowed(flow, call)
    owner = module if module is not None else call.get(1, "running_mean").data
    name = str(call.node.target) if module else call.get(1, "running_mean").name
    slots = flow.port(owner, "slots", value.shape[1])
    held = (weight, bias, *_buffers(flow, call))
    return _per_channel(flow, call, value, Layer(name, "norm", slots, slots), held)


def _per_channel(
    flow: Flow, call: Call, value: Value, layer: Layer, held: Iterable[Tensor | None]
) -> Any:
    """A layer with one slot in each of ``held`` per channel of axis 1."""
    layer.where = call.label
    flow.layers.setdefault(layer.name, layer)
    for tensor in held:
        flow.hold(tensor, 0, layer.outs)
    _enter(flow, call, value, layer.ins, 1, mixes=False)
    if value.ids is None:
        return opaque(call.out, value.why)
    return flow.along(value, layer.outs, 1, call.out)


def _has_buffers(call: Call) -> bool:
    return all(
        isinstance(value, Value) and value.data is not None
        for value in (call.get(1, "running_mean"), call.get(2, "running_var"))
    )


def _buffers(flow: Flow, call: Call) -> list[Tensor | None]:
    if isinstance(call.target, nn.Module):
        return [getattr(call.target, f"running_{of}", None) for of in ("mean", "var")]
    found = [call.get(1, "running_mean"), call.get(2, "running_var")]
    flow.covered |= {value.name for value in found}
    return [value.data for value in found]


def slopes(flow: Flow, call: Call) -> Any:
    """PReLU with one slope, or one per channel of axis 1."""
    value = call.get(0, "input")
    weight, _, plain = _parameters(flow, call, 1)
    if not plain or weight is None:
        return unfollowed(flow, call)
    if weight.numel() == 1:
        return Value(tuple(call.out), value.ids, value.why)
    slots = flow.port(weight, "slots", len(weight))
    return _per_channel(flow, call, value, Layer(_name(call, 1), "scale", slots, slots), [weight])


def layer_norm(flow: Flow, call: Call) -> Any:
    """LayerNorm: a cut would change its statistics, so channels under it only move."""
    value = call.get(0, "input")
    weight, bias, plain = _parameters(flow, call, 2)
    if not plain:
        return unfollowed(flow, call)
    module = call.target if isinstance(call.target, nn.Module) else None
    shape = module.normalized_shape if module else call.get(1, "normalized_shape")
    if value.ids is None:
        _hold_still(flow, call, (weight, bias))
        return opaque(call.out, value.why)
    first = len(value.shape) - len(shape)
    result = mixed_along(flow, call, value, list(range(first, len(value.shape))))
    for axis in varying(result.ids):
        if axis >= first:
            slots = flow.channels(result, axis)
            flow.hold(weight, axis - first, slots)
            flow.hold(bias, axis - first, slots)
            layer = Layer(_name(call, 2), "norm", slots, slots, where=call.label)
            flow.layers.setdefault(layer.name, layer)
    return result


def _hold_still(flow: Flow, call: Call, held: Iterable[Tensor | None]) -> None:
    """Pin every axis of parameters that are applied to a tensor without channels."""
    for tensor in held:
        for axis, size in enumerate(() if tensor is None else tensor.shape):
            slots = flow.atoms.fresh(size)
            flow.atoms.pin(slots, f"{call.label} also applies it to a tensor without channels")
            flow.hold(tensor, axis, slots)


def group_norm(flow: Flow, call: Call) -> Any:
    """GroupNorm: one group acts like LayerNorm, one per channel like InstanceNorm."""
    value = call.get(0, "input")
    module = call.target if isinstance(call.target, nn.Module) else None
    weight, bias, plain = _parameters(flow, call, 2)
    if not plain or module is None:
        return unfollowed(flow, call)
    slots = flow.port(module, "slots", value.shape[1])
    groups = module.num_groups
    if groups != value.shape[1]:
        reason = f"{call.label} normalises over {groups} group(s) of its channels"
        flow.atoms.pin(slots, reason, movable=groups == 1)
    layer = Layer(str(call.node.target), "norm", slots, slots)
    return _per_channel(flow, call, value, layer, (weight, bias))
