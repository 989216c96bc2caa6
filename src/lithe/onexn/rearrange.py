"""Which filters should stand next to each other, so that a block is all strong or all weak."""

from __future__ import annotations

import torch
from torch import Tensor

from lithe.onexn.grid import Grid, check_weight

__all__ = ["filter_norms", "rearrangement"]


def filter_norms(weight: Tensor) -> Tensor:
    """L1 norm of every filter.

    Args:
        weight: ``(o, i)`` or ``(o, i, kh, kw)``.

    Returns:
        ``(o,)``, float64.
    """
    return check_weight(weight).cpu().double().abs().flatten(1).sum(1)


def rearrangement(weight: Tensor, groups: int = 1) -> Tensor:
    """Order of the filters by rising L1 norm, as released; equal norms keep their order.

    The paper's figure sorts downwards. Both cut the filters into the same blocks where ``n``
    divides their number.

    Source: 1xN spec A4.

    Args:
        weight: ``(o, i)`` or ``(o, i, kh, kw)``.
        groups: of the convolution; filters stay inside their group.

    Returns:
        ``(o,)``, int64: entry ``k`` is the filter that goes to place ``k``.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: not the weight of a layer, NaN or infinity in it, or ``groups`` does not
            divide its filters.
    """
    norms = filter_norms(weight)
    Grid(weight.shape, 1, groups=groups)  # refuses groups that do not fit
    inside = norms.reshape(groups, -1).argsort(dim=1, stable=True)
    return (inside + torch.arange(groups)[:, None] * inside.shape[1]).flatten()
