"""Replaying a day of changing load: which subnet runs when, and how often the deadline passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from time import perf_counter_ns

import numpy as np
import torch
from torch import Tensor

from lithe.pssnet.deploy import Deployed, Retained
from lithe.pssnet.space import Subnet

__all__ = ["Replay", "load_trace", "replay"]

FORGETTING = 0.5  # weight of the newest frame in the estimate of the load
WARY = 2.0  # mean delays that are added to the estimate: what jumps about gets more room


@dataclass(frozen=True)
class Replay:
    """What happened, frame by frame.

    Attributes:
        deadline_ms: of each frame ``(n,)``.
        load: slowdown of each frame ``(n,)``, 1 for an idle machine.
        elapsed_ms: time that each frame took ``(n,)``.
        scores: quality of the subnet that ran ``(n,)``.
        subnets: which one.
    """

    deadline_ms: tuple[float, ...]
    load: tuple[float, ...]
    elapsed_ms: tuple[float, ...]
    scores: tuple[float, ...]
    subnets: tuple[Subnet, ...]

    @property
    def missed(self) -> tuple[bool, ...]:
        """Whether each frame came too late."""
        return tuple(t > limit for t, limit in zip(self.elapsed_ms, self.deadline_ms))

    @property
    def miss_rate(self) -> float:
        """Share of the frames that came too late."""
        return sum(self.missed) / len(self.missed)

    @property
    def switches(self) -> int:
        """How often the subnet changed."""
        return sum(a != b for a, b in zip(self.subnets, self.subnets[1:]))

    @property
    def mean_score(self) -> float:
        """Mean quality over all frames."""
        return float(np.mean(self.scores))

    def __str__(self) -> str:
        return (
            f"{len(self.missed)} frames: {self.miss_rate:.1%} missed, mean score"
            f" {self.mean_score:.4g}, {self.switches} switches"
        )


def load_trace(
    frames: int, generator: torch.Generator, most: float = 3.0, stay: float = 0.95
) -> list[float]:
    """A load that jumps now and then: slowdowns from 1 to ``most``, each kept for a while.

    Args:
        frames: how many.
        generator: where the randomness comes from.
        most: largest slowdown, at least 1.
        stay: probability that the next frame has the load of this one.

    Raises:
        ValueError: an argument is out of range.
    """
    if frames < 1 or not 1 <= most < inf or not 0 <= stay < 1:
        raise ValueError(
            f"frames={frames}, most={most}, stay={stay}: at least 1, at least 1, from 0 to below 1"
        )
    u = torch.rand(frames, 2, dtype=torch.float64, generator=generator).tolist()
    load, now = [], 1.0
    for change, level in u:
        now = now if change < stay else most**level
        load.append(now)
    return load


def replay(
    deployed: Deployed,
    deadline_ms: float | Sequence[float],
    load: Sequence[float],
    *,
    fixed: Subnet | None = None,
    margin: float = 0.1,
    x: Tensor | None = None,
) -> Replay:
    """Run a trace of load against a deadline.

    Before a frame the load is only guessed, from the frames before it: a running mean of their
    times over those of an idle machine, and twice the running mean of how much later they came, as
    network protocols guess how long an answer takes. The best subnet whose time under that guess,
    and a margin, keeps the deadline runs; the cheapest where none does.

    Args:
        deployed: its retained subnets need times (a table, or they are measured now); left with
            the subnet of the last frame.
        deadline_ms: one for all frames or one for each.
        load: slowdown of each frame, at least 1.
        fixed: always run this subnet: the control.
        margin: share of the deadline kept in reserve.
        x: really compute each frame on this input and take its time; without it the times are
            those known of each subnet, and the replay is the same every time.

    Raises:
        ValueError: lengths disagree, no frame, or a value is out of range.
    """
    load = [float(slowdown) for slowdown in load]
    scalar = np.ndim(deadline_ms) == 0
    limits = [float(x) for x in ([deadline_ms] * len(load) if scalar else deadline_ms)]
    known = all(isfinite(number) for number in (*limits, *load, margin))
    wrong = not load or len(limits) != len(load) or not known
    if wrong or min(limits) <= 0 or min(load) < 1 or margin < 0:
        raise ValueError(
            f"{len(load)} loads and {len(limits)} deadlines: as many of both, at least one;"
            " deadlines positive, loads and 1 + margin at least 1, and all of them finite"
        )
    if any(entry.ms is None for entry in deployed.retained):
        deployed.measure()
    guess, off, rows = 1.0, 0.0, []
    for limit, slowdown in zip(limits, load):
        entry = _chosen(deployed, limit / ((guess + WARY * off) * (1 + margin)), fixed)
        elapsed = _elapsed(deployed, entry, x) * slowdown
        wrong = elapsed / entry.ms - guess
        guess += FORGETTING * wrong
        off += FORGETTING * (max(wrong, 0.0) - off)
        rows.append((limit, slowdown, elapsed, entry.score, entry.subnet))
    return Replay(*(tuple(column) for column in zip(*rows)))


def _chosen(deployed: Deployed, budget_ms: float, fixed: Subnet | None) -> Retained:
    """Switch to the best subnet within a budget, or to the fastest there is."""
    if fixed is not None:
        deployed.set_subnet(fixed)
    elif budget_ms < (fastest := min(deployed.retained, key=lambda entry: entry.ms)).ms:
        deployed.set_subnet(fastest.subnet)
    else:
        deployed.set_budget(ms=budget_ms)
    return deployed.current


def _elapsed(deployed: Deployed, entry: Retained, x: Tensor | None) -> float:
    if x is None:
        return entry.ms
    start = perf_counter_ns()
    deployed(x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return (perf_counter_ns() - start) / 1e6
