"""The losses that tie motion and text together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lithe.syntalker.tmr import Gaussian

__all__ = ["cosine", "false_negatives", "gaussian_kl", "info_nce"]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of all pairs of rows: ``(n, d)`` and ``(m, d)`` to ``(n, m)``."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def gaussian_kl(p: Gaussian, q: Gaussian) -> Tensor:
    """``KL(p || q)`` of diagonal Gaussians, averaged over batch and dimensions.

    Source: SynTalker spec 5.2.
    """
    # 1/2 (s_p^2 / s_q^2 + (m_p - m_q)^2 / s_q^2 - 1 - log s_p^2 / s_q^2)
    ratio = torch.exp(p.logvar - q.logvar)
    distance = (p.mean - q.mean).square() / q.logvar.exp()
    return 0.5 * (ratio + distance - 1 - (p.logvar - q.logvar)).mean()


def false_negatives(similarity: Tensor, threshold: float = 0.85, released: bool = False) -> Tensor:
    """Pairs whose captions mean the same, so that they must not count as negatives.

    Source: SynTalker spec 5.2. The released filter looks for similarities strictly between the
    threshold and 1, so that *identical* captions stay negatives of each other (G26); the
    corrected one takes everything from the threshold up.

    Args:
        similarity: cosine similarity of the captions ``(n, n)``.
        threshold: from which on two captions mean the same.
        released: look as the released code does.

    Returns:
        Mask ``(n, n)``, never true on the diagonal.

    Raises:
        ValueError: the similarity is not square.
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity of n captions is (n, n), got {tuple(similarity.shape)}")
    same = (similarity > threshold) & (similarity < 1) if released else similarity >= threshold
    return same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)


def info_nce(
    motion: Tensor, text: Tensor, temperature: float = 0.1, ignored: Tensor | None = None
) -> Tensor:
    """Each motion must find its own text among those of the batch, and each text its motion.

    Source: SynTalker spec 5.2: cosine similarity, average of both directions.

    Args:
        motion: means ``(n, d)``.
        text: means ``(n, d)``; row ``k`` belongs to motion ``k``.
        temperature: divides the similarities.
        ignored: pairs that are no negatives ``(n, n)``; see :func:`false_negatives`.

    Raises:
        ValueError: the shapes differ, or ``temperature`` is not above 0.
    """
    if motion.shape != text.shape or motion.ndim != 2:
        raise ValueError(
            f"motion and text are (n, d) alike, got {tuple(motion.shape)} and {tuple(text.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it divides, so give more than 0")
    logits = cosine(motion, text) / temperature
    if ignored is not None:
        logits = logits.masked_fill(ignored, -torch.inf)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
