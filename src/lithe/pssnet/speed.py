"""How fast subnets of a budget are found: the released sampler beside the exact one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import process_time
from typing import Any

import torch

from lithe.pssnet.budget import PAPER_BUDGETS, Budget
from lithe.pssnet.costs import Resource
from lithe.pssnet.exact import EmptyBinError, ExactSampler
from lithe.pssnet.mobilenet import mobilenet_v1_space, mobilenet_v2_space
from lithe.pssnet.released import ReleasedSampler
from lithe.pssnet.space import Space

__all__ = ["paper_sampling", "sampling"]

SAMPLING_TARGET = 10.0


def sampling(
    space: Space,
    budget: Budget,
    resource: Resource = "macs",
    n: int = 60,
    repeats: int = 3,
    draws: int = 100_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Time both samplers at every bin, side by side, in processor time.

    The released one draws one subnet after another, as it is written; the exact one likewise
    (``single``) and many at a time (``batch``), which dynamic programming allows.

    Args:
        space: the space.
        budget: whose bins.
        resource: what the budget is about.
        n: subnets of a timed round; the batch has 20 times as many.
        repeats: rounds a bin; the median counts.
        draws: configurations that build the released histograms.
        seed: of the randomness.

    Returns:
        Seconds to set up each; for every bin the samples per second, trials of the released one
        and ratios of the exact one; over the bins that both reach, median and least ratio; bins
        that only the exact one reaches, and bins that are empty.
    """
    generator = torch.Generator().manual_seed(seed)
    started = process_time()
    released = ReleasedSampler(space, budget, generator, resource, draws)
    built = process_time()
    exact = ExactSampler(space, resource)
    setup = {"released": built - started, "exact": process_time() - built}
    bins, empty = {}, []
    for target in budget.targets:
        try:
            bins[target] = _bin(released, exact, target, n, repeats, generator)
        except EmptyBinError:
            empty.append(target)
    both = [row for row in bins.values() if "released" in row]
    return {
        "setup_s": setup,
        "bins": bins,
        "reached": {"released": len(both), "exact": len(bins), "targets": len(budget.targets)},
        "empty": empty,
        **{f"{kind}_ratio": _summary(both, kind) for kind in ("single", "batch")},
        "target": SAMPLING_TARGET,
    }


def paper_sampling(n: int = 60, repeats: int = 3) -> dict[str, dict[str, Any]]:
    """:func:`sampling` for MACs on both spaces of the paper."""
    spaces: Mapping[str, Callable[[], Space]] = {
        "mobilenet_v1": mobilenet_v1_space,
        "mobilenet_v2": mobilenet_v2_space,
    }
    return {
        net: sampling(make(), PAPER_BUDGETS[net, "macs"], n=n, repeats=repeats)
        for net, make in spaces.items()
    }


def _bin(
    released: ReleasedSampler,
    exact: ExactSampler,
    target: float,
    n: int,
    repeats: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """Samples per second at one bin, and the ratios."""
    tolerance = released.budget.tolerance
    exact.draw(target, tolerance, generator)  # compiled, and the bin found, before the clock runs
    trials: list[int] = []
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "single": (lambda: [exact.draw(target, tolerance, generator) for _ in range(n)], n),
        "batch": (lambda: exact.draw_many(target, tolerance, 20 * n, generator), 20 * n),
    }
    if target in released.counts:
        ways["released"] = (
            lambda: trials.extend(released.draw(target, generator).trials for _ in range(n)),
            n,
        )
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (call, count) in ways.items():
            start = process_time()
            call()
            rates[name].append(count / max(process_time() - start, 1e-9))
    row = {name: median(values) for name, values in rates.items()}
    if "released" in row:
        row |= {f"{kind}_ratio": row[kind] / row["released"] for kind in ("single", "batch")}
        row["trials"] = sum(trials) / len(trials)
    return row


def _summary(rows: list[dict[str, float]], kind: str) -> dict[str, float]:
    ratios = [row[f"{kind}_ratio"] for row in rows]
    return {"median": median(ratios), "least": min(ratios)}
