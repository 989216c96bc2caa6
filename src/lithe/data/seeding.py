"""Generators that are pure functions of a few whole numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator

__all__ = ["generator_for", "mixed_seed"]


def mixed_seed(*numbers: int) -> int:
    """One 32-bit seed out of several whole numbers (0 or more), well mixed.

    ``seed + epoch`` would make epoch 1 of seed 0 equal to epoch 0 of seed 1; this does not.

    Raises:
        ValueError: a number is negative.
    """
    if min(numbers) < 0:
        raise ValueError(f"seeds are 0 or more, got {numbers}")
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def generator_for(*numbers: int) -> Generator:
    """A fresh CPU generator seeded by :func:`mixed_seed`, such as ``(seed, epoch, step)``."""
    return torch.Generator().manual_seed(mixed_seed(*numbers))
