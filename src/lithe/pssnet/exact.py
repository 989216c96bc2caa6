"""Subnets at a budget, exactly: always inside the bin, without bias, fast at its ends too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal, get_args

import numpy as np
import torch

from lithe.pssnet.costs import Costs, Resource
from lithe.pssnet.elimination import elimination
from lithe.pssnet.lattice import Lattice, extremes, packed
from lithe.pssnet.space import Space, Subnet, TooCoupledError

__all__ = ["EmptyBinError", "ExactSampler", "Law", "sample_at"]

Law = Literal["uniform", "space"]

#: Draws without success after which a bin is taken for empty.
PATIENCE = 20_000
#: Single attempts before many at a time.
FIRST = 4
#: Cells across the widest resolution: rounding then costs about one draw in ten.
CELLS = 2048
#: Fewer cells than these are no use.
COARSEST = 64
#: Bins whose cells are remembered.
BINS = 512


class EmptyBinError(ValueError):
    """No subnet lies in the bin; the message says what can be reached."""


@dataclass(frozen=True)
class _Bin:
    """The cells that may hold a subnet of a bin, and the running sum of their weights."""

    low: float
    high: float
    place: np.ndarray  # (m, 2) position of the resolution, and cell
    running: np.ndarray  # (m,) of all weights up to this one


class ExactSampler:
    """Draws subnets whose cost lies in a given interval, each as likely as the law says.

    All subnets are counted by resolution and rounded cost (dynamic programming over the widths),
    once. A draw picks a cell that the interval touches by its count, walks back through the
    counts to a subnet, and is kept if its true cost is inside. Every subnet inside is proposed
    with the same probability, so the result is unbiased whatever the rounding; a finer grid only
    rejects less. Counts are float64: probabilities are right to about 1e-12.

    Args:
        space: the space.
        resource: ``"macs"``, a latency table, or a function of a block.
        law: ``"uniform"``: all subnets inside are equally likely; ``"space"``: as likely as under
            :meth:`Space.sample <lithe.pssnet.space.Space.sample>`, given that they are inside.
        cells: grid cells across the costs of the resolution where they spread most.

    Attributes:
        range: least and greatest cost of any subnet, exactly.

    Raises:
        TooCoupledError: so many widths meet in one place that the counts do not fit.
        MissingEntryError: the latency table lacks a block of the space.
    """

    def __init__(
        self,
        space: Space,
        resource: Resource = "macs",
        law: Law = "uniform",
        cells: int = CELLS,
    ) -> None:
        from lithe.pssnet.walk import walk  # numba is slow to import: only who samples waits

        if law not in get_args(Law):
            raise ValueError(f"law is {law!r}; it may be {' or '.join(get_args(Law))}")
        self.space = space
        self.law = law
        self.costs = Costs(space, resource)
        self._ranges, self._lattices = self._count(cells)
        self._counts = packed(self._lattices)
        self._walk = walk
        self.range = min(a for a, _ in self._ranges), max(b for _, b in self._ranges)
        self._bins: dict[tuple[float, float], _Bin] = {}

    def _count(self, cells: int) -> tuple[list[tuple[float, float]], list[Lattice]]:
        """Range and counts of every resolution, on a coarser grid where these do not fit."""
        space = self.space
        sizes = [len(row) for row in space.choices]
        terms = list(self.costs.terms.values())
        steps = elimination([term.depends for term in terms[0]], sizes)
        ranges = [extremes(term, steps, sizes) for term in terms]
        spread = max(high - low for low, high in ranges)
        uniform = self.law == "uniform"
        weights = [[1.0] * n for n in sizes] if uniform else space.weights
        while True:
            cell = max(spread, 1e-9 * abs(ranges[0][0]), 1e-12) / cells
            try:
                return ranges, [Lattice(term, steps, sizes, weights, cell) for term in terms]
            except TooCoupledError:
                cells //= 4
                if cells < COARSEST:
                    raise

    def draw(self, target: float, tolerance: float, generator: torch.Generator) -> Subnet:
        """One subnet that costs between ``target - tolerance`` and ``target + tolerance``.

        Args:
            target: budget, in the resource's unit (MACs, microseconds).
            tolerance: half the width of the bin, not negative; both ends belong to it.
            generator: where the randomness comes from, on the CPU.

        Raises:
            EmptyBinError: no subnet is inside; the message says the reachable range.
            ValueError: ``target`` or ``tolerance`` is no such number.
        """
        place = self._bin(target, tolerance)
        for _ in range(FIRST):  # one by one costs least while most are inside
            found = self._attempt(place, 1, generator)
            if found:
                return found[0]
        return self.draw_many(target, tolerance, 1, generator)[0]

    def draw_many(
        self, target: float, tolerance: float, n: int, generator: torch.Generator
    ) -> list[Subnet]:
        """``n`` independent subnets of a bin; see :meth:`draw`."""
        found: list[Subnet] = []
        tried = 0
        place = self._bin(target, tolerance)
        while len(found) < n:
            ask = max(n - len(found), min(tried, 256))
            found += self._attempt(place, ask, generator)
            tried += ask
            if not found and tried > PATIENCE:
                raise EmptyBinError(self._empty(place, f"of {tried} draws near it none was inside"))
        return found[:n]

    def _attempt(self, place: _Bin, n: int, generator: torch.Generator) -> list[Subnet]:
        """Draw ``n`` subnets from the cells of a bin; those that are truly inside, in order."""
        widths = len(self.space.choices)
        u = torch.rand(n, widths + 1, dtype=torch.float64, generator=generator).numpy()
        options = np.empty((n, widths + 1), dtype=np.int64)
        costs = np.empty(n)
        self._walk(*self._counts, place.running, place.place, u, options, costs)
        drawn = zip(self._subnets(options), costs.tolist())
        return [subnet for subnet, cost in drawn if self._inside(place, cost, subnet)]

    def _subnets(self, options: np.ndarray) -> Iterator[Subnet]:
        resolutions, choices = self.space.resolutions, self.space.choices
        for r, *row in options.tolist():
            yield Subnet(resolutions[r], tuple([own[k] for own, k in zip(choices, row)]))

    def _inside(self, place: _Bin, cost: float, subnet: Subnet) -> bool:
        """Whether the subnet is in the bin; a cost at its very edge is added up as a table does."""
        edge = 1e-9 * (1 + abs(cost))
        if not self.costs.whole and min(abs(cost - place.low), abs(cost - place.high)) < edge:
            cost = self.costs.cost(subnet)
        return place.low <= cost <= place.high

    def chance(self, target: float, tolerance: float) -> dict[int, float]:
        """How likely each resolution is in a bin, up to the rounding of costs to cells.

        Raises:
            EmptyBinError: no subnet is inside.
        """
        place = self._bin(target, tolerance)
        weights = np.diff(place.running, prepend=0.0)
        rows = [
            (r, weights[place.place[:, 0] == k].sum()) for k, r in enumerate(self.space.resolutions)
        ]
        return {r: float(w / place.running[-1]) for r, w in rows if w > 0}

    def _bin(self, target: float, tolerance: float) -> _Bin:
        key = (target, tolerance)
        if key not in self._bins:
            if len(self._bins) >= BINS:
                self._bins.pop(next(iter(self._bins)))
            self._bins[key] = self._find(*key)
        return self._bins[key]

    def _find(self, target: float, tolerance: float) -> _Bin:
        if not isfinite(target) or not 0 <= tolerance < inf:
            raise ValueError(f"target {target!r} and tolerance {tolerance!r} must be finite, >= 0")
        low, high = target - tolerance, target + tolerance
        places, weights = [], []
        for r, lattice in enumerate(self._lattices):
            first, last = lattice.band(low, high)
            cells = first + np.flatnonzero(lattice.totals[first:last])
            scale = 1.0 if self.law == "uniform" else self.space.resolution_weights[r]
            places.append(np.stack([np.full(len(cells), r), cells], 1))
            weights.append(scale * lattice.totals[cells])
        running = np.cumsum(np.concatenate(weights))
        place = _Bin(low, high, np.concatenate(places), running)
        if not len(running) or high < self.range[0] or low > self.range[1]:
            raise EmptyBinError(self._empty(place, "the bin is empty"))
        return place

    def _empty(self, place: _Bin, why: str) -> str:
        unit = self.costs.unit
        low, high = self.range
        return (
            f"found no subnet that costs {place.low:.10g} to {place.high:.10g} {unit}: {why}; "
            f"this space reaches from {low:.10g} to {high:.10g} {unit}"
        )


def sample_at(
    space: Space,
    resource: Resource,
    target: float,
    tolerance: float,
    generator: torch.Generator,
    law: Law = "uniform",
) -> Subnet:
    """A random subnet of a budget: always inside its bin, unbiased inside it.

    The counts behind it are made on the first call for a space and resource and kept as long as
    the space lives; see :class:`ExactSampler` to hold them oneself.

    Args:
        space: the space.
        resource: ``"macs"``, a latency table, or a function of a block.
        target: budget, in the resource's unit (MACs, microseconds).
        tolerance: half the width of the bin, not negative; both ends belong to it.
        generator: where the randomness comes from, on the CPU.
        law: ``"uniform"``: every subnet inside is equally likely; ``"space"``: as likely as under
            ``space.sample``, given that it is inside.

    Raises:
        EmptyBinError: no subnet is inside; the message says the reachable range.
        TooCoupledError: the space is too entangled to be counted.
        TypeError: ``generator`` is none.
        ValueError: ``target`` or ``tolerance`` is no such number.
    """
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator is {generator!r}; give a torch.Generator, whose seed is yours")
    kept = vars(space).setdefault("_samplers", {})
    key = (resource, law)
    if key not in kept:
        kept[key] = ExactSampler(space, resource, law)
    return kept[key].draw(target, tolerance, generator)
