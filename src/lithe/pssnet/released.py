"""The released sampler: one histogram per width, given the budget, and try until it fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from lithe.pssnet.budget import Budget
from lithe.pssnet.costs import Costs, Resource
from lithe.pssnet.exact import EmptyBinError
from lithe.pssnet.space import Space, Subnet

__all__ = ["Draw", "ReleasedSampler"]

#: Trials after which a draw gives up; the released code has no cap.
TRIALS = 100_000
#: Configurations drawn at a time while the histograms are filled.
CHUNK = 50_000


@dataclass(frozen=True)
class Draw:
    """A subnet that the released sampler found.

    Attributes:
        subnet: what it computes.
        ratios: how the released code writes it down: one ratio for each width, three decimals.
        trials: configurations tried until one was inside the bin.
    """

    subnet: Subnet
    ratios: tuple[float, ...]
    trials: int = field(default=1, compare=False)


class ReleasedSampler:
    """Draws from the product of conditional histograms, rejecting what is outside the bin.

    Source: PSS-Net spec 3.2. Of ``draws`` configurations of the space, those of a target give a
    histogram of resolutions and one of ratios for each width. A draw takes each from its own
    histogram, independently, until their cost is inside. The constraint so counts twice, in the
    histograms and in the rejection, and the result is sharper than the space; targets that no
    configuration hit have no histogram.

    Args:
        space: the space; ratios are thousandths if it has any, else its choices.
        budget: the targets.
        generator: where the offline configurations come from.
        resource: what ``budget`` is about.
        draws: configurations that build the histograms, those outside all targets not counted.

    Attributes:
        counts: configurations of each target that has any.

    Raises:
        ValueError: ``draws`` is not positive.
        EmptyBinError: configurations practically never hit a target.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        generator: torch.Generator,
        resource: Resource = "macs",
        draws: int = 100_000,
    ) -> None:
        if draws < 1:
            raise ValueError(f"draws is {draws!r}; it must be at least 1")
        self.space = space
        self.budget = budget
        self.costs = Costs(space, resource)
        self._atoms = [_atoms(space, j) for j in range(len(space.choices))]
        rows, targets = self._collect(draws, generator)
        self._fill(rows, targets)

    @property
    def targets(self) -> tuple[float, ...]:
        """Targets that some configuration hit, ascending."""
        return tuple(sorted(self.counts))

    def draw(self, target: float, generator: torch.Generator) -> Draw:
        """One subnet of a target's bin.

        Args:
            target: one of ``targets``.
            generator: where the randomness comes from, on the CPU.

        Raises:
            EmptyBinError: the target has no histogram, or nothing fits after 100,000 trials.
        """
        self._check(target)
        running, values = self._histograms[target]
        for trial in range(1, TRIALS + 1):
            u = torch.rand(len(running), dtype=torch.float64, generator=generator).tolist()
            picked = [row[int(c.searchsorted(x, "right"))] for row, c, x in zip(values, running, u)]
            ratios, widths = self._read(picked[1:])
            subnet = Subnet(self.space.resolutions[picked[0]], widths)
            if self.budget.contains(target, self.costs.cost(subnet)):
                return Draw(subnet, ratios, trial)
        raise EmptyBinError(f"nothing hit the bin of {target!r} in {TRIALS} trials")

    def _read(self, atoms: list[int]) -> tuple[tuple[float, ...], tuple[int, ...]]:
        own = [(table[0][a], table[1][a]) for table, a in zip(self._lists, atoms)]
        return tuple(ratio for ratio, _ in own), tuple(width for _, width in own)

    @cached_property
    def _lists(self) -> list[tuple[list[float], list[int]]]:
        return [
            (ratios.tolist(), [row[k] for k in options])
            for (ratios, options, _), row in zip(self._atoms, self.space.choices)
        ]

    def marginal(self, target: float, position: int | None = None) -> dict[float, float]:
        """A histogram: how likely each ratio of a width is; of resolutions if no width is named.

        Raises:
            EmptyBinError: the target has no histogram.
        """
        self._check(target)
        running, values = self._histograms[target]
        at = 0 if position is None else position + 1
        chance = np.diff(running[at], prepend=0.0)
        names = self.space.resolutions if position is None else self._atoms[position][0].tolist()
        return {names[v]: float(p) for v, p in zip(values[at], chance)}

    def _check(self, target: float) -> None:
        if target not in self.counts:
            seen = self.targets
            raise EmptyBinError(
                f"no configuration fell into the bin of {target!r}; targets with histograms reach "
                f"from {seen[0]!r} to {seen[-1]!r}"
            )

    def _collect(self, draws: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Configurations inside some target: resolution and atom of each width, and the target."""
        kept, found = [], 0
        for chunk in self._chunks(draws, generator):
            kept.append(chunk)
            found += len(chunk[0])
            if found >= draws:
                break
        rows, targets = (np.concatenate(column)[:draws] for column in zip(*kept))
        if len(rows) < draws:
            raise EmptyBinError(f"only {len(rows)} configurations hit any target of {self.budget}")
        return rows, targets

    def _chunks(
        self, draws: int, generator: torch.Generator
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        tables = [self.space.resolution_weights, *(weights for *_, weights in self._atoms)]
        running = [np.cumsum(table) / np.sum(table) for table in tables]
        for _ in range(20 + 20 * draws // CHUNK):
            size = (min(draws, CHUNK), len(tables))
            u = torch.rand(*size, dtype=torch.float64, generator=generator).numpy()
            rows = np.stack(
                [np.minimum(c.searchsorted(x, "right"), len(c) - 1) for c, x in zip(running, u.T)],
                1,
            )
            targets = np.array([self.budget.target(cost) for cost in self._cost(rows).tolist()])
            inside = (targets > self.budget.start) & (targets < self.budget.stop)
            yield rows[inside], targets[inside]

    def _cost(self, rows: np.ndarray) -> np.ndarray:
        options = np.stack([own[1][a] for own, a in zip(self._atoms, rows[:, 1:].T)], 1)
        total = np.empty(len(rows))
        for r, resolution in enumerate(self.space.resolutions):
            at = rows[:, 0] == r
            total[at] = self.costs.many(resolution, options[at])
        return total

    def _fill(self, rows: np.ndarray, targets: np.ndarray) -> None:
        self.counts: dict[float, int] = {}
        self._histograms: dict[float, tuple[list[np.ndarray], list[list[int]]]] = {}
        for target in np.unique(targets).tolist():
            own = rows[targets == target]
            tables = [np.unique(column, return_counts=True) for column in own.T]
            running = [np.cumsum(counts) / len(own) for _, counts in tables]
            for row in running:
                row[-1] = 1.0
            self.counts[target] = len(own)
            self._histograms[target] = running, [values.tolist() for values, _ in tables]


def _atoms(space: Space, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is drawn for a width: ratios, the option each leads to, and weights.

    Ratios are thousandths with half the mass at both ends (spec 2.1); a space without ratios
    offers its choices, as ratios of the widest.
    """
    row = space.choices[position]
    if space.ratios is None:
        ratios = np.array(row) / row[-1]
        return ratios, np.arange(len(row)), np.array(space.weights[position])
    first, last = (round(1000 * ratio) for ratio in space.ratios)
    ratios = np.arange(first, last + 1) / 1000
    options = [row.index(space.channels(position, float(ratio))) for ratio in ratios]
    weights = np.ones(len(ratios))
    if len(ratios) > 1:
        weights[[0, -1]] = 0.5
    return ratios, np.array(options), weights
