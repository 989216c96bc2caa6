"""Which branches of a patch are worth having, and what each step up buys."""

from __future__ import annotations

import numpy as np

__all__ = ["steps", "upper_hull"]


def upper_hull(gains: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Which branches lie on the upper convex hull of (cost, gain), for every patch.

    Only these are ever the best buy: of two branches on a straight line the one between is left
    out, of two with equal cost the better one stays, and nothing dearer than the best stays.

    Args:
        gains: ``(n, m)``, finite.
        costs: ``(m,)``, finite.

    Returns:
        bool ``(n, m)``; every row has the best of the cheapest branches.
    """
    order = np.lexsort((np.arange(len(costs)), costs))
    on = np.zeros(gains.shape, dtype=bool)
    rows = np.arange(len(gains))
    here = _cheapest(gains, costs)
    alive = np.ones(len(gains), dtype=bool)
    while alive.any():
        on[rows[alive], here[alive]] = True
        ahead, best = np.full(len(gains), -1), np.zeros(len(gains))
        for j in order:  # the steepest way up from here; of equal ones the furthest
            rise, run = gains[:, j] - gains[rows, here], costs[j] - costs[here]
            slope = np.divide(rise, run, out=np.zeros(len(gains)), where=run > 0)
            further = (slope == best) & (costs[j] > costs[ahead])
            better = (slope > 0) & ((slope > best) | further)
            ahead, best = np.where(better, j, ahead), np.where(better, slope, best)
        alive &= ahead >= 0
        here = np.where(alive, ahead, here)
    return on


def _cheapest(gains: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """The best branch of the lowest cost, per patch; the first of equals."""
    lowest = np.flatnonzero(costs == costs.min())
    return lowest[gains[:, lowest].argmax(1)]


def steps(gains: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, ...]:
    """All steps up the hulls of all patches, best value for money first.

    Within one patch the steps come in order, since a hull grows flatter; of equal ones the
    patch with the lower number comes first.

    Args:
        gains: ``(n, m)``, finite.
        costs: ``(m,)``, finite.

    Returns:
        ``(start, patch, branch, cost)``: the branch that every patch begins with ``(n,)``; and
        for each step its patch, the branch it leads to and what it costs more, each ``(s,)``.
    """
    start = _cheapest(gains, costs)
    on = upper_hull(gains, costs)
    order = np.lexsort((np.arange(len(costs)), costs))
    current = start.copy()
    last = np.full(len(gains), np.inf)  # rounding must not turn two steps of a patch around
    patches, branches, extras, slopes = [], [], [], []
    for j in order:
        up = np.flatnonzero(on[:, j] & (current != j) & (costs[j] > costs[current]))
        extra = costs[j] - costs[current[up]]
        patches.append(up)
        branches.append(np.full(len(up), j))
        extras.append(extra)
        last[up] = np.minimum((gains[up, j] - gains[up, current[up]]) / extra, last[up])
        slopes.append(last[up])
        current[up] = j
    patch, branch, extra, slope = map(np.concatenate, (patches, branches, extras, slopes))
    first = np.lexsort((np.arange(len(patch)), patch, -slope))
    return start, patch[first], branch[first], extra[first]
