"""How well text finds motion, and motion text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lithe.syntalker.losses import cosine

__all__ = ["ranks", "recall"]


def ranks(similarity: Tensor, relevant: Tensor | None = None) -> Tensor:
    """Place of the best relevant item for every query, 1 for the first.

    Ties count against the query, so that a space in which everything is equal finds nothing.

    Args:
        similarity: of queries (rows) to items ``(n, m)``, higher is closer; not NaN.
        relevant: mask ``(n, m)`` of the items that are right; by default item ``k`` for query
            ``k``.

    Returns:
        int64 ``(n,)``.

    Raises:
        ValueError: shapes differ, NaN, or a query has no relevant item.
    """
    if relevant is None:
        relevant = torch.eye(*similarity.shape, dtype=torch.bool, device=similarity.device)
    if similarity.ndim != 2 or similarity.shape != relevant.shape or torch.isnan(similarity).any():
        raise ValueError(
            f"similarity and relevant are (n, m) without NaN, got {tuple(similarity.shape)} and "
            f"{tuple(relevant.shape)}"
        )
    if not relevant.any(1).all():
        raise ValueError("a query has no relevant item, so that it has no rank")
    best = similarity.masked_fill(~relevant, -torch.inf).amax(1, keepdim=True)
    return 1 + ((similarity >= best) & ~relevant).sum(1)


def recall(
    text: Tensor,
    motion: Tensor,
    relevant: Tensor | None = None,
    k: Sequence[int] = (1, 2, 3, 5, 10),
) -> dict[str, float]:
    """Recall at ``k`` and median rank in both directions, by cosine similarity.

    Args:
        text: embeddings of the prompts ``(n, d)``.
        motion: embeddings of the motions ``(m, d)``.
        relevant: mask ``(n, m)``: which motions fit which prompt; by default the same row.
        k: how many answers count.

    Returns:
        ``text_to_motion_r1``, ``motion_to_text_r1``, ... as shares from 0 to 1, and
        ``text_to_motion_median_rank``, ``motion_to_text_median_rank``.

    Raises:
        ValueError: as for :func:`ranks`, or an embedding has no direction.
    """
    if not (text.norm(dim=-1) > 0).all() or not (motion.norm(dim=-1) > 0).all():
        raise ValueError("an embedding is 0 or NaN and has no direction")
    similarity = cosine(text, motion)
    if relevant is None:
        relevant = torch.eye(*similarity.shape, dtype=torch.bool, device=similarity.device)
    both = {
        "text_to_motion": ranks(similarity, relevant),
        "motion_to_text": ranks(similarity.T, relevant.T),
    }
    found = {}
    for name, rank in both.items():
        found |= {f"{name}_r{n}": float((rank <= n).double().mean()) for n in k}
        found[f"{name}_median_rank"] = float(rank.double().quantile(0.5))
    return found
