"""Priority: how likely each subnet of a pool is trained next."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["effective_size", "priority"]


def priority(values: Sequence[float] | Tensor, t: float) -> Tensor:
    """Soft-max of the pool's metrics at a temperature: ``P_i = exp(m_i/T) / sum_j exp(m_j/T)``.

    Source: PSS-Net spec 3.4.

    Args:
        values: smoothed metrics ``(k,)``, higher is better.
        t: temperature ``T``, positive; infinity gives all the same chance.

    Returns:
        Probabilities ``(k,)``, float64.

    Raises:
        ValueError: no values, values that are not finite, or ``t`` not positive.
    """
    metrics = torch.as_tensor(values, dtype=torch.float64)
    if metrics.ndim != 1 or not len(metrics) or not metrics.isfinite().all():
        raise ValueError(f"values is {values!r}; give at least one finite number, in one row")
    if not t > 0:
        raise ValueError(f"t is {t!r}; a temperature is positive")
    return torch.softmax((metrics - metrics.max()) / t, dim=0)


def effective_size(probabilities: Tensor) -> float:
    """How many subnets a pool really draws from: ``exp`` of the entropy of ``(k,)`` chances."""
    return float(torch.exp(torch.special.entr(probabilities).sum()))
