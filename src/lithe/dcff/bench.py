"""What DCFF costs to compute: scoring, and a training step, each beside its alternative.

``python -m lithe.dcff.bench`` prints JSON on stdout and a table on stderr. Both sides of every
ratio run in this process, turn by turn, on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from math import log2
from statistics import median
from time import process_time
from weakref import finalize

import torch
from scipy.spatial.distance import cdist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lithe import cost
from lithe.dcff.configs import PAPER_CONFIGS, paper_model
from lithe.dcff.proxy import log_proxy, pairwise_distance
from lithe.dcff.refresh import fused_layers, refresh
from lithe.dcff.score import kl_scores

__all__ = ["bench", "broadcast_scores", "ratios", "scoring", "steps"]

#: Batch sizes of the training step and the ratio to the compact net that is aimed at.
STEP_TARGETS = {256: 1.05, 64: 1.15}
SCORING_TARGET = 80.0


def broadcast_scores(weight: Tensor, t: float) -> Tensor:
    """The score by its textbook formula: one ``(n, n, n)`` float32 array.

    The measure to beat. Source: DCFF spec 2.5 and 8.
    """
    flat = weight.flatten(1).numpy()
    proxy = torch.softmax(-t * torch.from_numpy(cdist(flat, flat)).float(), dim=1)
    p, q = proxy[:, None, :], proxy[None, :, :]
    return (p * (p / (q + 1e-7)).log()).mean(2).sum(1)


def fast_scores(weight: Tensor, t: float) -> Tensor:
    """The same score as the library computes it, from filters ``(n, ...)``."""
    return kl_scores(log_proxy(pairwise_distance(weight), t))


def scoring(repeats: int = 3, key: str = "vgg16", t: float = 1.0) -> dict:
    """Time scoring all layers of a configuration both ways.

    Args:
        repeats: timed rounds.
        key: a key of :data:`lithe.dcff.PAPER_CONFIGS`.
        t: inverse temperature.

    Returns:
        Milliseconds of both ways, their ratio by the clock and by processor time, the largest
        relative difference of the scores, and how peak memory grows with ``n``.
    """
    model = paper_model(key, "fused", torch.Generator().manual_seed(0))
    weights = [layer.weight.detach() for layer in fused_layers(model).values()]
    ways: dict[str, Callable[[Tensor, float], Tensor]] = {
        "broadcast": broadcast_scores,
        "lithe": fast_scores,
    }
    clocks: dict[str, list[float]] = {name: [] for name in ways}
    calls = {
        name: _clocked(lambda way=way: [way(weight, t) for weight in weights], clocks[name])
        for name, way in ways.items()
    }
    times = cost.compare(calls, repeats=repeats, warmup=1)
    apart = max(
        float(((broadcast_scores(w, t) - fast_scores(w, t)) / fast_scores(w, t)).abs().max())
        for w in weights[:4]
    )
    return {
        "layers": len(weights),
        "ms": _summary(times),
        "speedup": _paired_ratio(times["broadcast"], times["lithe"]),
        "cpu_speedup": min(clocks["broadcast"][1:]) / min(clocks["lithe"][1:]),
        "target": SCORING_TARGET,
        "max_relative_difference": apart,
        "memory": memory_growth(t),
    }


def memory_growth(t: float = 1.0, sizes: Sequence[int] = (256, 512, 1024)) -> dict:
    """Peak bytes alive while scoring ``n`` filters of 288 weights, and the exponent of ``n``."""
    peaks = {}
    for n in sizes:
        weight = torch.randn(n, 32, 3, 3, generator=torch.Generator().manual_seed(n))
        with _LiveBytes() as live:
            fast_scores(weight, t)
        peaks[n] = live.peak
    first, last = sizes[0], sizes[-1]
    exponent = log2(peaks[last] / peaks[first]) / log2(last / first)
    in_squares = {n: peak / (8 * n * n) for n, peak in peaks.items()}
    return {"peak_bytes": peaks, "in_float64_squares": in_squares, "exponent": exponent}


def steps(
    repeats: int = 7, batches: Sequence[int] = tuple(STEP_TARGETS), key: str = "vgg16"
) -> dict:
    """Time a training step of the fused network beside its compact twin.

    A step is forward, backward and SGD with momentum and weight decay. ``mixing`` is epoch 0,
    where every fused filter is a mixture; ``onehot`` every later epoch of the released schedule.

    Args:
        repeats: timed rounds a batch size.
        batches: batch sizes.
        key: a key of :data:`lithe.dcff.PAPER_CONFIGS`.

    Returns:
        Per batch size, milliseconds of the three networks, and the ratios of the fused ones to
        the compact one: by the clock (median over rounds) and by processor time (least).
    """
    seed = torch.Generator().manual_seed(0)
    networks = {
        "compact": paper_model(key, "compact", seed),
        "mixing": paper_model(key, "fused", seed),
        "onehot": paper_model(key, "fused", seed),
    }
    refresh(networks["mixing"], 0, 300)
    refresh(networks["onehot"], 0, 300, onehot=True)
    side, classes = PAPER_CONFIGS[key].resolution, PAPER_CONFIGS[key].classes
    table = {}
    for batch in batches:
        x = torch.randn(batch, 3, side, side, generator=seed)
        y = torch.randint(classes, (batch,), generator=seed)
        clocks: dict[str, list[float]] = {name: [] for name in networks}
        calls = {
            name: _clocked(_step(network, x, y), clocks[name]) for name, network in networks.items()
        }
        times = cost.compare(calls, repeats=repeats, warmup=1)
        plain = times["compact"]
        table[batch] = {
            "ms": _summary(times),
            "mixing_ratio": _paired_ratio(times["mixing"], plain),
            "onehot_ratio": _paired_ratio(times["onehot"], plain),
            "mixing_cpu_ratio": min(clocks["mixing"][1:]) / min(clocks["compact"][1:]),
            "onehot_cpu_ratio": min(clocks["onehot"][1:]) / min(clocks["compact"][1:]),
            "target": STEP_TARGETS.get(batch),
        }
    return table


def _step(network: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    """One training step, ready to be called."""
    optimiser = torch.optim.SGD(
        network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True
    )

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(x), y).backward()
        optimiser.step()

    return step


def _clocked(call: Callable[[], object], seconds: list[float]) -> Callable[[], None]:
    """``call`` that also notes the processor time it took, which other processes do not stretch."""

    def clocked() -> None:
        start = process_time()
        call()
        seconds.append(process_time() - start)

    return clocked


def _paired_ratio(one: cost.Latency, other: cost.Latency) -> float:
    """Median over the rounds of the ratio within a round: slow drift of the machine cancels."""
    return median(a / b for a, b in zip(one.samples_ms, other.samples_ms))


def _summary(times: Mapping[str, cost.Latency]) -> dict[str, dict[str, float]]:
    return {
        name: {"median": time.median_ms, "p10": time.p10_ms, "p90": time.p90_ms}
        for name, time in times.items()
    }


def bench(repeats: int = 7) -> dict:
    """Everything this module measures; ``repeats`` rounds of steps, fewer of scoring."""
    return {
        "threads": 1,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "scoring": scoring(max(1, repeats // 2)),
        "step": steps(repeats),
    }


def ratios(repeats: int = 7) -> dict[str, float]:
    """The headline ratios of :func:`bench`, flat.

    Returns:
        ``scoring_speedup``; per batch size ``step_ratio_<b>`` (one-hot rows, all epochs but the
        first as released) and ``step_ratio_mixing_<b>``.
    """
    result = bench(repeats)
    flat = {"scoring_speedup": result["scoring"]["speedup"]}
    for batch, row in result["step"].items():
        flat[f"step_ratio_{batch}"] = row["onehot_ratio"]
        flat[f"step_ratio_mixing_{batch}"] = row["mixing_ratio"]
    return flat


class _LiveBytes(TorchDispatchMode):
    """Tracks bytes of tensors made inside that are still alive; ``peak`` is the most."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {_address(value) for value in tree_leaves(args) if isinstance(value, Tensor)}
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and _address(value) not in given | self.known:
                self._add(value)
        return result

    def _add(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        address, size = _address(value), storage.nbytes()
        self.known.add(address)
        self.live += size
        self.peak = max(self.peak, self.live)
        finalize(storage, self._drop, address, size)

    def _drop(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.live -= size


def _address(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()


def _print_table(result: dict) -> None:
    score = result["scoring"]
    lines = [
        f"scoring {score['layers']} layers: broadcast {score['ms']['broadcast']['median']:.0f} "
        f"ms, lithe {score['ms']['lithe']['median']:.1f} ms: {score['speedup']:.0f}x "
        f"(processor time {score['cpu_speedup']:.0f}x; target {score['target']:.0f}x), "
        f"memory ~ n^{score['memory']['exponent']:.2f}"
    ]
    for batch, row in result["step"].items():
        lines.append(
            f"step, batch {batch}: compact {row['ms']['compact']['median']:.0f} ms, "
            f"fused x{row['onehot_ratio']:.3f} one-hot, x{row['mixing_ratio']:.3f} mixing "
            f"(processor time x{row['onehot_cpu_ratio']:.3f}, x{row['mixing_cpu_ratio']:.3f}; "
            f"target {row['target']})"
        )
    lines.append(f"load average at the start {result['load_average']:.2f}")
    print("\n".join(lines), file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m lithe.dcff.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds (default 7)")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; it must be at least 1")
    result = bench(options.repeats)
    print(json.dumps(result, indent=1))
    _print_table(result)


if __name__ == "__main__":
    main()
