"""The paper's rule: which branch a patch takes at a given exchange rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["choose", "choose_all", "eta_for"]


def choose(psnr: Sequence[float], costs: Sequence[float], eta: float | str) -> int:
    """Branch of one patch: ``argmax_j (eta P_j - C_j)``, the first of equals.

    Source: ARM spec 5.2. With an entry of the table that is not a number (an empty bin as
    released, ARM spec 4.3) the first such branch is taken.

    Args:
        psnr: predicted quality of each branch ``(m,)``, dB, or any unit where more is better.
        costs: cost of each branch ``(m,)``.
        eta: cost that one unit of quality is worth, 0 or more; ``"best"`` or infinity asks for
            the best branch at any cost. The published ``k`` is ``eta / max(costs)``.

    Raises:
        ValueError: the lengths differ, or ``eta`` is negative.
    """
    return int(choose_all(np.asarray(psnr, dtype=np.float64)[None], costs, eta)[0])


def choose_all(psnr: np.ndarray, costs: Sequence[float], eta: float | str) -> np.ndarray:
    """Branches of many patches: quality ``(n, m)`` to int64 ``(n,)``; see :func:`choose`."""
    value, cost = np.asarray(psnr, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if value.ndim != 2 or cost.shape != value.shape[1:] or not len(cost):
        raise ValueError(
            f"quality is of shape {value.shape} and costs of {cost.shape}; give one entry of "
            "each per branch"
        )
    rate = math.inf if eta == "best" else eta
    if not isinstance(rate, int | float | np.number) or isinstance(rate, bool) or not rate >= 0:
        raise ValueError(f"eta is {eta!r}; it is a cost per unit of quality, 0 or more, or 'best'")
    return (value if math.isinf(rate) else rate * value - cost).argmax(1)


def eta_for(psnr: np.ndarray, costs: Sequence[float], budget: float) -> float:
    """The largest useful ``eta`` of the paper's rule whose total cost fits a budget.

    Source: ARM spec 5.6. The total is a rising step function of ``eta``; bisection finds the
    last step below the budget. A whole bin of patches changes sides at each step, so the
    budget may be missed by a bin: :func:`lithe.arm.allocate` splits bins and does not.

    Args:
        psnr: predicted quality ``(n, m)``, finite.
        costs: cost of each branch ``(m,)``.
        budget: for all patches together, in the unit of ``costs``.

    Returns:
        ``eta``; infinity when the budget pays for the best branch everywhere.

    Raises:
        ValueError: not even the cheapest choice fits.
    """
    cost = np.asarray(costs, dtype=np.float64)

    def total(eta: float) -> float:
        return float(cost[choose_all(psnr, cost, eta)].sum())

    if total(0.0) > budget:
        raise ValueError(f"budget {budget:g} is below {total(0.0):g}, the cheapest choice")
    if total(math.inf) <= budget:
        return math.inf
    low, high = 0.0, max(float(cost.max()), 1.0)
    while total(high) <= budget and high < 1e300:
        low, high = high, 4 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if total(middle) <= budget else (low, middle)
    return low
