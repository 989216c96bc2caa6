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
#: More filters than this are scored in O(n²): the released array would hold 34 GB at 2048, and
#: what the released code then does depends on the memory of the GPU it runs on (spec B10).
LARGEST = 512


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
    nothing here. Above 512 filters the same sum is taken in float64 without the ``o³`` terms; it
    differs by float32 rounding.

    Args:
        proxy: float32 ``(o, o)``.

    Returns:
        float32 ``(o,)``.
    """
    dead = (proxy == 0).any(1)
    if dead.all():
        return proxy.new_full((len(proxy),), float("nan"))
    full = _summed(proxy) if len(proxy) > LARGEST else released_kl_matrix(proxy).sum(1)
    return full.masked_fill(dead, float("nan"))


def _summed(proxy: Tensor) -> Tensor:
    """``Σ_k mean_i P_ji (log P_ji - log(P_ki + eps))`` with the sum over ``k`` taken first."""
    p = proxy.double()
    others = (p + EPS).log().mean(0)
    return (torch.special.xlogy(p, p) - p * others).sum(1).float()
