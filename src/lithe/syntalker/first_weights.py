"""First weights from a given generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator

__all__ = ["seeded"]


@contextmanager
def seeded(generator: Generator | None) -> Iterator[None]:
    """Layers that are made inside the block draw their weights as ``generator`` decides.

    Torch's layers draw from the global random state; it is as before after the block.

    Args:
        generator: on the CPU; ``None`` leaves everything to torch.
    """
    if generator is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield
