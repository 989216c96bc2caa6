"""Filters that are selected together because their channels meet somewhere in the network.

Channels that meet (in a residual sum, say) form a *class*; a layer has one filter in each of its
classes, or several where channels go in blocks. Classes with the same producers form a *pool*: any
class of a pool may take the slot of any other without a layer noticing more than another filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lithe.dcff.select import SelectPolicy, select

__all__ = ["Coupling", "class_scores", "select_classes", "select_together"]


@dataclass(frozen=True)
class Coupling:
    """How the filters of one layer hang together with those of others.

    Attributes:
        name: of the group; layers with the same name are selected together.
        classes: class of each filter of this layer, ``(n,)`` int64.
        pools: pool of each class of the group, ``(c,)`` int64.
    """

    name: str
    classes: Tensor
    pools: Tensor


def class_scores(couplings: Sequence[Coupling], scores: Sequence[Tensor]) -> Tensor:
    """Importance of each class: the sum of its filters' scores, each layer's at mean 1.

    Args:
        couplings: one a layer, of one group.
        scores: of every layer's filters, ``(n,)``; what is not finite counts as the largest.

    Returns:
        float64 ``(c,)``.
    """
    total = torch.zeros(len(couplings[0].pools), dtype=torch.float64)
    for coupling, values in zip(couplings, scores):
        values = values.cpu().double()
        mean = values[values.isfinite()].mean().abs().nan_to_num(1.0).clamp_min(1e-300)
        total.index_add_(0, coupling.classes, (values / mean).nan_to_num(nan=torch.inf))
    return total


def select_classes(
    total: Tensor, pools: Tensor, slots: Tensor, policy: SelectPolicy = "ascending"
) -> Tensor:
    """Choose anew in every pool which classes hold its slots.

    Args:
        total: importance of each class ``(c,)``.
        pools: pool of each class ``(c,)``.
        slots: classes that hold slots now, in slot order; as many stay in each pool.
        policy: slot order inside a pool, see :func:`lithe.dcff.select`.

    Returns:
        The class that takes the place of each class ``(c,)``; only entries of ``slots`` matter.
    """
    swap = torch.arange(len(pools))
    for pool in pools[slots].unique():
        members = (pools == pool).nonzero()[:, 0]
        held = slots[pools[slots] == pool]
        previous = torch.searchsorted(members, held)
        swap[held] = members[select(total[members], len(held), previous, policy)]
    return swap


def select_together(
    couplings: Sequence[Coupling],
    selected: Sequence[Tensor],
    scores: Sequence[Tensor],
    policy: SelectPolicy,
) -> list[Tensor]:
    """New selections of layers that share a group, slot by slot in step.

    Args:
        couplings: one a layer.
        selected: each layer's filters by slot, ``(m,)``.
        scores: each layer's importance, ``(n,)``.
        policy: slot order, see :func:`lithe.dcff.select`.

    Returns:
        Filters by slot of each layer, ``(m,)``.
    """
    held = torch.cat([c.classes[s.cpu()] for c, s in zip(couplings, selected)])
    swap = select_classes(
        class_scores(couplings, scores), couplings[0].pools, _in_order(held), policy
    )
    return [_swapped(c.classes, s.cpu(), swap).to(s) for c, s in zip(couplings, selected)]


def _in_order(values: Tensor) -> Tensor:
    """Distinct values in order of first appearance."""
    return torch.tensor(list(dict.fromkeys(values.tolist())), dtype=torch.long)


def _swapped(classes: Tensor, selected: Tensor, swap: Tensor) -> Tensor:
    """For every slot, the filter that stands in its new class where the old one stood."""
    by_class = torch.argsort(classes, stable=True)
    first = torch.searchsorted(classes[by_class], torch.arange(len(swap)))
    rank = torch.empty_like(by_class).scatter_(0, by_class, torch.arange(len(classes)))
    own = classes[selected]
    return by_class[first[swap[own]] + rank[selected] - first[own]]
