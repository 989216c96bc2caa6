"""What can be shown of PSS-Net without training a network: spaces, samplers, tables, curves.

Each exhibit returns plain metrics for one record, and curves where a figure needs them. Those
that read published numbers need the shared folder; the others need nothing. Source: PSS-Net spec
2, 3, 5, 7, 8 and 9.3.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from lithe.data import shared_folder
from lithe.pssnet.bandit import VARIANTS as GAMES
from lithe.pssnet.bandit import Outcome, play
from lithe.pssnet.bias import bias
from lithe.pssnet.block import Block
from lithe.pssnet.budget import PAPER_BUDGETS
from lithe.pssnet.curves import difference
from lithe.pssnet.exact import EmptyBinError, ExactSampler
from lithe.pssnet.mobilenet import RatioSpace, mobilenet_v1_space, mobilenet_v2_space
from lithe.pssnet.published import PANELS, Published
from lithe.pssnet.released import ReleasedSampler
from lithe.pssnet.table import LatencyTable

__all__ = ["EXHIBITS", "bandit", "inversions", "published", "sampler", "space", "tables"]

SPACES: dict[str, Callable[[], RatioSpace]] = {
    "mobilenet_v1": mobilenet_v1_space,
    "mobilenet_v2": mobilenet_v2_space,
}
UNITS = {"_ms": "ms", "missed_": "%", "work_": "%"}  # of the benchmark, by a part of the name
SHORT = {"mobilenet_v1": "mbv1", "mobilenet_v2": "mbv2"}
SEEDS = 8
HISTOGRAM_DRAWS = 100_000
BIAS_TARGET, BIAS_DRAWS = 200_000_000, 2000

Metrics = dict[str, float | dict]
Curves = dict[str, list[float]]


def space(net: str) -> tuple[Metrics, Curves]:
    """A paper space against the golden subnets: sizes, ends, and how many rows agree.

    Args:
        net: ``"mobilenet_v1"`` or ``"mobilenet_v2"``.
    """
    own = SPACES[net]()
    rows = json.loads((_golden() / f"pss_subnets_{SHORT[net]}.json").read_text())["subnets"]
    agree = defaultdict(int)
    for row in rows:
        subnet = own.subnet(row["resolution"], row["ratios"])
        agree["channels"] += list(subnet.widths) == row["channels"]
        agree["macs"] += own.macs(subnet) == row["macs"]
        agree["params"] += own.params(subnet) == row["params_total"]
        agree["norm_floats"] += own.norm_floats(subnet) == row["bn_running_stat_floats"]
    ends = {"max": own.largest(), "min": own.smallest()}
    metrics: Metrics = {f"equal_{name}": count for name, count in agree.items()}
    metrics |= {f"{name}_macs": own.macs(subnet) for name, subnet in ends.items()}
    metrics |= {f"{name}_params": own.params(subnet) for name, subnet in ends.items()}
    metrics |= {"golden_rows": len(rows), "subnets": _distinct(own)}
    pools = {k: len(b.targets) for (n, k), b in PAPER_BUDGETS.items() if n == net}
    return metrics | {f"pools_{name}": count for name, count in pools.items()}, {}


def _distinct(own: RatioSpace) -> int:
    """Subnets that compute differently: inert widths count once."""
    inert = [len(own.choices[j]) for j in own.inert]
    return own.count() // int(np.prod(inert, dtype=object)) if inert else own.count()


def published() -> tuple[Metrics, Curves]:
    """The readings of spec 7, off the published numbers; the plotted series as curves."""
    known = Published.load(_golden())
    metrics: Metrics = {"readme_mismatches": len(known.readme_mismatches())}
    for net in SHORT.values():
        for base in ("USNet", "MutualNet"):
            gain = known.max_net_gain(net, base)
            metrics[f"max_net_gain_{net}_{base.lower()}"] = {"value": gain, "unit": "points"}
        metrics |= _low_end(known, net)
        metrics[f"beaten_{net}_mutualnet"] = len(known.beaten_by(net, "MutualNet"))
        for resource in ("gpu_us", "cpu_ms"):
            again, total = known.reused(net, resource)
            metrics |= {f"reused_{net}_{resource}": again, f"mixed_points_{net}_{resource}": total}
        metrics |= _mixed(known, net)
    for panel in PANELS:
        for base in ("USNet", "MutualNet"):
            gap = known.versus(panel, base)
            for name in ("mean", "least", "greatest"):
                key = f"{name}_gain_{panel.lower()}_{base.lower()}"
                metrics[key] = {"value": getattr(gap, name), "unit": "points"}
    return metrics, _series(known)


def _low_end(known: Published, net: str) -> Metrics:
    found = known.low_end(net)
    unit = {"low": "M", "high": "M", "next_cost": "M", "points": ""}
    names = ("low", "high", "points", "least", "greatest", "next_cost", "next_top1")
    row = {n: {"value": getattr(found, n), "unit": unit.get(n, "%")} for n in names}
    spread = {"value": found.greatest - found.least, "unit": "points"}
    return {f"low_end_{net}_{n}": value for n, value in row.items()} | {
        f"low_end_{net}_spread": spread
    }


def _mixed(known: Published, net: str) -> Metrics:
    """The mixed supernet minus the one for MACs alone: envelope, mean over the common range."""
    panel = f"{net}_flops_M"
    pair = (known.points(panel, name) for name in ("PSS-Net_M", "PSS-Net_F"))
    gap = difference(*pair).mean
    return {f"mixed_minus_single_{net}": {"value": gap, "unit": "points"}}


def _series(known: Published) -> Curves:
    curves: Curves = {}
    for net in SHORT.values():
        panel = f"{net}_flops_M"
        for name in ("PSS-Net_F", "USNet", "MutualNet"):
            points = known.points(panel, name)
            curves[f"{net}_{name}_x"] = [float(x) for x, _ in points]
            curves[f"{net}_{name}_top1"] = [float(y) for _, y in points]
    return curves


def sampler(
    draws: int = HISTOGRAM_DRAWS, n: int = BIAS_DRAWS, seed: int = 0
) -> tuple[Metrics, Curves]:
    """The released sampler of MobileNetV1 at its FLOPs budgets: reach and bias.

    Args:
        draws: configurations that build the histograms; the released script has 100,000.
        n: subnets drawn of one bin, each way.
        seed: of the randomness.
    """
    generator = torch.Generator().manual_seed(seed)
    own, budget = mobilenet_v1_space(), PAPER_BUDGETS["mobilenet_v1", "macs"]
    released = ReleasedSampler(own, budget, generator, draws=draws)
    exact = ExactSampler(own, law="space")
    found = bias(released, exact, BIAS_TARGET, n, generator)
    metrics: Metrics = {
        "pools": len(budget.targets),
        "released_bins": len(released.counts),
        "released_largest": {"value": max(released.counts) / 1e6, "unit": "M"},
        "exact_bins": sum(_reaches(exact, t, budget.tolerance) for t in budget.targets),
        "r144_space": found.truth.resolutions.get(144, 0.0),
        "r144_released": found.released.resolutions.get(144, 0.0),
        "ratio_std_space": found.truth.ratio_std,
        "ratio_std_released": found.released.ratio_std,
        "distance": found.distance,
        "trials": found.trials,
    }
    sizes = sorted({*found.truth.resolutions, *found.released.resolutions})
    curves = {"resolution": [float(r) for r in sizes]}
    for name, side in (("space", found.truth), ("released", found.released)):
        curves[f"share_{name}"] = [side.resolutions.get(r, 0.0) for r in sizes]
    counts = [float(released.counts.get(t, 0)) for t in budget.targets]
    return metrics, curves | {"target": [t / 1e6 for t in budget.targets], "count": counts}


def _reaches(exact: ExactSampler, target: float, tolerance: float) -> bool:
    try:
        exact.draw(target, tolerance, torch.Generator().manual_seed(0))
    except EmptyBinError:
        return False
    return True


def tables() -> tuple[Metrics, Curves]:
    """The published latency tables: how often a wider block is faster, and the head's effect."""
    metrics: Metrics = {}
    for net, short in SHORT.items():
        table = LatencyTable.load(_golden() / f"pss_lut_{short}.npz")
        metrics[f"entries_{short}"] = len(table)
        for device in table.devices:
            wider, much = inversions(table.times[device])
            metrics[f"wider_faster_{short}_{device}"] = {"value": 100 * wider, "unit": "%"}
            metrics[f"wider_much_faster_{short}_{device}"] = {"value": 100 * much, "unit": "%"}
            ms = table.latency_us(SPACES[net](), SPACES[net]().largest(), device) / 1e3
            metrics[f"max_net_{short}_{device}"] = {"value": ms, "unit": "ms"}
    return metrics, {}


