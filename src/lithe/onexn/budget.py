"""Which blocks stay: so many of each layer, of each row of blocks, or of the whole network."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Budget", "check_budget", "check_sparsity", "lowest", "strongest", "strongest_overall"]

Budget = Literal["layer", "row", "global"]


def check_sparsity(sparsity: float) -> float:
    """Refuse a share to remove that is not in [0, 1)."""
    if isinstance(sparsity, bool) or not isinstance(sparsity, Real) or not 0 <= sparsity < 1:
        raise ValueError(f"sparsity is {sparsity!r}; it must be a number in [0, 1)")
    return float(sparsity)


def check_budget(budget: str, known: Sequence[str] = ("layer", "row", "global")) -> None:
    """Refuse an unknown budget."""
    if budget not in known:
        raise ValueError(f"budget is {budget!r}; known are {', '.join(map(repr, known))}")


def lowest(scores: Tensor, sparsity: float) -> Tensor:
    """The ``int(p * c)`` lowest scores along the last axis; the first of equal ones.

    The released arithmetic, rounding down in double precision (1xN spec A1, A7.12).

    Args:
        scores: ``(..., c)``.
        sparsity: share ``p``, in [0, 1).

    Returns:
        True where a score is among the lowest, ``(..., c)``.
    """
    count = int(check_sparsity(sparsity) * scores.shape[-1])
    places = scores.argsort(dim=-1, stable=True)[..., :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, places, True)


def strongest(scores: Tensor, sparsity: float, budget: Budget = "layer") -> Tensor:
    """The blocks of one layer that stay.

    Args:
        scores: of its blocks, ``(r, i)``.
        sparsity: share of blocks to drop, in [0, 1).
        budget: ``"layer"`` ranks all blocks together, as released; ``"row"`` drops equally many
            from every row of blocks, so that threads that share the rows have equal work.

    Returns:
        ``(r, i)``, True for blocks that stay.

    Raises:
        ValueError: ``sparsity`` is out of range or ``budget`` unknown.
    """
    check_budget(budget, ("layer", "row"))
    if budget == "row":
        return ~lowest(scores, sparsity)
    return ~lowest(scores.flatten(), sparsity).reshape(scores.shape)


def strongest_overall(
    scores: Sequence[Tensor], weights: Sequence[Tensor], sparsity: float
) -> list[Tensor]:
    """The blocks of a network that stay when all its blocks are ranked together.

    Blocks of different layers differ in size, so the mean magnitude of a weight is compared and
    the budget counted in weights: the weakest blocks go while no more than the given share of
    all weights does. The best block of every layer stays, or a layer could vanish. The paper
    has no such budget.

    Args:
        scores: mean magnitude of each block, ``(r, i)`` a layer.
        weights: how many weights each block holds, shaped alike.
        sparsity: share of all weights to drop, in [0, 1).

    Returns:
        For each layer ``(r, i)``, True for blocks that stay.
    """
    flat = [layer.flatten().clone() for layer in scores]
    for layer in flat:
        layer[layer.argmax()] = torch.inf
    ranked = torch.cat(flat).sort(stable=True)
    counts = torch.cat([layer.flatten() for layer in weights])
    gone = counts[ranked.indices].cumsum(0) <= check_sparsity(sparsity) * int(counts.sum())
    gone &= ranked.values < torch.inf
    kept = torch.ones(len(counts), dtype=torch.bool).scatter(0, ranked.indices[gone], False)
    parts = kept.split([layer.numel() for layer in scores])
    return [part.reshape(layer.shape) for part, layer in zip(parts, scores)]
