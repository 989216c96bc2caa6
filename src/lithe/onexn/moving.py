"""The rearrangement applied: filters really change places, and whatever reads them follows."""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from torch import Tensor, nn

from lithe import channels
from lithe.channels import ChannelGraph
from lithe.channels.compact import CompactGraph
from lithe.onexn.rearrange import filter_norms

__all__ = ["joint_orders", "move_filters"]


def move_filters(
    model: nn.Module | ChannelGraph,
    example: Tensor | tuple[Tensor, ...] | None = None,
    names: Collection[str] | None = None,
) -> tuple[nn.Module, frozenset[str]]:
    """A copy of a model, the same function, whose filters stand in the order of rising norm.

    The released code sorts only to shape its masks and never moves a filter (1xN spec A4); here
    consumers, norms and depthwise layers follow through the channel graph. A layer stays in
    place where that would need more than reordered weights: its channels reach the output, an
    index would have to undo the order at run time, or parts of the network run only in training
    and so cannot be followed.

    Args:
        model: any module that torch.fx can trace, or its channel graph; not changed.
        example: input ``(1, c, h, w)``; not needed with a graph.
        names: layers whose norms count; all convolutions and linear layers by default.

    Returns:
        The reordered copy, of the model's own class, and the names of the layers that moved.

    Raises:
        TypeError: neither a graph nor an example is given.
        KeyError: a name is no layer of the graph.
        lithe.channels.UntraceableError: the model's data flow cannot be followed.
    """
    if not isinstance(model, ChannelGraph) and example is None:
        raise TypeError("an example input is needed to trace a module; pass example=")
    graph = model if isinstance(model, ChannelGraph) else channels.trace(model, example)
    if names is None:
        names = [n for n, x in graph.flow.layers.items() if x.role in ("conv", "linear")]
    orders = {} if graph.unreached else joint_orders(graph, names)
    moved = channels.permute(graph, orders) if orders else copy.deepcopy(graph.model)
    if orders and isinstance(moved, CompactGraph):
        alone = {n: o for n, o in orders.items() if _keeps_class(graph, {n: o})}
        orders = alone if _keeps_class(graph, alone) else {}
        moved = channels.permute(graph, orders) if orders else copy.deepcopy(graph.model)
    return moved, _movers(graph, names, orders)


def _keeps_class(graph: ChannelGraph, orders: dict[str, Tensor]) -> bool:
    return not isinstance(channels.permute(graph, orders), CompactGraph)


def _movers(
    graph: ChannelGraph, names: Collection[str], orders: dict[str, Tensor]
) -> frozenset[str]:
    """Layers all of whose channels were given an order, by their own name or a partner's."""
    ordered = [graph.labels(name) for name in orders]
    if not ordered:
        return frozenset()
    labels = torch.cat(ordered)
    return frozenset(n for n in names if bool(torch.isin(graph.labels(n), labels).all()))


def joint_orders(graph: ChannelGraph, names: Collection[str]) -> dict[str, Tensor]:
    """Orders that sort filters by norm, one for all layers whose outputs share a width.

    Layers that meet in a sum need the same order: each filter norm is divided by its layer's
    mean, and the layers' shares of a channel are added up. Channels trade places only with those
    that pass through the same layers, so concatenations and splits need no index.

    Args:
        graph: of the network.
        names: layers whose norms count, in the order of their claims.

    Returns:
        For one layer of each set an order ``(o,)``, for :func:`lithe.channels.permute`.
    """
    labels = {n: graph.labels(n) for n in names}
    labels = {n: own for n, own in labels.items() if graph.classes.pinned(own, move=True) is None}
    total = torch.zeros(graph.classes.count, dtype=torch.float64)
    for name, own in labels.items():
        norms = filter_norms(_filters(graph, name))
        total.index_add_(0, own, norms / norms.mean().clamp(min=torch.finfo(norms.dtype).tiny))
    kin = _kin(graph)
    done = torch.zeros(graph.classes.count, dtype=torch.bool)
    orders = {}
    for name, own in labels.items():
        if not done[own].any():
            orders[name] = _order(own, total, kin, graph.cells(name))
            done[own] = True
    return orders


def _filters(graph: ChannelGraph, name: str) -> Tensor:
    """Weight of a layer with its filters first; transposed ones are stored ``(i, o / groups)``."""
    layer = graph.layer(name)
    if not layer.transposed:
        return layer.weight
    i, per_group = layer.weight.shape[:2]
    split = layer.weight.reshape(layer.groups, i // layer.groups, per_group, -1)
    return split.transpose(1, 2).flatten(0, 1)


def _kin(graph: ChannelGraph) -> Tensor:
    """Kind of each class: equal for those that the same layers make and read, equally often."""
    kin = torch.zeros(graph.classes.count, dtype=torch.int64)
    for layer in graph.flow.layers.values():
        for side in (layer.ins, layer.outs):
            counts = graph.classes.of(side).bincount(minlength=len(kin))
            kin = (kin * (int(counts.max()) + 1) + counts).unique(return_inverse=True)[1]
    return kin


def _order(labels: Tensor, total: Tensor, kin: Tensor, cells: Tensor) -> Tensor:
    """Sort the channels of one layer by the totals of their classes, inside their cells."""
    classes, position = labels.unique(return_inverse=True)
    cell = torch.zeros_like(classes).scatter(0, position, cells)
    kinds = torch.stack([cell, kin[classes]]).unique(dim=1, return_inverse=True)[1]
    first = torch.full_like(classes, len(labels)).scatter_reduce(
        0, position, torch.arange(len(labels)), "amin"
    )
    order = torch.arange(len(labels))
    for kind in kinds.unique():
        slots = (kinds == kind).nonzero()[:, 0]
        slots = slots[first[slots].argsort()]
        takes = slots[total[classes[slots]].argsort(stable=True)]
        for slot, take in zip(slots, takes):
            order[position == slot] = (position == take).nonzero()[:, 0]
    return order
