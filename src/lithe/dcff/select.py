"""Which filters stay, and which slot each of them takes."""

from __future__ import annotations

from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["SelectPolicy", "select"]

SelectPolicy = Literal["ascending", "by_score", "slot_stable", "unsorted_topk"]


def select(
    scores: Tensor,
    keep: int,
    previous: Tensor | None = None,
    policy: SelectPolicy = "ascending",
) -> Tensor:
    """The ``keep`` filters of largest score, in slot order.

    A slot, not a filter, is what the following batch norm and convolution are tied to; an order
    that shuffles slots between epochs undoes training (DCFF spec 0.4 and 2.11).

    Args:
        scores: importance ``(o,)``; equal scores prefer the lower index.
        keep: how many, 1 to ``o``.
        previous: the last selection ``(keep,)`` in slot order; only ``"slot_stable"`` uses it and
            takes ascending order where there is none.
        policy: ``"ascending"`` index; ``"by_score"``, best first; ``"slot_stable"``, survivors
            keep their slots and newcomers, ascending, take the vacated ones; ``"unsorted_topk"``,
            the released call, whose order torch leaves unspecified.

    Returns:
        Indices ``(keep,)``, distinct, int64.

    Raises:
        ValueError: ``keep`` is out of range, a score is NaN, ``previous`` is no selection of this
            size, or ``policy`` is unknown.
    """
    _check(scores, keep, previous, policy)
    keep = int(keep)  # NumPy's integers count as well
    if policy == "unsorted_topk":
        return scores.topk(keep, sorted=False).indices
    best = torch.sort(scores, descending=True, stable=True).indices[:keep]
    if policy == "by_score":
        return best
    chosen = best.sort().values
    if policy == "ascending" or previous is None:
        return chosen
    return _slot_stable(chosen, previous.to(chosen))


def _slot_stable(chosen: Tensor, previous: Tensor) -> Tensor:
    slots = previous.clone()
    slots[~torch.isin(previous, chosen)] = chosen[~torch.isin(chosen, previous)]
    return slots


def _check(scores: Tensor, keep: int, previous: Tensor | None, policy: str) -> None:
    if policy not in get_args(SelectPolicy):
        raise ValueError(f"policy is {policy!r}; known are {', '.join(get_args(SelectPolicy))}")
    if scores.dim() != 1:
        raise ValueError(f"scores has shape {tuple(scores.shape)}; one score a filter is needed")
    n = len(scores)
    if isinstance(keep, bool) or not isinstance(keep, Integral) or not 1 <= keep <= n:
        raise ValueError(f"keep is {keep!r}; it must be a whole number from 1 to {n}")
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} of {n} scores are NaN; they have no order")
    if previous is not None and policy == "slot_stable":
        known = previous.shape == (keep,) and len(previous.unique()) == keep
        if not known or previous.is_floating_point() or previous.min() < 0 or previous.max() >= n:
            raise ValueError(
                f"previous is {previous.tolist()}; it must hold {keep} distinct indices below {n}"
            )
