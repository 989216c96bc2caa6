"""What a trained supernet's retained subnets are worth: recalibrated, chosen, tested.

Of every budget the subnet that the pool ranks first is tested, and the one of its first five that
does best on held-out images. The curve of accuracy against MACs joins these, the min net and the
max net by their upper envelope; its mean height over the range of the targets and its hypervolume
are one number each, so that seeds can be paired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any

import torch
from scipy.stats import kendalltau

from lithe.data import DataSet, Images
from lithe.pssnet.budget import Budget
from lithe.pssnet.choice import Place, Policy
from lithe.pssnet.curves import difference, hypervolume
from lithe.pssnet.elastic import Elastic
from lithe.pssnet.exact import ExactSampler
from lithe.pssnet.pooled import PooledPolicy
from lithe.pssnet.recalibrate import calibration_batches, recalibrate
from lithe.pssnet.space import Subnet
from lithe.pssnet.supernet_training import evaluate_subnet
from lithe.training import TrainConfig

__all__ = ["Finding", "Jury", "height", "spread_out", "volume"]

ALONE = 3  # budgets whose subnets are also trained alone, and so reported one by one
TOP = 5  # subnets of a pool among which held-out images choose: PSS-Net spec 4.4
RANDOM = 2  # subnets drawn at each budget, the same for every variant of a seed
RANDOM_STREAM = 10_000  # away from the small numbers that training uses
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Finding:
    """What was found: metrics and curves of a record."""

    metrics: dict[str, float | dict]
    curves: dict[str, list[float]]


class Jury:
    """Measures subnets of a trained supernet, each once.

    Args:
        network: the supernet.
        train: recalibrates running statistics.
        held_out: chooses.
        test: is reported.
        recipe: batch size and seed.
    """

    def __init__(
        self,
        network: Elastic,
        train: Images,
        held_out: Images,
        test: Images,
        recipe: TrainConfig,
    ) -> None:
        self.network, self.held_out, self.test = network, held_out, test
        self.recipe = recipe
        self.batches = calibration_batches(train, recipe.batch_size, seed=recipe.seed)
        self._known: dict[tuple[Subnet, str], dict[str, Any]] = {}

    def measured(self, subnet: Subnet, data: DataSet) -> dict[str, Any]:
        """Loss and top-1 of a subnet, recalibrated the first time it is asked for."""
        subnet = self.network.space.effective(subnet)
        key = subnet, data.name
        if key not in self._known:
            if subnet not in self.network.statistics:
                recalibrate(self.network, subnet, self.batches)
            found = evaluate_subnet(self.network, subnet, data, self.recipe.batch_size)
            self._known[key] = found
        return self._known[key]

    def top1(self, subnet: Subnet) -> float:
        """Test accuracy, percent."""
        return self.measured(subnet, self.test)["top1"]

    def judge(self, policy: Policy, budget: Budget) -> Finding:
        """All numbers of one supernet.

        Args:
            policy: with the pools as training left them.
            budget: whose targets count.
        """
        ranked = policy.retained(TOP)
        first = {place: row[0] for place, row in ranked.items()}
        best = {place: self._chosen(row) for place, row in ranked.items()}
        metrics, curves = self._ends(), {}
        for name, subnets in (("pool", first), ("chosen", best)):
            points = self._points(subnets)
            metrics |= self._curve(name, points, budget)
            curves |= {f"macs_{name}": [x for x, _ in points], f"top1_{name}": _tops(points)}
        for number, top in enumerate(spread_out(curves["top1_chosen"], ALONE)):
            metrics[f"top1_at_{number}"] = self._percent(top)
        metrics["random_top1"] = self._percent(self._random(budget))
        lowest = curves["top1_chosen"][0] - metrics["min_top1"]["value"]
        metrics["lowest_minus_min"] = {"value": lowest, "unit": "points"}
        curves |= _written(best)
        if isinstance(policy, PooledPolicy):
            metrics |= self._pools(policy)
        return Finding(metrics, curves)

    def _chosen(self, subnets: tuple[Subnet, ...]) -> Subnet:
        """The best on held-out images, the better ranked among equals."""
        return max(subnets, key=lambda s: self.measured(s, self.held_out)["top1"])

    def _points(self, subnets: Mapping[Place, Subnet]) -> Points:
        """MACs and test accuracy, by rising target."""
        rows = [subnets[place] for place in sorted(subnets)]
        return [(float(self.network.space.macs(s)), self.top1(s)) for s in rows]

    def _ends(self) -> dict[str, float | dict]:
        space = self.network.space
        ends = {"max": space.largest(), "min": space.smallest()}
        tops = {f"{name}_top1": self._percent(self.top1(s)) for name, s in ends.items()}
        macs = {
            f"{name}_macs": {"value": space.macs(s), "unit": "MACs"} for name, s in ends.items()
        }
        return tops | macs

    def _curve(self, name: str, points: Points, budget: Budget) -> dict[str, float | dict]:
        space = self.network.space
        ends = [(float(space.macs(s)), self.top1(s)) for s in (space.smallest(), space.largest())]
        whole = [*points, *ends]
        chance = 100 / self.test.n_classes
        return {
            f"top1_{name}": self._percent(fmean(_tops(points))),
            f"curve_{name}": self._percent(height(whole, budget.targets[0], budget.targets[-1])),
            f"hypervolume_{name}": self._percent(volume(whole, max(x for x, _ in ends), chance)),
        }

    def _random(self, budget: Budget) -> float:
        """Mean accuracy of subnets that nobody chose: what the rest of the space is worth."""
        sampler = ExactSampler(self.network.space, law="space")
        generator = torch.Generator().manual_seed(RANDOM_STREAM + self.recipe.seed)
        drawn = [
            subnet
            for target in budget.targets
            for subnet in sampler.draw_many(target, budget.tolerance, RANDOM, generator)
        ]
        return fmean(self.top1(subnet) for subnet in drawn)

    def _pools(self, policy: PooledPolicy) -> dict[str, float | dict]:
        """How true the pools are at the end, and how many of their entries are doubles."""
        taus, entries, distinct = [], 0, 0
        for pool in policy.pools.values():
            rows = [(getattr(key, "subnet", key), value) for key, value in pool.items()]
            entries += len(rows)
            distinct += len({policy.space.effective(subnet) for subnet, _ in rows})
            losses = [-self.measured(s, self.held_out)["loss"] for s, _ in rows]
            if len(rows) > 1:
                taus.append(float(kendalltau([v for _, v in rows], losses).statistic))
        known = [tau for tau in taus if isfinite(tau)]
        doubles = {"value": 100 * (1 - distinct / entries), "unit": "%"}
        return {"doubles": doubles} | ({"tau": fmean(known)} if known else {})

    def _percent(self, value: float) -> dict[str, Any]:
        return {"value": value, "unit": "%", "n": len(self.test)}


def height(points: Points, low: float, high: float) -> float:
    """Mean height of the upper envelope of points between two costs."""
    return difference(points, [(low, 0.0), (high, 0.0)], (low, high)).mean


def volume(points: Points, dearest: float, worst: float) -> float:
    """Hypervolume of points as a share of the dearest cost: a mean height above ``worst``."""
    return hypervolume([(x / dearest, y) for x, y in points], 1.0, worst)


def _tops(points: Points) -> list[float]:
    return [y for _, y in points]


def _written(subnets: Mapping[Place, Subnet]) -> dict[str, list[float]]:
    """Subnets as curves: one value per budget, ascending."""
    rows = [subnets[place] for place in sorted(subnets)]
    widths = zip(*(subnet.widths for subnet in rows))
    written = {"chosen_resolution": [float(s.resolution) for s in rows]}
    return written | {f"chosen_width_{k}": [float(w) for w in row] for k, row in enumerate(widths)}


def spread_out(places: Iterable[Any], n: int) -> list[Any]:
    """``n`` of the places, the first and the last among them."""
    row = list(places)
    if n >= len(row):
        return row
    return [row[round(k * (len(row) - 1) / (n - 1))] for k in range(n)]
