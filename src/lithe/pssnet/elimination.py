"""In which order to sum over widths so that few have to be remembered at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

__all__ = ["Step", "elimination"]


@dataclass(frozen=True)
class Step:
    """One width enters a sum over all subnets, and those that no later term needs leave it.

    Attributes:
        variable: the width that enters.
        scope: the widths that are alive during the step: the frontier before, then ``variable``.
        frontier: the widths that stay alive.
        terms: positions of the terms that are complete with this width.
    """

    variable: int
    scope: tuple[int, ...]
    frontier: tuple[int, ...]
    terms: tuple[int, ...]


def elimination(depends: Sequence[tuple[int, ...]], sizes: Sequence[int]) -> tuple[Step, ...]:
    """Order the widths greedily by the size of the frontier that each would leave.

    In a chain (every term joins neighbours) the frontier is one width; in a residual network a
    stage's width and the current block's.

    Args:
        depends: the widths of each term.
        sizes: number of options of each width.

    Returns:
        One step per width.
    """
    return tuple(_steps([frozenset(term) for term in depends], sizes))


def _steps(terms: list[frozenset[int]], sizes: Sequence[int]) -> Iterator[Step]:
    seen: set[int] = set()
    frontier: tuple[int, ...] = ()
    while len(seen) < len(sizes):
        left = (j for j in range(len(sizes)) if j not in seen)
        variable = min(left, key=lambda j: prod(sizes[k] for k in _frontier(terms, seen | {j})))
        scope = (*frontier, variable)
        complete = tuple(
            t for t, term in enumerate(terms) if variable in term and term <= seen | {variable}
        )
        seen.add(variable)
        frontier = _frontier(terms, seen)
        yield Step(variable, scope, frontier, complete)


def _frontier(terms: list[frozenset[int]], seen: set[int]) -> tuple[int, ...]:
    """Widths seen that a term with an unseen width still needs."""
    alive = {j for term in terms if not term <= seen for j in term & seen}
    return tuple(sorted(alive))
