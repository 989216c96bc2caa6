"""The two inner loops of the exact sampler, compiled: sum over subnets, walk back through them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

__all__ = ["forward", "walk"]


def _compiled(function: Callable) -> Callable:
    """Compile on first use, and keep the result on disk where there is a place for it."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # an installation that nobody may write to
        return njit(nogil=True)(function)


@_compiled
def forward(
    before: np.ndarray, previous: np.ndarray, shift: np.ndarray, weight: np.ndarray, columns: int
) -> np.ndarray:
    """Extend weighted counts of partial subnets by one width.

    Args:
        before: weight of all partial subnets by state and cell ``(p, c)``.
        previous: state that each candidate comes from ``(f, e)``.
        shift: cells that it adds ``(f, e)``.
        weight: its weight ``(f, e)``.
        columns: cells of the result.

    Returns:
        Weights by new state and cell ``(f, columns)``.
    """
    after = np.zeros((previous.shape[0], columns))
    for f in range(previous.shape[0]):
        for e in range(previous.shape[1]):
            p, s, w = previous[f, e], shift[f, e], weight[f, e]
            for c in range(before.shape[1]):
                after[f, c + s] += w * before[p, c]
    return after


@_compiled
def walk(
    counts: np.ndarray,  # all tables of weights, end to end
    table: np.ndarray,  # (r, steps + 1, 2): where each table starts, its number of cells
    candidates: np.ndarray,  # (m, 3): previous state, option, shift; all steps end to end
    values: np.ndarray,  # (m, 2): weight, exact cost
    steps: np.ndarray,  # (r, steps, 3): where its candidates start, candidates a state, variable
    fixed: np.ndarray,  # (r,) what every subnet of the resolution costs
    running: np.ndarray,  # (b,) running sum of the weights of the bin's cells
    place: np.ndarray,  # (b, 2): resolution and cell
    uniforms: np.ndarray,  # (n, 1 + steps) in [0, 1)
    options: np.ndarray,  # (n, 1 + widths) out: the resolution, the option of every width
    totals: np.ndarray,  # (n,) out: the exact cost
) -> None:
    """Draw subnets from the cells of a bin, each with probability proportional to its weight.

    The cell is drawn by its weight. Then, from the last step to the first, a candidate is taken
    with probability ``weight of all partial subnets that lead to it / weight of the state``: the
    exact conditional distribution.
    """
    for i in range(uniforms.shape[0]):
        at = np.searchsorted(running, uniforms[i, 0] * running[-1], side="right")
        r, cell = place[min(at, running.shape[0] - 1)]
        state, total = 0, fixed[r]
        for j in range(steps.shape[1] - 1, -1, -1):
            start, width, variable = steps[r, j, 0], steps[r, j, 1], steps[r, j, 2]
            here = table[r, j + 1, 0] + state * table[r, j + 1, 1] + cell
            left = uniforms[i, 1 + j] * counts[here]
            base, columns = table[r, j, 0], table[r, j, 1]
            chosen = -1
            for m in range(start + state * width, start + (state + 1) * width):
                before = cell - candidates[m, 2]
                if before < 0 or before >= columns:
                    continue
                mass = values[m, 0] * counts[base + candidates[m, 0] * columns + before]
                if mass > 0.0:
                    chosen = m
                    left -= mass
                    if left < 0.0:
                        break
            options[i, 1 + variable] = candidates[chosen, 1]
            total += values[chosen, 1]
            state, cell = candidates[chosen, 0], cell - candidates[chosen, 2]
        options[i, 0] = r
        totals[i] = total
