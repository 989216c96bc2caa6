"""Curves of accuracy against a resource: envelope, differences, hypervolume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Difference", "difference", "envelope", "hypervolume"]

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Difference:
    """How far one curve lies above another on the range that both cover.

    Attributes:
        mean: average over the range, in the unit of the accuracies.
        least: smallest difference.
        greatest: largest difference.
        low: where the common range begins, in the unit of the resource.
        high: where it ends.
    """

    mean: float
    least: float
    greatest: float
    low: float
    high: float


def envelope(points: Points) -> list[tuple[float, float]]:
    """The best accuracy within each budget: points that no cheaper or equal one matches.

    Args:
        points: pairs of resource and accuracy, in any order.

    Returns:
        Pairs with both coordinates ascending.

    Raises:
        ValueError: there are no points.
    """
    best: list[tuple[float, float]] = []
    for x, y in sorted(_checked(points), key=lambda p: (p[0], -p[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    return best


def difference(
    ours: Points, theirs: Points, within: tuple[float, float] | None = None
) -> Difference:
    """Our envelope minus theirs, both joined by straight lines, on their common range.

    The mean is the exact integral over the range; the extremes lie at corners, so nothing depends
    on a grid. The envelopes include the dearest point of each curve, carried to its full cost.

    Args:
        ours: pairs of resource and accuracy.
        theirs: the same of the other curve.
        within: look at this range of the resource alone.

    Raises:
        ValueError: no points, or no common range.
    """
    a, b = _line(ours), _line(theirs)
    low, high = max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1])
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    if not low < high:
        raise ValueError(f"the curves share no range: {a[0][0]}..{a[0][-1]}, {b[0][0]}..{b[0][-1]}")
    corners = np.unique([low, high, *(x for x in (*a[0], *b[0]) if low < x < high)])
    gap = np.interp(corners, *a) - np.interp(corners, *b)
    mean = np.trapezoid(gap, corners) / (high - low)
    return Difference(float(mean), float(gap.min()), float(gap.max()), float(low), float(high))


def hypervolume(points: Points, dearest: float, worst: float) -> float:
    """Area between a staircase of points and the reference ``(dearest, worst)``.

    Args:
        points: pairs of resource and accuracy.
        dearest: resource of the reference point; dearer points do not count.
        worst: accuracy of the reference point; lower ones do not count.

    Returns:
        The area, in the resource's unit times the accuracy's.

    Raises:
        ValueError: there are no points.
    """
    steps = [(x, y) for x, y in envelope(points) if x <= dearest and y > worst]
    ends = [*(x for x, _ in steps[1:]), dearest]
    return float(sum((end - x) * (y - worst) for (x, y), end in zip(steps, ends)))


def _line(points: Points) -> tuple[np.ndarray, np.ndarray]:
    best = envelope(points)
    dearest = max(x for x, _ in points)
    if dearest > best[-1][0]:
        best.append((dearest, best[-1][1]))
    return tuple(np.array(best, dtype=float).T)


def _checked(points: Points) -> list[tuple[float, float]]:
    found = [(float(x), float(y)) for x, y in points]
    if not found or not np.isfinite(found).all():
        raise ValueError(f"points is {points!r}; give at least one pair of finite numbers")
    return found
