"""How many subnets cost how much, resolution by resolution, on a grid of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lithe.pssnet.block import Term
from lithe.pssnet.elimination import Step
from lithe.pssnet.space import TooCoupledError

__all__ = ["Lattice", "extremes", "packed"]

#: Numbers that the tables of one resolution may hold: 32 MiB of float64.
TABLE_LIMIT = 1 << 22
#: Additions that filling them may take.
WORK_LIMIT = 1 << 31


class Lattice:
    """Weighted counts of all subnets of a resolution by their cost, rounded to cells.

    Every step's cost is rounded to whole cells, so a subnet of cell ``c`` truly costs between
    ``base + c * cell + below`` and ``base + c * cell + above``.

    Args:
        terms: the resource's terms at this resolution.
        steps: order of summation.
        sizes: number of options of each width.
        weights: weight of every option of each width.
        cell: size of a cell, in the resource's unit.

    Attributes:
        fixed: what every subnet costs, whatever its widths.
        base: cost of cell 0.
        below: the most by which rounding overstates a cost, zero or negative.
        above: the most by which it understates one.
        totals: weight of all subnets of each cell ``(cells,)``.

    Raises:
        TooCoupledError: the tables would grow beyond reason.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        steps: Sequence[Step],
        sizes: Sequence[int],
        weights: Sequence[Sequence[float]],
        cell: float,
    ) -> None:
        from lithe.pssnet.walk import forward

        self.cell = cell
        self.fixed = float(sum(term.values.item() for term in terms if not term.depends))
        self.base = self.fixed
        self.below = self.above = 0.0
        tables, candidates, values, heads = [np.ones((1, 1))], [], [], []
        start = 0
        for step in steps:
            exact, previous, option = _candidates(terms, step, sizes)
            shift = self._round(exact)
            weight = np.asarray(weights[step.variable])[option]
            columns = tables[-1].shape[1] + int(shift.max())
            _check_size(tables, exact.shape, columns, step)
            tables.append(forward(tables[-1], previous, shift, weight, columns))
            candidates.append(np.stack([previous, option, shift], -1).reshape(-1, 3))
            values.append(np.stack([weight, exact], -1).reshape(-1, 2))
            heads.append((start, exact.shape[1], step.variable))
            start += exact.size
        self.totals = tables[-1][0]
        self._pack(tables, candidates, values, heads)

    def _round(self, exact: np.ndarray) -> np.ndarray:
        """Costs of a step in whole cells above its least; widens the bounds accordingly."""
        least = float(exact.min())
        shift = np.rint((exact - least) / self.cell).astype(np.int64)
        error = exact - least - shift * self.cell
        self.base += least
        self.below += min(0.0, float(error.min()))
        self.above += max(0.0, float(error.max()))
        return shift

    def _pack(self, tables: list, candidates: list, values: list, heads: list) -> None:
        starts = np.cumsum([0, *(table.size for table in tables)])
        self.counts = np.concatenate([table.ravel() for table in tables])
        self.table = np.array([(s, t.shape[1]) for s, t in zip(starts, tables)], dtype=np.int64)
        self.candidates = np.concatenate(candidates).astype(np.int64)
        self.values = np.concatenate(values).astype(np.float64)
        self.steps = np.array(heads, dtype=np.int64)

    def band(self, low: float, high: float) -> tuple[int, int]:
        """The cells ``[first, last)`` that hold every subnet that costs ``low`` to ``high``."""
        slack = 1e-9 * (1 + abs(low) + abs(high)) / self.cell
        first = np.ceil((low - self.base - self.above) / self.cell - slack)
        last = np.floor((high - self.base - self.below) / self.cell + slack) + 1
        end = len(self.totals)
        return int(min(max(first, 0), end)), int(min(max(last, 0), end))


def packed(lattices: Sequence[Lattice]) -> tuple[np.ndarray, ...]:
    """Lattices end to end, one a resolution, as the first six arguments of ``walk`` want them."""
    counts = np.cumsum([0, *(len(own.counts) for own in lattices)])
    rows = np.cumsum([0, *(len(own.candidates) for own in lattices)])
    return (
        np.concatenate([own.counts for own in lattices]),
        np.stack([np.add(own.table, (start, 0)) for own, start in zip(lattices, counts)]),
        np.concatenate([own.candidates for own in lattices]),
        np.concatenate([own.values for own in lattices]),
        np.stack([np.add(own.steps, (start, 0, 0)) for own, start in zip(lattices, rows)]),
        np.array([own.fixed for own in lattices]),
    )


def extremes(
    terms: Sequence[Term], steps: Sequence[Step], sizes: Sequence[int]
) -> tuple[float, float]:
    """The least and the greatest cost of any subnet, exactly."""
    fixed = sum(term.values.item() for term in terms if not term.depends)
    least = greatest = np.zeros(1)
    for step in steps:
        exact, previous, _ = _candidates(terms, step, sizes)
        least = (least[previous] + exact).min(1)
        greatest = (greatest[previous] + exact).max(1)
    return float(fixed + least[0]), float(fixed + greatest[0])


def _candidates(
    terms: Sequence[Term], step: Step, sizes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What can happen in a step, for each state after it.

    Returns:
        Cost that the step adds, state before, and option of the entering width, each
        ``(states after, candidates of each)``.
    """
    shape = tuple(sizes[j] for j in step.scope)
    if np.prod(shape, dtype=float) > TABLE_LIMIT:
        raise TooCoupledError(f"widths {step.scope} meet in one place: {shape} combinations")
    exact = np.zeros(shape)
    for t in step.terms:
        exact += _spread(terms[t], step.scope, shape)
    states = np.arange(int(np.prod(shape[:-1], dtype=np.int64))).reshape(*shape[:-1], 1)
    previous = np.broadcast_to(states, shape)
    option = np.broadcast_to(np.arange(shape[-1]), shape)
    stay = [step.scope.index(j) for j in step.frontier]
    order = stay + [axis for axis in range(len(shape)) if axis not in stay]
    after = int(np.prod([shape[axis] for axis in stay], dtype=np.int64))
    return tuple(
        np.ascontiguousarray(np.transpose(a, order).reshape(after, -1))
        for a in (exact, previous, option)
    )


def _spread(term: Term, scope: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """A term's values as an array that broadcasts over the scope."""
    axes = [scope.index(j) for j in term.depends]
    values = np.transpose(term.values, np.argsort(axes))
    target = [shape[axis] if axis in axes else 1 for axis in range(len(shape))]
    return values.reshape(target)


def _check_size(tables: list[np.ndarray], shape: tuple[int, int], columns: int, step: Step) -> None:
    held = sum(table.size for table in tables) + shape[0] * columns
    work = shape[0] * shape[1] * tables[-1].shape[1]
    if held > TABLE_LIMIT or work > WORK_LIMIT:
        raise TooCoupledError(
            f"counting subnets needs {held} numbers where widths {step.scope} meet"
        )
