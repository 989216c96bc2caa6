"""The released arithmetic: float32 proxies, an ``eps`` in one place, NaN where it underflows.

Source: DCFF spec 2.2, 2.3, 2.5 and B1. Kept apart from :mod:`lithe.dcff.proxy` and
:mod:`lithe.dcff.score`, which compute the same quantities so that they hold at any temperature.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["released_kl_matrix", "released_proxy", "released_scores"]

EPS = 1e-7
#: Elements of one block of the three-index array; a block stays in the processor's cache.
BLOCK = 1 << 18


def released_proxy(distance: Tensor, t: float) -> Tensor:
    """Mixing weights as released: distances cast to float32, divided by ``1 / T``, softmax.

    Args:
        distance: float64 ``(o, o)``.
        t: inverse temperature ``T``.

    Returns:
        float32 ``(o, o)``; exact zeros wherever ``T D`` exceeds about 104.
    """
    return torch.softmax(-distance.float() / (1.0 / t), dim=1)


def released_kl_matrix(proxy: Tensor) -> Tensor:
    """``KL_jk = mean_i P_ji log(P_ji / (P_ki + eps))`` in float32, NaN where ``0 log 0`` occurs.

    The released code builds the ``(o, o, o)`` array whole; the same operations run here block by
    block, so that memory grows as ``o²``.

    Args:
        proxy: float32 ``(o, o)`` from :func:`released_proxy`.

    Returns:
        float32 ``(o, o)``.
    """
    n = len(proxy)
    shifted = proxy + EPS
    matrix = proxy.new_empty(n, n)
    step = max(1, BLOCK // n)
    for j in range(n):
        row = proxy[j]
        for first in range(0, n, step):
            block = row / shifted[first : first + step]
            matrix[j, first : first + step] = block.log_().mul_(row).mean(1)
    return matrix


def released_scores(proxy: Tensor) -> Tensor:
    """Importance as released: row sums of :func:`released_kl_matrix`, NaN included.

    A row that holds an exact zero scores NaN whatever the other rows are, so such rows cost
    nothing here.

    Args:
        proxy: float32 ``(o, o)``.

    Returns:
        float32 ``(o,)``.
    """
    scores = proxy.new_full((len(proxy),), float("nan"))
    alive = (proxy > 0).all(1)
    if alive.all():
        return released_kl_matrix(proxy).sum(1)
    if alive.any():
        scores[alive] = released_kl_matrix(proxy).sum(1)[alive]
    return scores
