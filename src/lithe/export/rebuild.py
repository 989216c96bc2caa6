"""Rebuild a model from a plan and tensors. Neither is trusted.

``torch.fx`` turns a graph into Python source and runs it, so every name that reaches the source
is checked to be a plain name first, and every operation is looked up in a table.
"""

from __future__ import annotations

import keyword
import re
from typing import Any

import torch
from torch import Tensor, fx, nn

from lithe.export.arguments import decode
from lithe.export.errors import ExportError
from lithe.export.leaves import rebuild
from lithe.export.operations import ATTRIBUTES, METHODS, function
from lithe.export.plan import Plan, Step

__all__ = ["build", "refuse_unfit"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_RESERVED = frozenset(dir(fx.GraphModule(nn.Module(), fx.Graph())))


def build(plan: Plan, tensors: dict[str, Tensor]) -> fx.GraphModule:
    """Build the model of a plan, in eval mode.

    Args:
        plan: the graph and its leaves.
        tensors: each stored tensor by name; used as they are, not copied.

    Raises:
        ExportError: the plan contradicts itself or the tensors, or asks for something unknown.
    """
    _refuse_disorder(plan)
    root = _hierarchy(plan)
    expected = {name: value for name, value in _expected(root, plan) if name not in plan.tied}
    refuse_unfit(expected, tensors, loose=plan.tensors)
    _fill(root, plan, tensors)
    graph = _graph(plan, places={name for name, _ in _expected(root, plan)})
    try:
        model = fx.GraphModule(root, graph)
    except Exception as error:  # code generation on a graph from a file
        raise ExportError(f"the graph of the plan does not hold together: {error}") from error
    return model.eval()


def refuse_unfit(
    expected: dict[str, Tensor | None], tensors: dict[str, Tensor], loose: dict[str, str]
) -> None:
    """Check names, shapes and values of stored tensors.

    Args:
        expected: what the leaves have under each name; ``None`` where any shape will do.
        tensors: what is stored.
        loose: kind of each tensor outside leaves. A buffer among them may hold infinities (an
            attention mask does); nothing else may, and nothing may hold NaN.

    Raises:
        ExportError: the first thing that is wrong, by name.
    """
    for names, what in (
        (expected.keys() - tensors.keys(), "missing from the weights"),
        (tensors.keys() - expected.keys(), "in the weights but not in the plan"),
    ):
        if names:
            raise ExportError(f"tensors {what}: {', '.join(sorted(names)[:5])}")
    for name, value in tensors.items():
        wanted = expected[name]
        if wanted is not None and wanted.shape != value.shape:
            raise ExportError(
                f"tensor {name!r} has shape {tuple(value.shape)}, the plan asks for "
                f"{tuple(wanted.shape)}"
            )
        if wanted is not None and wanted.is_floating_point() != value.is_floating_point():
            raise ExportError(f"tensor {name!r} is {value.dtype}, the plan asks for {wanted.dtype}")
        _refuse_nonfinite(name, value, infinities=loose.get(name) == "buffer")


def _refuse_nonfinite(name: str, value: Tensor, infinities: bool) -> None:
    if not value.is_floating_point():
        return
    bad = value.isnan() if infinities else ~value.isfinite()
    if bad.any():
        raise ExportError(f"tensor {name!r} holds NaN or infinity in {int(bad.sum())} places")


def _hierarchy(plan: Plan) -> nn.Module:
    root = nn.Module()
    for place, leaf in plan.modules.items():
        config = {key: decode(value, _no_node) for key, value in leaf.config.items()}
        _place(root, place, rebuild(place, leaf.kind, config))
    for place, kind in plan.tensors.items():
        empty = torch.empty(0, device="meta")  # the stored tensor takes its place
        _place(root, place, nn.Parameter(empty) if kind == "parameter" else empty)
    return root


def _place(root: nn.Module, place: str, thing: nn.Module | Tensor) -> None:
    parts = place.split(".")
    if not _PLACE.fullmatch(place) or parts[0] in _RESERVED:
        raise ExportError(f"{place!r} is not a place in a model")
    parent = root
    for part in parts[:-1]:
        if part not in parent._modules:
            _attach(parent, part, nn.Module(), place)
        parent = parent._modules[part]
        if type(parent) is not nn.Module:
            raise ExportError(f"{place!r} lies inside a module that is kept whole")
    if parts[-1] in parent._modules:
        raise ExportError(f"{place!r} is taken by another module")
    _attach(parent, parts[-1], thing, place)


def _attach(parent: nn.Module, name: str, thing: nn.Module | Tensor, place: str) -> None:
    try:
        if isinstance(thing, nn.Module):
            parent.add_module(name, thing)
        elif isinstance(thing, nn.Parameter):
            parent.register_parameter(name, thing)
        else:
            parent.register_buffer(name, thing)
    except (KeyError, TypeError) as error:
        raise ExportError(f"{place!r} is not a place in a model: {error}") from error


def _expected(root: nn.Module, plan: Plan) -> list[tuple[str, Tensor | None]]:
    leaves = [
        (f"{place}.{key}", value)
        for place in plan.modules
        for key, value in root.get_submodule(place).state_dict().items()
    ]
    return [*leaves, *((place, None) for place in plan.tensors)]


def _fill(root: nn.Module, plan: Plan, tensors: dict[str, Tensor]) -> None:
    known = {name for name, _ in _expected(root, plan)}
    for name, source in plan.tied.items():
        if name not in known or source not in tensors:
            raise ExportError(f"tensor {name!r} is tied to {source!r}, which is not stored")
    shared: dict[str, Tensor] = {}
    for name in known:
        source = plan.tied.get(name, name)
        owner, _, attribute = name.rpartition(".")
        module = root.get_submodule(owner)
        is_parameter = attribute in module._parameters
        if is_parameter and source not in shared:
            value = tensors[source]
            shared[source] = nn.Parameter(value, requires_grad=value.is_floating_point())
        value = shared[source] if is_parameter else tensors[source]
        _same_shape(name, module, attribute, value, loose=name in plan.tensors)
        setattr(module, attribute, value)


def _same_shape(name: str, module: nn.Module, attribute: str, value: Tensor, loose: bool) -> None:
    """A tied tensor is stored under another name; its shape has to fit here as well."""
    if not loose and getattr(module, attribute).shape != value.shape:
        raise ExportError(f"tensor {name!r} is tied to one of shape {tuple(value.shape)}")


def _graph(plan: Plan, places: set[str]) -> fx.Graph:
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}

    def earlier(name: str) -> fx.Node:
        if not isinstance(name, str) or name not in nodes:
            raise ExportError(f"a step uses {name!r}, which no earlier step gives")
        return nodes[name]

    for step in plan.steps:
        if not _NAME.fullmatch(step.name) or step.name in nodes:
            raise ExportError(f"step name {step.name!r} is not a new plain name")
        if not all(_plain(key) for key in step.kwargs):
            raise ExportError(f"step {step.name!r} has an argument name that is no name")
        args = tuple(decode(value, earlier) for value in step.args)
        kwargs = {key: decode(value, earlier) for key, value in step.kwargs.items()}
        target = _called(step, args, places)
        nodes[step.name] = graph.create_node(step.op, target, args, kwargs, step.name)
    return graph


