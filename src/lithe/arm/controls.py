"""What routing is measured against: chance, the plain order of scores, hindsight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lithe.arm.budget import allocate

__all__ = ["by_score", "chord", "oracle", "random_routes", "shuffled"]


def shuffled(routes: np.ndarray, generator: torch.Generator, keep: int | None = None) -> np.ndarray:
    """The same routes dealt out to the patches at random: equal cost, no information.

    Source: ARM spec 8.4.

    Args:
        routes: ``(n,)``.
        generator: source of the order.
        keep: patches on this branch stay as they are (0: shuffle among the rest alone).
    """
    moving = np.flatnonzero(routes != keep) if keep is not None else np.arange(len(routes))
    order = torch.randperm(len(moving), generator=generator).numpy()
    dealt = routes.copy()
    dealt[moving] = routes[moving[order]]
    return dealt


def by_score(routes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The same routes in rising order of the score: the harder the patch, the larger the branch.

    Source: ARM spec 8.4. Branches are numbered from cheap to dear.
    """
    dealt = np.empty_like(routes)
    dealt[np.argsort(scores, kind="stable")] = np.sort(routes)
    return dealt


def random_routes(
    n: int, costs: Sequence[float], budget: float, generator: torch.Generator
) -> np.ndarray:
    """Routes within a budget that know nothing of the patches.

    Every step up of every patch gets a random worth, higher ones for the first steps, and the
    budget goes to the worthiest, as it does with real gains.

    Args:
        n: patches.
        costs: of each branch ``(m,)``.
        budget: for all patches together.
        generator: source of the numbers.
    """
    costs = np.asarray(costs, np.float64)
    order = costs.argsort(kind="stable")
    worth = torch.rand((n, len(costs) - 1), generator=generator, dtype=torch.float64)
    rises = worth.sort(1, descending=True).values.numpy() * np.diff(costs[order])
    gains = np.zeros((n, len(costs)))
    gains[:, order[1:]] = rises.cumsum(1)
    return allocate(gains, costs, budget)


def oracle(errors: np.ndarray, costs: Sequence[float], budget: float) -> np.ndarray:
    """Routes of someone who knows the squared error of every branch on every patch.

    No routes within the budget have a smaller total error, up to one step of one patch.

    Args:
        errors: measured ``(n, m)``, 0..255 ** 2.
        costs: of each branch ``(m,)``.
        budget: for all patches together.
    """
    return allocate(-np.asarray(errors, np.float64), costs, budget)


def chord(
    costs: Sequence[float], values: Sequence[float], budget: float | np.ndarray
) -> float | np.ndarray:
    """Quality of the best random mixture of single branches at a mean cost per patch.

    Source: ARM spec 8.3 ("mix"): straight lines between the points of the single branches.

    Args:
        costs: of each branch ``(m,)``, rising.
        values: quality of the whole set with each branch alone ``(m,)``.
        budget: mean cost per patch.
    """
    found = np.interp(budget, np.asarray(costs, np.float64), np.asarray(values, np.float64))
    return float(found) if np.ndim(found) == 0 else found
