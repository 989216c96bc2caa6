"""Routes that spend a budget: the best buys first, until it is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lithe.arm.hull import steps

__all__ = ["BudgetError", "allocate"]


class BudgetError(ValueError):
    """The budget does not pay for the cheapest branch everywhere.

    Attributes:
        least: the smallest budget that would do, in the unit of the costs.
    """

    def __init__(self, budget: float, least: float, patches: int) -> None:
        super().__init__(
            f"budget {budget:g} is below {least:g}, what the cheapest branch costs on all "
            f"{patches} patches"
        )
        self.least = least


def allocate(gains: np.ndarray, costs: Sequence[float] | np.ndarray, budget: float) -> np.ndarray:
    """Choose a branch per patch so that the total gain is largest within a budget.

    Every patch begins with its cheapest branch; steps up the hulls of (cost, gain) are then
    bought in order of gain per cost while the budget lasts (the paper's rule at the ``eta``
    that bisection would find, ARM spec 5.6), and the rest is spent on the next best steps that
    still fit. What is left over is less than one step. More budget never means a worse total.

    Args:
        gains: quality of each branch on each patch ``(n, m)``, more is better; differences
            within a row count.
        costs: of each branch on one patch ``(m,)``, MACs, milliseconds or any unit, 0 or more.
        budget: for all patches together, in that unit; infinity for the best everywhere.

    Returns:
        Branch of each patch, int64 ``(n,)``.

    Raises:
        BudgetError: the budget is too small for the cheapest branches.
        ValueError: shapes do not fit, or a number is not finite.
    """
    gains, costs = _checked(gains, costs, budget)
    route, patch, branch, extra = steps(gains, costs)
    left = float(budget) - float(costs[route].sum())
    if left < -1e-9 * abs(float(budget)):  # a budget that was summed in another order still fits
        raise BudgetError(budget, float(costs[route].sum()), len(gains))
    affordable = int(np.searchsorted(extra.cumsum(), left * (1 + 1e-12), side="right"))
    route = route.copy()
    route[patch[:affordable]] = branch[:affordable]  # steps of a patch are in rising order
    if affordable < len(extra):
        left -= float(extra[:affordable].sum())
        _spend_rest(route, patch[affordable:], branch[affordable:], extra[affordable:], left)
    return route


def _spend_rest(
    route: np.ndarray, patch: np.ndarray, branch: np.ndarray, extra: np.ndarray, left: float
) -> None:
    """Buy later steps that fit into what is left, each patch's in order; changes ``route``."""
    stopped: set[int] = set()
    smallest = np.minimum.accumulate(extra[::-1])[::-1]  # nothing cheaper comes after
    for k in range(len(extra)):
        if smallest[k] > left:
            return
        if patch[k] in stopped:
            continue
        if extra[k] <= left:
            route[patch[k]] = branch[k]
            left -= float(extra[k])
        else:
            stopped.add(int(patch[k]))


def _checked(
    gains: np.ndarray, costs: Sequence[float] | np.ndarray, budget: float
) -> tuple[np.ndarray, np.ndarray]:
    gains, costs = np.asarray(gains, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if gains.ndim != 2 or costs.shape != gains.shape[1:] or not len(costs):
        raise ValueError(
            f"gains are of shape {gains.shape} and costs of {costs.shape}; give (n, m) and (m,)"
        )
    if not (np.isfinite(gains).all() and np.isfinite(costs).all() and costs.min() >= 0):
        raise ValueError(f"gains and costs must be finite and costs 0 or more; costs are {costs}")
    if np.isnan(budget):
        raise ValueError("budget is not a number")
    return gains, costs