def _refuse_disorder(plan: Plan) -> None:
    operations = [step.op for step in plan.steps]
    inputs = operations.count("placeholder")
    if operations[-1:] != ["output"] or operations.count("output") != 1:
        raise ExportError("a plan ends with its one output")
    if operations[:inputs] != ["placeholder"] * inputs or not inputs:
        raise ExportError("a plan begins with its inputs")
    used = {step.target for step in plan.steps if step.op == "call_module"}
    if used != plan.modules.keys():
        odd = sorted(used ^ plan.modules.keys())[:5]
        raise ExportError(f"modules called and modules described differ: {', '.join(odd)}")


def _called(step: Step, args: tuple, places: set[str]) -> Any:
    if step.op == "call_function":
        if step.target == "builtins.getattr" and (
            len(args) != 2 or args[1] not in ATTRIBUTES or not isinstance(args[0], fx.Node)
        ):
            raise ExportError(f"step {step.name!r} reads an attribute that is not in the list")
        return function(step.target)
    if step.op == "call_method" and step.target not in METHODS:
        raise ExportError(f"step {step.name!r} calls an unknown tensor method {step.target!r}")
    if step.op == "get_attr" and step.target not in places:
        raise ExportError(f"step {step.name!r} reads {step.target!r}, which is no tensor")
    if step.op in {"placeholder", "output"} and not _plain(step.target):
        raise ExportError(f"step {step.name!r}: {step.target!r} is not a plain name")
    return step.target


def _plain(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and not keyword.iskeyword(name)


def _no_node(name: str) -> fx.Node:
    raise ExportError(f"a module's configuration refers to the step {name!r}")
