"""What can be shown of DCFF without training: structure, schedule, score, latency, speed.

Each exhibit returns plain metrics for one record. Source: spec sections 2.4, 2.6, 5, 7, 8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lithe import cost
from lithe.dcff.configs import PAPER_CONFIGS, paper_model
from lithe.dcff.proxy import log_proxy, pairwise_distance
from lithe.dcff.refresh import fused_layers, refresh
from lithe.dcff.schedule import inverse_temperature
from lithe.dcff.score import kl_scores, l1_norms, l2_norms, total_distances

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["EXHIBITS", "latency", "schedule", "score", "speed", "structure"]

CIFAR_NETS = ("vgg16", "resnet56")
Metrics = dict[str, float | dict]


def structure(key: str) -> Metrics:
    """Widths, MACs and parameters of one released configuration, dense and compact.

    Args:
        key: a key of ``PAPER_CONFIGS``.
    """
    example = PAPER_CONFIGS[key].example()
    table: Metrics = {}
    for kind, prefix in (("compact", ""), ("dense", "dense_")):
        model = paper_model(key, kind)
        thop, macs = (cost.count(model, example, name) for name in ("thop031", "macs"))
        table |= {f"{prefix}thop_flops": thop.macs, f"{prefix}params": thop.params}
        table[f"{prefix}macs"] = macs.macs
    for name in ("thop_flops", "params", "macs"):
        cut = 100 * (1 - table[name] / table[f"dense_{name}"])
        table[f"{name.removeprefix('thop_')}_cut_percent"] = {"value": cut, "unit": "%"}
    return table


def schedule() -> Metrics:
    """How long fusion lives: one-hot rows and finite scores at epoch 1 of 300, initial weights."""
    table: Metrics = {"t_epoch1_of_300": inverse_temperature(1, 300)}
    for name in CIFAR_NETS:
        model = _fused(name)
        first = refresh(model, 0, 300, mode="released")
        if name == "vgg16":
            table |= _collapse(model)
        second = refresh(model, 1, 300, mode="released")
        table |= {
            f"layers_{name}": len(second),
            f"mean_max_proxy_epoch0_{name}": _mean([r.max_proxy for r in first]),
            f"onehot_layers_epoch1_{name}": sum(r.max_proxy == 1 for r in second),
            f"finite_layers_epoch1_{name}": sum(r.finite for r in second),
            f"set_changes_epoch1_{name}": sum(r.set_change > 0 for r in second),
        }
    return table


def _fused(name: str, seed: int = 0) -> Module:
    """A paper network with fused convolutions, drawn from ``seed``, the caller's RNG untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return paper_model(name, "fused")


def _collapse(model: Module) -> Metrics:
    """Epoch 0's degeneracy (spec B4): how alike the fused filters of a layer are."""
    cosines, ranks = [], []
    for layer in fused_layers(model).values():
        rows = layer.fused().detach().double().flatten(1)
        cosines.append(_mean_cosine(rows))
        ranks.append(effective_rank(rows))
    return {"cosine_epoch0_vgg16": _mean(cosines), "effective_rank_epoch0_vgg16": _mean(ranks)}


def _mean_cosine(rows: Tensor) -> float:
    unit = rows / rows.norm(dim=1, keepdim=True)
    n = len(unit)
    return float((unit @ unit.T).sum().sub(n) / (n * (n - 1)))


def effective_rank(rows: Tensor) -> float:
    """Exponential of the entropy of the squared singular values' shares, from 1 to the true rank.

    Args:
        rows: matrix ``(m, d)``.
    """
    energy = torch.linalg.svdvals(rows).square()
    share = energy / energy.sum()
    return float(torch.exp(torch.special.entr(share).sum()))


def score() -> Metrics:
    """What the score measures at random initial weights: rank agreement with simpler criteria."""
    from scipy.stats import spearmanr

    low, high, shared = [], [], {"l1": [], "l2": [], "total_distance": []}
    for layer in (part for name in CIFAR_NETS for part in fused_layers(_fused(name)).values()):
        weight = layer.weight.detach()
        distance = pairwise_distance(weight)
        total = total_distances(distance)
        ours = kl_scores(log_proxy(distance, 1.0))
        low.append(float(spearmanr(ours, total).statistic))
        sharp = kl_scores(log_proxy(distance, 1e4))
        high.append(float(spearmanr(sharp, total).statistic))
        rivals = {"l1": l1_norms(weight), "l2": l2_norms(weight), "total_distance": total}
        if layer.kept < layer.n_filters:
            for name, rival in rivals.items():
                shared[name].append(_overlap(ours, rival, layer.kept))
    table: Metrics = {f"overlap_{name}": _mean(values) for name, values in shared.items()}
    return table | {
        "spearman_total_distance_t1": min(low),
        "spearman_total_distance_t1e4": min(high),
    }


def _overlap(first: Tensor, second: Tensor, m: int) -> float:
    """Share of the ``m`` largest that two scores agree on."""
    top = (set(s.topk(m).indices.tolist()) for s in (first, second))
    return len(set.intersection(*top)) / m


def latency(repeats: int = 30) -> Metrics:
    """Milliseconds of one image through dense and compact nets, one thread, side by side."""
    table: Metrics = {}
    for name in CIFAR_NETS:
        image = torch.randn(1, 3, 32, 32)
        nets = {kind: paper_model(name, kind).eval() for kind in ("dense", "compact")}
        with torch.inference_mode():
            calls = {kind: partial(net, image) for kind, net in nets.items()}
            times = cost.compare(calls, repeats=repeats)
        macs = {kind: cost.count(net, image).macs for kind, net in nets.items()}
        for kind, time in times.items():
            table[f"{kind}_ms_{name}"] = {"value": time.median_ms, "unit": "ms", "n": repeats}
        table[f"speedup_{name}"] = times["dense"].median_ms / times["compact"].median_ms
        table[f"macs_ratio_{name}"] = macs["dense"] / macs["compact"]
    return table


def speed() -> Metrics:
    """The two ratios of ``python -m lithe.dcff.bench`` and the share of MACs that fusing adds."""
    from lithe.dcff import bench

    table: Metrics = dict(bench.ratios())
    shares = [_fusing_share(key) for key in PAPER_CONFIGS if not key.startswith("r50")]
    return table | {"fusing_mac_share_max_percent": {"value": 100 * max(shares), "unit": "%"}}


def _fusing_share(key: str, batch: int = 256) -> float:
    """MACs of fusing every layer once, relative to one batch's forward pass."""
    model = paper_model(key, "fused")
    fusing = sum(part.kept * part.weight.numel() for part in fused_layers(model).values())
    compact = cost.count(paper_model(key, "compact"), PAPER_CONFIGS[key].example())
    return fusing / (batch * compact.macs)


def _mean(values: list[float]) -> float:
    return float(sum(values) / len(values))


EXHIBITS: dict[str, Callable[[], Metrics]] = {
    **{f"structure-{key}": partial(structure, key) for key in PAPER_CONFIGS},
    "schedule": schedule,
    "score": score,
    "latency": latency,
    "bench": speed,
}
