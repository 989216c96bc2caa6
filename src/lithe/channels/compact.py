"""Carry a plan out: slice every parameter it touches and, where needed, rewrite the graph."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn

from .flow import Layer
from .graph import named_tensors
from .plan import Plan
from .rewire import rewire

__all__ = ["CompactGraph", "compact"]


class CompactGraph(fx.GraphModule):
    """A graph module that keeps every submodule and parameter name of the model it replaces."""

    _HELD = ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set")

    def __init__(self, root: nn.Module, graph: fx.Graph, class_name: str = "CompactGraph") -> None:
        super().__init__(root, graph, class_name)
        if isinstance(root, nn.Module) and not type(root).__name__.startswith("_CodeOnly"):
            for name in self._HELD:
                self.__dict__[name] = root.__dict__[name]
            self.training = root.training

    def __deepcopy__(self, memo: dict[int, object]) -> CompactGraph:
        other = super().__deepcopy__(memo)
        for name in self._HELD:
            other.__dict__[name] = copy.deepcopy(self.__dict__[name], memo)
        return other


def compact(plan: Plan, model: nn.Module) -> nn.Module:
    """Build the smaller copy of ``model`` that ``plan`` describes.

    Args:
        plan: from :func:`lithe.channels.plan`.
        model: the traced module, or one of the same structure; it is left as it is.

    Returns:
        A new module: of the model's own class if its forward holds no size that changed, a
        :class:`CompactGraph` otherwise. A model with parts that only run in training is also
        given as a graph, which leaves those parts out: their widths were not followed.

    Raises:
        ValueError: ``model`` is not of the traced structure.
    """
    smaller = copy.deepcopy(model)
    new = _sliced(plan, model)
    _replace(smaller, plan.graph.names, new)
    _resize(smaller, plan)
    constants = plan.graph.constants
    for name, constant in constants.items():
        sliced = new.get(id(constant), constant).clone()
        smaller.register_buffer(name, sliced, persistent=False)
    graph, indices, changed = rewire(plan, smaller)
    cut_constants = any(id(constant) in new for constant in constants.values())
    if not (changed or cut_constants or plan.graph.unreached):
        for name in constants:
            delattr(smaller, name)
        return smaller
    for name, index in indices.items():
        smaller.register_buffer(name, index, persistent=False)
    return CompactGraph(smaller, graph, type(model).__name__)


def _sliced(plan: Plan, model: nn.Module) -> dict[int, Tensor]:
    """New tensors by the id of the traced tensor they replace."""
    graph = plan.graph
    given = dict(named_tensors(model)) | graph.constants
    new: dict[int, Tensor] = {}
    for layer in graph.flow.layers.values():
        if layer.role in ("conv", "depthwise") and {layer.name} & {*plan.outputs, *plan.inputs}:
            weight = given[graph.names[id(layer.weight)][0]].detach()
            new[id(layer.weight)] = _convolution(plan, layer, weight)
    for key, axes in graph.flow.held.items():
        tensor = given[graph.names[key][0]].detach()
        for axis, ids in axes.items():
            classes = graph.classes.of(ids)
            if plan.touches(classes):
                tensor = new[key] = tensor.index_select(axis, plan.order(classes).to(tensor.device))
    return new


def _convolution(plan: Plan, layer: Layer, weight: Tensor) -> Tensor:
    """Slice ``(o, i / groups, ...)``, or ``(i, o / groups, ...)`` when transposed."""
    classes = plan.graph.classes
    ins, outs = plan.order(classes.of(layer.ins)), plan.order(classes.of(layer.outs))
    rows, columns = (ins, outs) if layer.transposed else (outs, ins)
    width = weight.shape[1]  # columns per group
    groups = plan.groups_left(layer)
    local = (columns % width).reshape(groups, -1)
    local = local.repeat_interleave(len(rows) // groups, 0).to(weight.device)
    sliced = weight.index_select(0, rows.to(weight.device))
    local = local.reshape(*local.shape, *[1] * (weight.ndim - 2))
    return torch.take_along_dim(sliced, local, 1)


def _replace(smaller: nn.Module, names: dict[int, list[str]], new: dict[int, Tensor]) -> None:
    """Put the new tensors under every name of those they replace; shared ones stay shared."""
    for key, tensor in new.items():
        shared: Tensor | None = None
        for name in names[key]:
            path, _, leaf = name.rpartition(".")
            owner = smaller.get_submodule(path)
            if leaf in owner._parameters:
                flag = owner._parameters[leaf].requires_grad
                shared = nn.Parameter(tensor.contiguous(), flag) if shared is None else shared
                owner._parameters[leaf] = shared
            elif leaf in owner._buffers:
                shared = tensor.contiguous() if shared is None else shared
                owner._buffers[leaf] = shared


def _resize(smaller: nn.Module, plan: Plan) -> None:
    """Bring the sizes that modules remember in line with their parameters."""
    for name, layer in plan.graph.flow.layers.items():
        if name not in plan.outputs and name not in plan.inputs:
            continue
        try:
            module = smaller.get_submodule(name)
        except AttributeError:
            continue  # used functionally
        ins = len(plan.inputs.get(name, layer.ins))
        outs = len(plan.outputs.get(name, layer.outs))
        sizes = {
            "in_channels": ins,
            "out_channels": outs,
            "in_features": ins,
            "out_features": outs,
            "num_features": outs,
            "num_channels": outs,
        }
        for field, size in sizes.items():
            if isinstance(getattr(module, field, None), int):
                setattr(module, field, size)
        if layer.groups > 1:
            module.groups = plan.groups_left(layer)
        if isinstance(module, nn.PReLU):
            module.num_parameters = outs
        if isinstance(module, nn.GroupNorm) and layer.role == "norm" and module.num_groups > 1:
            module.num_groups = outs
