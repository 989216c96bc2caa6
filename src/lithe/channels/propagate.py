"""Push atoms through a traced graph, operation by operation."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from . import layers, pointwise, rearrange
from .flow import Call, Flow, Value, carriers, tensors
from .operations import AXIS, MAXIMA, POINTWISE, REARRANGE, REDUCE, SPATIAL, Key
from .tracing import Outcome, is_stochastic_depth, source_line

__all__ = ["propagate"]

Rule = Callable[[Flow, Call], Any]
_QUERIES = {"size", "dim", "ndimension", "numel", "nelement", "is_floating_point", "is_contiguous"}
_FIELDS = {"shape", "ndim", "device", "dtype", "is_cuda", "requires_grad", "layout"}


def _rules() -> dict[Key, Rule]:
    rules: dict[Key, Rule] = {
        **dict.fromkeys(POINTWISE, pointwise.pointwise),
        **{key: partial(pointwise.spatial, windows=d) for key, d in SPATIAL.items()},
        **dict.fromkeys(REARRANGE, rearrange.rearrange),
        **dict.fromkeys(REDUCE, pointwise.reduction),
        **dict.fromkeys(MAXIMA, pointwise.maximum),
        **dict.fromkeys(AXIS, pointwise.along_axis),
        **dict.fromkeys((nn.GLU, F.glu), pointwise.gated),
        **dict.fromkeys((F.pad, *rearrange.PAD_MODULES), rearrange.padding),
        **dict.fromkeys((nn.Linear, F.linear), layers.linear),
        **dict.fromkeys((nn.PReLU, F.prelu, torch.prelu), layers.slopes),
        **dict.fromkeys((nn.LayerNorm, F.layer_norm), layers.layer_norm),
        **dict.fromkeys((nn.GroupNorm, F.group_norm), layers.group_norm),
        F.batch_norm: layers.batch_norm,
    }
    for d in (1, 2, 3):
        plain = partial(layers.convolution, windows=d)
        across = partial(layers.convolution, windows=d, transposed=True)
        for stem, rule in (("Conv", plain), ("ConvTranspose", across)):
            rules[getattr(nn, f"{stem}{d}d")] = rule
        for stem, rule in (("conv", plain), ("conv_transpose", across)):
            rules[getattr(F, f"{stem}{d}d")] = rules[getattr(torch, f"{stem}{d}d")] = rule
        for stem in ("BatchNorm", "InstanceNorm"):
            rules[getattr(nn, f"{stem}{d}d")] = layers.batch_norm
    return rules


_RULES = _rules()
_LAYERS = {F.linear, F.prelu, F.layer_norm, F.group_norm, F.batch_norm, torch.prelu} | {
    getattr(space, f"{stem}{d}d")
    for space in (torch, F)
    for stem in ("conv", "conv_transpose")
    for d in (1, 2, 3)
}
_LARGEST_ATTRIBUTE = 1 << 20  # a parameter with more elements is not followed by element


def propagate(
    model: nn.Module,
    graph: fx.Graph,
    outcomes: dict[fx.Node, Outcome],
    constants: dict[str, Tensor],
) -> Flow:
    """Give every value of ``graph`` its atoms.

    Args:
        model: the traced module.
        graph: its graph.
        outcomes: what each node gave in a recorded run.
        constants: tensors found in the code, by the name the graph gives them.

    Returns:
        The flow: values, layers, ties and pins; ties are not yet solved into classes.
    """
    flow = Flow()
    for node in graph.nodes:
        flow.values[node] = _step(flow, model, node, outcomes.get(node), constants)
    return flow


def _step(
    flow: Flow, model: nn.Module, node: fx.Node, out: Outcome, constants: dict[str, Tensor]
) -> Any:
    if node.op == "placeholder":
        return pointwise.opaque(out, f"the network's input `{node.name}`")
    if node.op == "get_attr":
        return _attribute(flow, model, node, constants)
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: _Held(flow.values[n]))
    args, kwargs = _released(args), _released(kwargs)
    if node.op == "output":
        return _leave(flow, node, args[0])
    target = model.get_submodule(node.target) if node.op == "call_module" else node.target
    return _dispatch(flow, Call(node, target, args, kwargs, out))


class _Held:
    """Keeps `map_arg` from looking inside a value."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _released(arguments: Any) -> Any:
    if isinstance(arguments, _Held):
        return arguments.value
    if isinstance(arguments, dict):
        return {key: _released(item) for key, item in arguments.items()}
    if isinstance(arguments, slice):
        return slice(*(_released(p) for p in (arguments.start, arguments.stop, arguments.step)))
    if isinstance(arguments, (tuple, list)):
        return type(arguments)(_released(item) for item in arguments)
    return arguments


def _dispatch(flow: Flow, call: Call) -> Any:
    if not tensors((call.args, call.kwargs)):
        return pointwise.opaque(call.out, f"made by {call.label}")
    if not tensors(pointwise.opaque(call.out, "")) and _is_query(call):
        return call.out
    key = call.target
    if isinstance(call.target, nn.Module):
        key = nn.Dropout if is_stochastic_depth(call.target) else type(call.target)
    return _RULES.get(key, pointwise.unfollowed)(flow, call)


def _is_query(call: Call) -> bool:
    if call.target is builtins.getattr:
        return call.args[1] in _FIELDS
    return call.target in _QUERIES or not carriers((call.args, call.kwargs))


def _attribute(flow: Flow, model: nn.Module, node: fx.Node, constants: dict[str, Tensor]) -> Any:
    name = str(node.target)
    data: Any = constants.get(name)
    if data is None:
        data = model
        for part in name.split("."):
            data = getattr(data, part)
    if not isinstance(data, Tensor):
        return data
    value = Value(tuple(data.shape), None, f"`{name}` ({source_line(node)})", name, data)
    if all(user.target in _LAYERS for user in node.users):
        return value
    flow.direct.append(value)
    if not data.is_floating_point() or not 1 < data.numel() <= _LARGEST_ATTRIBUTE:
        return value
    ids = flow.port(data, "elements", data.numel()).reshape(data.shape)
    return flow.attributes.setdefault(name, replace(value, ids=ids))


def _leave(flow: Flow, node: fx.Node, result: Any) -> Any:
    for value in carriers(result):
        flow.atoms.pin(value.ids, "it is the network's output")
    return result
