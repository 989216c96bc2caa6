"""How alike filters are: distances, and the softmax over them that mixes filters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["log_proxy", "pairwise_distance"]

#: Below this share of |a|² + |b|², the Gram form of |a - b|² has lost too many digits to be
#: multiplied by an inverse temperature of 1e4; such pairs are subtracted element by element.
CLOSE = 1e-2
#: Elements subtracted at once when many pairs are close; bounds memory to 64 MB.
CHUNK = 8_000_000
#: Rows multiplied at once; measured fastest of 64 to 256 for 256 to 512 filters.
BLOCK = 128


def pairwise_distance(weight: Tensor) -> Tensor:
    """Euclidean distance between every two filters, in float64.

    ``D²_jk = |w_j|² + |w_k|² - 2 w_j·w_k`` by one matrix product. Pairs that nearly coincide are
    subtracted directly: the product would leave about 1e-8 where 0 belongs, and times an inverse
    temperature of 1e4 that changes proxies.

    Source: DCFF spec 2.2 and 8.

    Args:
        weight: filters ``(o, ...)``; all but the first dimension are flattened.

    Returns:
        Symmetric float64 ``(o, o)``, its diagonal exactly 0.

    Raises:
        ValueError: fewer than two dimensions, no filters, or values that are not finite.
    """
    if weight.dim() < 2 or not weight.numel():
        raise ValueError(f"weight has shape {tuple(weight.shape)}; filters (o, ...) are needed")
    w = weight.detach().flatten(1).double()
    gram = _gram(w)
    q = gram.diagonal().clone()
    if not q.isfinite().all():
        broken = int((~q.isfinite()).sum())
        raise ValueError(f"{broken} of {len(w)} filters hold NaN or infinity; training diverged?")
    squared = _squared(gram, q)
    close = _close_pairs(squared, q)
    distance = squared.sqrt_()
    for pairs in close.split(max(1, CHUNK // w.shape[1])):
        j, k = pairs.T
        exact = (w[j] - w[k]).norm(dim=1)
        distance[j, k] = distance[k, j] = exact
    return distance.fill_diagonal_(0)


def _gram(w: Tensor) -> Tensor:
    """``w wᵀ`` from the blocks on and above the diagonal: nearly half the work of one product."""
    n = len(w)
    gram = w.new_empty(n, n)
    for start in range(0, n, BLOCK):
        block = w[start : start + BLOCK] @ w[start:].T
        gram[start : start + BLOCK, start:] = block
        gram[start:, start : start + BLOCK] = block.T
    return gram


def _squared(gram: Tensor, q: Tensor) -> Tensor:
    """``q_j + q_k - 2 gram_jk``, not below 0, in place of ``gram``; by rows that stay in cache."""
    for start in range(0, len(q), BLOCK):
        rows = gram[start : start + BLOCK]
        torch.add(q[start : start + BLOCK, None] + q, rows, alpha=-2, out=rows).clamp_(min=0)
    return gram


def _close_pairs(squared: Tensor, q: Tensor) -> Tensor:
    """Pairs ``(p, 2)``, ``j < k``, that the Gram form cannot tell apart well enough."""
    if squared.fill_diagonal_(math.inf).amin() > 2 * CLOSE * q.max():
        return q.new_empty(0, 2, dtype=torch.long)  # the rule, as long as no filters coincide
    return (squared <= CLOSE * (q[:, None] + q)).triu_(1).nonzero()


def log_proxy(distance: Tensor, t: float) -> Tensor:
    """Logarithm of every filter's mixing weights: ``L_ji = -T D_ji - log Σ_l exp(-T D_jl)``.

    Source: DCFF spec 2.3. A filter is part of its own softmax, and with ``D_jj = 0`` its largest
    term. Kept as logarithms, so that nothing underflows however large ``T`` is.

    Args:
        distance: float64 ``(o, o)`` from :func:`pairwise_distance`.
        t: inverse temperature ``T``, at least 0.

    Returns:
        float64 ``(o, o)``; ``exp`` of a row sums to 1.

    Raises:
        ValueError: ``distance`` is not square or not finite, or ``t`` is negative or so large
            that a logarithm would overflow.
    """
    if distance.dim() != 2 or distance.shape[0] != distance.shape[1] or not len(distance):
        raise ValueError(f"distance has shape {tuple(distance.shape)}; it must be square")
    if not 0 <= t < math.inf:
        raise ValueError(f"t is {t!r}; an inverse temperature is finite and not negative")
    largest = float(distance.max())
    if not math.isfinite(largest * t):
        raise ValueError(f"t = {t} times the largest distance, {largest}, is not finite")
    return torch.log_softmax(distance.double() * -t, dim=1)
