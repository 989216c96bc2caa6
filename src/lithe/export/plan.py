"""The plan: a graph of operations as plain data, and how it is read off a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, fx, nn

from lithe.export.arguments import encode
from lithe.export.errors import ExportError
from lithe.export.leaves import describe, is_leaf
from lithe.export.operations import METHODS, function_name
from lithe.modes import evaluating

__all__ = ["Leaf", "Plan", "Step", "evaluating", "make"]

FORMAT, VERSION = "lithe.model", 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Leaf(_Strict):
    """A module kept whole: its kind and the arguments of its constructor."""

    kind: str
    config: dict[str, Any]


class Step(_Strict):
    """One node of the graph, as in ``torch.fx``."""

    op: Literal["placeholder", "get_attr", "call_function", "call_method", "call_module", "output"]
    name: str
    target: str
    args: list[Any]
    kwargs: dict[str, Any]


class Plan(_Strict):
    """All of a model but the values of its tensors.

    Attributes:
        format: always ``"lithe.model"``.
        version: of the format; another number is refused.
        model: class name of the model that was saved; for the reader only.
        torch: the version that wrote it; for the reader only.
        weights_sha256: of the weights file that belongs to this plan.
        modules: leaves by their dotted place.
        tensors: tensors outside leaves, by their dotted place.
        tied: tensor name -> name of the stored tensor that it shares.
        steps: the graph, in order of execution.
        extra: what a room adds for itself, by its name; left out of the file where empty.
    """

    format: Literal["lithe.model"]
    version: Literal[1]
    model: str
    torch: str
    weights_sha256: str
    modules: dict[str, Leaf]
    tensors: dict[str, Literal["parameter", "buffer"]]
    tied: dict[str, str]
    steps: list[Step]
    extra: dict[str, Any] = {}


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True  # a buffer is read when the model runs, not while tracing

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m) or super().is_leaf_module(m, module_qualified_name)


def make(model: nn.Module) -> tuple[Plan, dict[str, Tensor]]:
    """Read the plan and the tensors off a model in eval mode; the model is not changed.

    Args:
        model: any module that ``torch.fx`` can trace; a ``GraphModule`` is traced anew.

    Returns:
        The plan, its ``weights_sha256`` still empty, and each stored tensor by name.

    Raises:
        ExportError: the model cannot be traced, or holds a module, function or value that a plan
            cannot.
    """
    if not isinstance(model, nn.Module):
        raise ExportError(f"model is a {type(model).__name__}, not a torch.nn.Module")
    if model._forward_hooks or model._forward_pre_hooks:
        raise ExportError(f"{type(model).__name__} has forward hooks, which a plan cannot hold")
    with _without_traces(model):
        graph = _trace(model)
        steps = list(_steps(graph))
        modules, tensors, values = _owned(model, steps)
    values, tied = _untie(values)
    plan = Plan(
        format=FORMAT,
        version=VERSION,
        model=type(model).__name__,
        torch=torch.__version__.split("+")[0],
        weights_sha256="",
        modules=modules,
        tensors=tensors,
        tied=tied,
        steps=steps,
    )
    return plan, values


@contextmanager
def _without_traces(model: nn.Module) -> Iterator[None]:
    """Take off the constants that the tracer hangs onto the model it traces."""
    before = set(vars(model))
    try:
        yield
    finally:
        for name in set(vars(model)) - before:
            delattr(model, name)


def _trace(model: nn.Module) -> fx.Graph:
    try:
        with evaluating(model):
            return _Tracer().trace(model)
    except Exception as error:  # a model's forward may raise anything when it meets a proxy
        raise ExportError(
            f"torch.fx cannot trace {type(model).__name__}: {error}{_own_layers(model)}"
        ) from error


def _own_layers(model: nn.Module) -> str:
    """Names a layer with weights that torch.nn does not have: often what is in the way."""
    for name, module in model.named_modules():
        own = next(module.parameters(recurse=False), None) is not None
        if own and not type(module).__module__.startswith("torch."):
            kind = type(module).__name__
            return f" (module {name!r} is a {kind}; a plan wants layers of torch.nn in its place)"
    return ""


def _steps(graph: fx.Graph) -> Iterator[Step]:
    stands_for: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if _is_identity(node):
            stands_for[node] = stands_for.get(node.args[0], node.args[0])
            continue

        def name(other: fx.Node) -> str:
            return stands_for.get(other, other).name

        yield Step(
            op=node.op,
            name=node.name,
            target=_target(node),
            args=[encode(argument, name) for argument in node.args],
            kwargs={key: encode(argument, name) for key, argument in node.kwargs.items()},
        )


def _is_identity(node: fx.Node) -> bool:
    """Stochastic depth of torchvision, which in eval mode hands on its input."""
    called = node.target
    return (
        node.op == "call_function"
        and getattr(called, "__name__", "") == "stochastic_depth"
        and getattr(called, "__module__", "").startswith("torchvision.")
        and (node.kwargs.get("training", (*node.args, True)[3]) is False)
    )


def _target(node: fx.Node) -> str:
    if node.op == "call_function":
        return function_name(node.target)
    if node.op == "call_method" and node.target not in METHODS:
        raise ExportError(f"tensor method {node.target!r} cannot be saved: it is not in the list")
    return str(node.target)


def _owned(
    model: nn.Module, steps: list[Step]
) -> tuple[dict[str, Leaf], dict[str, str], dict[str, Tensor]]:
    """Describe the leaves and loose tensors that the steps use, and collect all their tensors."""
    modules: dict[str, Leaf] = {}
    tensors: dict[str, str] = {}
    values: dict[str, Tensor] = {}
    for target in dict.fromkeys(step.target for step in steps if step.op == "call_module"):
        leaf = model.get_submodule(target)
        kind, config = describe(target, leaf)
        modules[target] = Leaf(kind=kind, config={k: encode(v) for k, v in config.items()})
        for key, value in leaf.state_dict(keep_vars=True).items():
            values[f"{target}.{key}"] = _tensor(f"{target}.{key}", value)
    for target in dict.fromkeys(step.target for step in steps if step.op == "get_attr"):
        if target in values:  # the weight of a leaf, used on its own as well
            continue
        owner, _, name = target.rpartition(".")
        value = getattr(model.get_submodule(owner), name)
        tensors[target] = "parameter" if isinstance(value, nn.Parameter) else "buffer"
        values[target] = _tensor(target, value)
    return modules, tensors, values


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise ExportError(f"{name!r} is a {type(value).__qualname__}, only tensors can be saved")
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        raise ExportError(f"tensor {name!r} is not an ordinary dense tensor: {value.layout}")
    return value


def _untie(values: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Keep one name for each tensor; the others are noted as tied to it."""
    first: dict[int, str] = {}
    tied: dict[str, str] = {}
    for name, value in values.items():
        known = first.setdefault(id(value), name)
        if known != name:
            tied[name] = known
    kept = {name: value.detach() for name, value in values.items() if name not in tied}
    return kept, tied
