"""How varied motions are: between clips, and inside one."""

from __future__ import annotations

import numpy as np
import torch

from lithe.syntalker.metrics.checks import finite_features, finite_positions

__all__ = ["diversity", "l1_diversity"]


def diversity(
    features: np.ndarray,
    pairs: int = 300,
    generator: torch.Generator | None = None,
    indices: tuple[np.ndarray, np.ndarray] | None = None,
) -> float:
    """Mean Euclidean distance of random pairs of clips.

    Source: SynTalker spec 8.2. As released, the two halves are drawn apart from each other, each
    without repetition: a clip can meet itself, which adds a 0.

    Args:
        features: ``(n, d)``, one row a clip.
        pairs: how many; at most ``n``.
        generator: draws the pairs; its state is all the randomness there is.
        indices: the pairs themselves, ``(p,)`` and ``(p,)``, instead of a draw.

    Raises:
        ValueError: fewer clips than pairs, or neither a generator nor indices.
    """
    x = finite_features(features, "features", at_least=2)
    if indices is None:
        if generator is None:
            raise ValueError("diversity draws pairs: give generator= or indices=")
        if not 1 <= pairs <= len(x):
            raise ValueError(f"pairs is {pairs}; between 1 and the {len(x)} clips are possible")
        indices = tuple(
            torch.randperm(len(x), generator=generator)[:pairs].numpy() for _ in range(2)
        )
    first, second = indices
    return float(np.linalg.norm(x[first] - x[second], axis=1).mean())


def l1_diversity(positions: np.ndarray) -> float:
    """Mean over frames of ``Σ_j |p_t - mean_t p|``, all coordinates, in metres.

    Source: SynTalker spec 8.1. Take the root's translation out first, as the released test does.
    The released function also overwrites its input with the folded ``|p - mean|`` and so spoils
    what is measured after it (G5); this one leaves it alone. Higher is not always better.

    Args:
        positions: ``(t, j, 3)`` metres.
    """
    p = finite_positions(positions, fps=1)
    return float(np.abs(p - p.mean(0)).sum((1, 2)).mean())
