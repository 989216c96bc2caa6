"""Which width groups of a network are one width: by wish, or around a grouped convolution."""

from __future__ import annotations

import torch
from torch import Tensor

from lithe.channels import ChannelGraph, Group

__all__ = ["united"]


def united(graph: ChannelGraph, ties: list[list[str]]) -> list[list[Group]]:
    """Width groups, those that go together in one list, a tie's first one leading.

    Both sides of a grouped convolution go together: then whole groups can go.
    """
    groups = graph.groups()
    home = {name: k for k, group in enumerate(groups) for name in group.producers}
    lists = {k: [k] for k in range(len(groups))}

    def unite(first: int, other: int) -> None:
        if lists[first] is lists[other]:
            return
        lists[first] += lists[other]
        for k in lists[first]:
            lists[k] = lists[first]

    for tie in ties:
        for name in tie[1:]:
            unite(home[tie[0]], home[name])
    for balance in graph.flow.balances:
        outs = home[balance.name]
        made = {k for n, k in home.items() if _meet(graph, n, balance.ins)}
        for ins in made:
            if not groups[ins].reasons and not groups[outs].reasons:
                unite(min(ins, outs), max(ins, outs))
    distinct = {id(members): members for members in lists.values()}
    return [[groups[k] for k in members] for members in distinct.values()]


def _meet(graph: ChannelGraph, name: str, ids: Tensor) -> bool:
    """Whether a layer makes any of some channels."""
    return bool(torch.isin(graph.labels(name), graph.classes.of(ids)).any())
