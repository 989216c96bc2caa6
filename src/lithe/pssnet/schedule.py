"""Annealing: how an epoch's share of the space and its temperature fall."""

from __future__ import annotations

import math
from numbers import Integral, Real

__all__ = ["anneal"]


def anneal(epoch: float, epochs: int, start: float = 1.0, end: float = 0.01) -> float:
    """Geometric path from ``start`` towards ``end``: ``s (t/s)^(e/E)``.

    Source: PSS-Net spec 3.4. The probability to sample from the space and the temperature of the
    priority both follow it. The last epoch, ``E - 1``, does not quite arrive at ``end``.

    Args:
        epoch: ``e``, counted from 0, at most ``epochs``.
        epochs: ``E``, at least 1.
        start: ``s``, value at epoch 0, positive.
        end: ``t``, value that epoch ``E`` would have, positive.

    Raises:
        ValueError: an argument is out of range.
    """
    if isinstance(epochs, bool) or not isinstance(epochs, Integral) or epochs < 1:
        raise ValueError(f"epochs is {epochs!r}; it must be a whole number of at least 1")
    if not isinstance(epoch, Real) or not 0 <= epoch <= epochs:
        raise ValueError(f"epoch is {epoch!r}; it must be from 0 to epochs = {epochs}")
    for name, value in (("start", start), ("end", end)):
        if not (isinstance(value, Real) and value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} is {value!r}; it must be positive and finite")
    return start * (end / start) ** (epoch / epochs)