def inversions(times: Mapping[Block, float]) -> tuple[float, float]:
    """Shares of neighbours in output width of which the wider one is faster, and 10% faster.

    Source: PSS-Net spec 5.2. Neighbours agree in everything but ``cout``, with no entry between.

    Args:
        times: microseconds of each block.
    """
    rows: dict[tuple, list[tuple[int, float]]] = defaultdict(list)
    for b, us in times.items():
        key = (b.kind, b.in_size, b.cin, b.cmid, b.kernel, b.stride, b.padding)
        rows[key].append((b.cout, us))
    pairs = [
        (thin, wide) for row in map(sorted, rows.values()) for (_, thin), (_, wide) in pairwise(row)
    ]
    wider = sum(wide < thin for thin, wide in pairs)
    return wider / len(pairs), sum(wide < 0.9 * thin for thin, wide in pairs) / len(pairs)


@cache
def games(seeds: int = SEEDS) -> dict[str, list[Outcome]]:
    """Every variant of the bandit, played from each seed."""
    return {
        name: [play(game, torch.Generator().manual_seed(seed)) for seed in range(seeds)]
        for name, game in GAMES.items()
    }


def bandit(seeds: int = SEEDS) -> tuple[Metrics, Curves]:
    """The bandit: percentile and gain of what is retained, candidates, pool, rank correlation."""
    metrics: Metrics = {}
    names = ("candidates", "percentile", "gain", "late_gain", "pool_size", "tau")
    curves: Curves = {}
    for variant, outcomes in games(seeds).items():
        key = variant.replace(" ", "_").replace("-", "_").replace(".", "")
        metrics |= {f"{n}_{key}": fmean(getattr(o, n) for o in outcomes) for n in names}
        curves[f"pool_size_{key}"] = [
            fmean(size for _, size in epoch) for epoch in zip(*(o.history for o in outcomes))
        ]
    return metrics, curves


def speed() -> tuple[Metrics, Curves]:
    """The ratios of ``python -m lithe.pssnet.bench``, and the replay frame by frame."""
    from lithe.pssnet import bench

    result = bench.bench()
    frames = {key: result["deadline"][key] for key in ("load", "elapsed_ms")}
    metrics: Metrics = {"load_average": result["load_average"]}
    for name, value in bench.ratios(result).items():
        unit = next((u for end, u in UNITS.items() if end in name), None)
        metrics[name] = {"value": value, "unit": unit} if unit else value
    return metrics, frames


def _golden() -> Path:
    return shared_folder() / "golden"


EXHIBITS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "space-v1": partial(space, "mobilenet_v1"),
    "space-v2": partial(space, "mobilenet_v2"),
    "published": published,
    "sampler": sampler,
    "tables": tables,
    "bandit": bandit,
    "bench": speed,
}
