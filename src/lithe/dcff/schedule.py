"""Inverse temperature: how sharp the mixing of filters is, epoch by epoch."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Literal, get_args

__all__ = ["Kind", "inverse_temperature"]

Kind = Literal["paper", "geometric", "stretched", "constant"]

#: Slope times epochs at which the paper's ramp has reached 0.9999 of its way.
RAMP = 10.0


def inverse_temperature(
    epoch: float,
    epochs: int,
    start: float = 1.0,
    end: float = 1e4,
    slope: float = 1.0,
    kind: Kind = "paper",
) -> float:
    """Inverse temperature ``T`` of an epoch; the softmax of proxies uses logits ``-T D``.

    Source: DCFF spec 2.4; ``"paper"`` is what the released code computes, in the equivalent form
    ``T(e) = T_s + (T_e - T_s) tanh(κ e / 2) / tanh(κ E / 2)``. It is a ramp of about five epochs,
    however long the run: with filter distances near 1, rows are one-hot from epoch 1 on.

    Args:
        epoch: ``e``, from 0 to ``epochs`` (fractions allowed).
        epochs: ``E``, at least 1.
        start: ``T_s``, inverse temperature at epoch 0.
        end: ``T_e``; reached at ``E`` (paper, stretched) or at the last epoch ``E - 1``
            (geometric).
        slope: ``κ`` of the paper's ramp.
        kind: ``"paper"``; ``"geometric"``, equal factors from ``start`` to ``end``, which spans
            training; ``"stretched"``, the paper's ramp with its slope scaled to the run
            (``10 κ / E``); ``"constant"``, always ``start``.

    Returns:
        ``T(e)``.

    Raises:
        ValueError: an argument is out of range or ``kind`` is unknown.
    """
    _check(epoch, epochs, start, end, slope, kind)
    if kind == "constant":
        return float(start)
    if kind == "geometric":
        share = min(1.0, epoch / (epochs - 1)) if epochs > 1 else 0.0
        return start * (end / start) ** share
    if kind == "stretched":
        slope = RAMP * slope / epochs
    return start + (end - start) * math.tanh(slope * epoch / 2) / math.tanh(slope * epochs / 2)


def _check(epoch: float, epochs: int, start: float, end: float, slope: float, kind: str) -> None:
    if kind not in get_args(Kind):
        raise ValueError(f"kind is {kind!r}; known are {', '.join(get_args(Kind))}")
    if isinstance(epochs, bool) or not isinstance(epochs, Integral) or epochs < 1:
        raise ValueError(f"epochs is {epochs!r}; it must be a whole number of at least 1")
    if not isinstance(epoch, Real) or not 0 <= epoch <= epochs:
        raise ValueError(f"epoch is {epoch!r}; it must be from 0 to epochs = {epochs}")
    for name, value in (("start", start), ("end", end), ("slope", slope)):
        if not (isinstance(value, Real) and value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} is {value!r}; it must be positive and finite")
