"""What a refresh did: how alive fusion is, and how much the selection moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LayerReport", "entropy", "set_change", "slot_change"]


@dataclass(frozen=True)
class LayerReport:
    """One layer's refresh.

    Attributes:
        name: the layer in its model.
        t: inverse temperature ``T``.
        filters: filters ``n``.
        kept: fused filters ``m``.
        finite: whether all new scores were finite.
        nan_count: how many were not.
        accepted: whether the new scores replaced the old ones.
        reselected: whether they led to another set of filters.
        set_change: share of the kept filters that are new, 0 at the first refresh.
        slot_change: share of the slots that hold another filter, 0 at the first refresh.
        max_proxy: mean largest mixing weight of an exposed row; 1 is one-hot.
        off_diagonal: mean mass of an exposed row on filters other than its own.
        entropy: mean entropy of an exposed row, nats; 0 is one-hot, ``log n`` uniform.
        onehot: whether every exposed row is exactly one filter.
    """

    name: str
    t: float
    filters: int
    kept: int
    finite: bool
    nan_count: int
    accepted: bool
    reselected: bool
    set_change: float
    slot_change: float
    max_proxy: float
    off_diagonal: float
    entropy: float
    onehot: bool


def set_change(before: Tensor, after: Tensor) -> float:
    """Share of ``after`` ``(m,)`` that ``before`` ``(m,)`` does not hold."""
    return float((~torch.isin(after, before)).double().mean())


def slot_change(before: Tensor, after: Tensor) -> float:
    """Share of positions at which ``before`` and ``after`` ``(m,)`` differ."""
    return float((before != after).double().mean())


def entropy(rows: Tensor) -> float:
    """Mean entropy, in nats, of distributions in rows ``(m, n)``."""
    return float(torch.special.entr(rows.double()).sum(1).mean())
