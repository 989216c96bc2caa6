"""Which batch norm reads a fused layer, and putting single slots of it back to the start."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lithe.dcff.diagnostics import LayerReport
from lithe.dcff.fused import FusedConv2d

__all__ = ["following_norms", "reset_slots"]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, FusedConv2d) or super().is_leaf_module(module, name)


def following_norms(model: nn.Module) -> dict[str, list[str]]:
    """Batch norms that read each fused layer's output directly, by layer name.

    Raises:
        ValueError: the model's data flow cannot be traced.
    """
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # torch.fx raises whatever the traced code raises
        raise ValueError(f"cannot tell which batch norm follows which layer: {error}") from error
    modules = dict(model.named_modules(remove_duplicate=False))
    return {
        node.target: [user.target for user in node.users if _is_norm(user, modules)]
        for node in graph.nodes
        if node.op == "call_module" and isinstance(modules[node.target], FusedConv2d)
    }


@torch.no_grad()
def reset_slots(
    model: nn.Module,
    before: Mapping[str, Tensor],
    reports: Mapping[str, LayerReport],
) -> None:
    """Reset the batch norm of every slot that changed its filter: weight 1, bias 0, mean 0, var 1.

    Source: DCFF spec 2.11 (c).

    Args:
        model: as given to :func:`lithe.dcff.refresh`.
        before: the slots' filters before the refresh, by layer name.
        reports: what the refresh did, by layer name.
    """
    if not any(report.slot_change for report in reports.values()):
        return
    modules = dict(model.named_modules(remove_duplicate=False))
    names = {id(module): name for name, module in model.named_modules()}
    for alias, norms in following_norms(model).items():
        layer = modules[alias]
        slots = before[names[id(layer)]] != layer.selected
        for norm in norms:
            _reset(modules[norm], slots)


def _is_norm(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(modules[node.target], _BatchNorm)


def _reset(norm: _BatchNorm, slots: Tensor) -> None:
    first = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    for name, value in first.items():
        tensor = getattr(norm, name)
        if tensor is not None:
            tensor[slots] = value
