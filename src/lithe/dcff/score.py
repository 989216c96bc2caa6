"""How distinctive a filter is: the divergence of its proxy from all others, and rivals."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "RIVALS",
    "kl_matrix",
    "kl_scores",
    "l1_norms",
    "l2_norms",
    "random_scores",
    "total_distances",
]


def kl_scores(log_proxy: Tensor) -> Tensor:
    """Importance ``s_j = Σ_k KL(P_j ‖ P_k) / n`` of every filter, in O(n²).

    ``n s_j = n Σ_i P_ji L_ji - Σ_i P_ji S_i`` with ``S_i = Σ_k L_ki``: the pairwise divergences
    never need to exist. For large inverse temperatures ``s_j`` tends to ``T / n`` times the sum
    of the filter's distances.

    Source: DCFF spec 2.5 and 2.6, without the released ``eps``.

    Args:
        log_proxy: ``L``, float64 ``(o, o)`` from :func:`lithe.dcff.log_proxy`.

    Returns:
        float64 ``(o,)``; larger is more distinctive, always finite.

    Raises:
        ValueError: ``log_proxy`` is not square.
    """
    log_p = _square(log_proxy)
    p = log_p.exp()
    # Σ_i P_ji (n L_ji - S_i) / n, one pass over the matrix
    return (p * (log_p - log_p.mean(0))).sum(1)


def kl_matrix(log_proxy: Tensor) -> Tensor:
    """``KL(P_j ‖ P_k) / n`` for every pair, by one matrix product; rows sum to the scores.

    Source: DCFF spec 2.6.

    Args:
        log_proxy: float64 ``(o, o)``.

    Returns:
        float64 ``(o, o)``; its diagonal is 0 up to rounding.

    Raises:
        ValueError: ``log_proxy`` is not square.
    """
    log_p = _square(log_proxy)
    p = log_p.exp()
    return ((p * log_p).sum(1, keepdim=True) - p @ log_p.T) / len(log_p)


def l1_norms(weight: Tensor) -> Tensor:
    """Sum of absolute weights of every filter, float64 ``(o,)``."""
    return weight.detach().flatten(1).double().norm(p=1, dim=1)


def l2_norms(weight: Tensor) -> Tensor:
    """Euclidean norm of every filter, float64 ``(o,)``."""
    return weight.detach().flatten(1).double().norm(dim=1)


def total_distances(distance: Tensor) -> Tensor:
    """Sum of a filter's distances to all others, ``(o,)``: FPGM's criterion (spec 2.6)."""
    return distance.sum(1)


def random_scores(n: int, generator: torch.Generator | None) -> Tensor:
    """Uniform scores ``(n,)`` in [0, 1), float64, on the CPU.

    Raises:
        ValueError: no generator; a random choice has to be repeatable.
    """
    if generator is None:
        raise ValueError("score 'random' needs generator=torch.Generator(); none was given")
    return torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)


#: Criteria other than the divergence, each from filters, distances and a generator.
RIVALS: dict[str, Callable[[Tensor, Tensor, torch.Generator | None], Tensor]] = {
    "l1": lambda weight, distance, generator: l1_norms(weight),
    "l2": lambda weight, distance, generator: l2_norms(weight),
    "total_distance": lambda weight, distance, generator: total_distances(distance),
    "random": lambda weight, distance, generator: random_scores(len(weight), generator),
}


def _square(log_proxy: Tensor) -> Tensor:
    if log_proxy.dim() != 2 or log_proxy.shape[0] != log_proxy.shape[1]:
        raise ValueError(f"log_proxy has shape {tuple(log_proxy.shape)}; it must be square")
    return log_proxy.double()
