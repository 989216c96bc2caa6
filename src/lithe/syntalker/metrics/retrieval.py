"""Does a text find its motion among a few others? The measures of the text-to-motion field."""

from __future__ import annotations

import numpy as np
import torch

from lithe.syntalker.metrics.checks import finite_features
from lithe.syntalker.retrieval import ranks

__all__ = ["mm_dist", "r_precision"]


def r_precision(
    text: np.ndarray, motion: np.ndarray, top: int = 3, batch: int | None = 32
) -> np.ndarray:
    """Share of texts whose motion is among the 1, 2, ... ``top`` nearest of a batch.

    Source: SynTalker spec 8.2: batches of 32 by Euclidean distance. Rows that do not fill a last
    batch are left out, for a smaller batch is an easier question. Ties count against the text: an
    encoder that maps everything to one point earns nothing.

    Args:
        text: embeddings ``(n, d)``.
        motion: embeddings ``(n, d)``, row by row.
        top: how many values.
        batch: rows a question is asked among; ``None`` for all of them.

    Returns:
        float64 ``(top,)``, rising.

    Raises:
        ValueError: fewer rows than one batch, ``top`` outside 1 to ``batch``, shapes differ.
    """
    t, m = _pairs(text, motion)
    size = len(t) if batch is None else batch
    if not 1 <= top <= size <= len(t):
        raise ValueError(f"top {top}, batch {size}, {len(t)} rows: top <= batch <= rows is needed")
    starts = range(0, len(t) - size + 1, size)
    found = np.concatenate([_ranks(t[s : s + size], m[s : s + size]) for s in starts])
    return (found[:, None] <= np.arange(1, top + 1)).mean(0)


def mm_dist(text: np.ndarray, motion: np.ndarray) -> float:
    """Mean Euclidean distance of each text to its own motion. Source: SynTalker spec 8.2."""
    t, m = _pairs(text, motion)
    return float(np.linalg.norm(t - m, axis=1).mean())


def _pairs(text: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t, m = finite_features(text, "text"), finite_features(motion, "motion")
    if t.shape != m.shape:
        raise ValueError(f"text {t.shape} and motion {m.shape} do not pair row by row")
    return t, m


def _ranks(t: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Subtracted and not by a Gram product, so that equal rows tie exactly."""
    distance = np.stack([np.linalg.norm(row - m, axis=1) for row in t])
    return ranks(torch.from_numpy(-distance)).numpy()
