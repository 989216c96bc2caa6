"""What PSS-Net costs to run here: sampling, a sliced step, a switch, a latency table, a deadline.

``python -m lithe.pssnet.bench`` prints JSON on stdout and a table on stderr. Both sides of every
ratio run in this process, turn by turn, on one thread, by the clock and by processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from time import perf_counter_ns, process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial import Polynomial
from torch import Tensor, nn

from lithe import cost
from lithe.pssnet.deploy import Deployed
from lithe.pssnet.elastic import elastic
from lithe.pssnet.elastic_space import ElasticSpace
from lithe.pssnet.measure import Clock, measure, validate
from lithe.pssnet.replay import load_trace, replay
from lithe.pssnet.speed import paper_sampling
from lithe.zoo import mobilenet_v1

__all__ = ["bench", "deadline", "ratios", "step", "switch", "table"]

STEP_TARGET = 1.05
SWITCH_TARGET_MS = 1.0
ERROR_TARGET = 0.10
SPEARMAN_TARGET = 0.95
SLACK = 1.5  # deadline over the time of the largest subnet on an idle machine
MOST = 2.5  # largest slowdown of the replay; under it the smallest subnet still keeps the deadline
PARTS = ("sampling", "step", "switch", "table", "deadline")


def step(repeats: int = 7, batch: int = 32, side: int = 128, ratio: float = 0.875) -> dict:
    """Time a training step of a sliced subnet beside the same subnet made physically small.

    A step is forward, cross-entropy, backward and SGD with momentum, Nesterov and weight decay;
    the sliced one updates all weights of the supernet.

    Args:
        repeats: timed rounds.
        batch: images.
        side: their height and width.
        ratio: of every width of MobileNetV1.

    Returns:
        Milliseconds of both, and the ratio: by the clock (median over rounds) and by processor
        time (least over least).
    """
    seed = torch.Generator().manual_seed(0)
    example = torch.zeros(1, 3, side, side)
    network, space = elastic(mobilenet_v1(generator=seed), example)
    network.set(space.subnet(side, ratio))
    networks = {"physical": network.extract(network.subnet), "sliced": network}
    x = torch.randn(batch, 3, side, side, generator=seed)
    y = torch.randint(1000, (batch,), generator=seed)
    clocks: dict[str, list[float]] = {name: [] for name in networks}
    calls = {name: _clocked(_step(net, x, y), clocks[name]) for name, net in networks.items()}
    times = cost.compare(calls, repeats=repeats, warmup=1)
    pairs = zip(times["sliced"].samples_ms, times["physical"].samples_ms)
    return {
        "batch": batch,
        "side": side,
        "ms": {name: found.median_ms for name, found in times.items()},
        "ratio": median(sliced / physical for sliced, physical in pairs),
        "cpu_ratio": min(clocks["sliced"][1:]) / min(clocks["physical"][1:]),
        "target": STEP_TARGET,
    }


def _step(network: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(
        network.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True
    )
    network.train()

    def run() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()

    return run


def _clocked(call: Callable[[], None], seconds: list[float]) -> Callable[[], None]:
    """The same call, its processor time noted."""

    def run() -> None:
        start = process_time()
        call()
        seconds.append(process_time() - start)

    return run


def switch(repeats: int = 400, subnets: int = 20) -> dict:
    """Time switches between retained subnets of MobileNetV1, statistics and weights included.

    Returns:
        Milliseconds of one switch by :meth:`Deployed.set_budget`: median and 99th percentile.
    """
    generator = torch.Generator().manual_seed(0)
    deployed = _deployed(generator, subnets)
    budgets = [entry.macs for entry in deployed.retained]
    order = torch.randint(len(budgets), (repeats,), generator=generator).tolist()
    times = []
    for k in order:
        start = perf_counter_ns()
        deployed.set_budget(macs=budgets[k])
        times.append((perf_counter_ns() - start) / 1e6)
    times.sort()
    late = times[int(0.99 * len(times))]
    return {
        "subnets": len(deployed.retained),
        "median_ms": median(times),
        "p99_ms": late,
        "target_ms": SWITCH_TARGET_MS,
    }


def deadline(frames: int = 400, subnets: int = 20) -> dict:
    """Replay a changing load against a deadline, choosing a subnet for each frame, and without.

    Every frame is really computed; the load multiplies its time. The deadline is one and a half
    times what the largest subnet takes on the idle machine, the load up to two and a half fold.

    Args:
        frames: of the trace.
        subnets: of MobileNetV1, retained beside the smallest and the largest.

    Returns:
        By strategy (``chosen``, ``largest``, ``smallest``) the share of frames that came too
        late, and the mean MACs as a share of the largest subnet's; frame by frame load and time
        of the chosen ones.
    """
    generator = torch.Generator().manual_seed(0)
    deployed = _deployed(generator, subnets)
    deployed.measure()
    first, last = deployed.retained[0], deployed.retained[-1]
    load = load_trace(frames, generator, most=MOST)
    x = deployed.network.space.input_at(last.subnet.resolution)
    fixed = {"chosen": None, "largest": last.subnet, "smallest": first.subnet}
    found = {
        name: replay(deployed, SLACK * last.ms, load, fixed=subnet, x=x)
        for name, subnet in fixed.items()
    }
    macs = {entry.subnet: entry.macs for entry in deployed.retained}
    return {
        "frames": frames,
        "deadline_ms": SLACK * last.ms,
        "missed": {name: one.miss_rate for name, one in found.items()},
        "work": {
            name: sum(macs[s] for s in one.subnets) / frames / last.macs
            for name, one in found.items()
        },
        "switches": found["chosen"].switches,
        "load": load,
        "elapsed_ms": list(found["chosen"].elapsed_ms),
    }


def table(held_out: int = 30, repeats: int = 15, clock: Clock = "wall") -> dict:
    """Measure a latency table of a MobileNetV1 supernet and hold it against whole subnets.

    The control is no table at all: rank correlation of MACs with the same times, and the error
    of the straight line through them that fits these very subnets best.

    Args:
        held_out: subnets drawn at random.
        repeats: passes of each subnet.
        clock: see :func:`lithe.pssnet.measure.measure`.
    """
    generator = torch.Generator().manual_seed(0)
    _, space = _mobilenet(generator)
    found = measure(space, repeats=repeats, clock=clock, progress=False)
    subnets = list({space.sample(generator): None for _ in range(held_out)})
    checked = validate(found, space, subnets, repeats=repeats)
    macs = [space.macs(subnet) for subnet in subnets]
    line = Polynomial.fit(macs, checked.measured_us, 1)
    by_macs = replace(checked, predicted_us=tuple(line(np.array(macs)).tolist()))
    return {
        "entries": len(found),
        "held_out": len(subnets),
        "clock": clock,
        "median_error": checked.median_error,
        "spearman": checked.spearman,
        "macs_error": by_macs.median_error,
        "macs_spearman": by_macs.spearman,
        "predicted_us": list(checked.predicted_us),
        "measured_us": list(checked.measured_us),
        "target_error": ERROR_TARGET,
        "target_spearman": SPEARMAN_TARGET,
    }


def _deployed(generator: torch.Generator, subnets: int) -> Deployed:
    """The smallest, the largest and some more subnets of MobileNetV1 on one set of weights."""
    network, space = _mobilenet(generator)
    drawn = [space.sample(generator) for _ in range(subnets)]
    retained = list(dict.fromkeys([space.smallest(), *drawn, space.largest()]))
    return Deployed(network, retained, batches=[space.input_at(s) for s in (96, 160)])


def _mobilenet(generator: torch.Generator) -> tuple[nn.Module, ElasticSpace]:
    """A MobileNetV1 supernet with three ratios and four resolutions: 14 widths, 500 blocks."""
    example = torch.zeros(1, 3, 160, 160)
    model = mobilenet_v1(generator=generator)
    return elastic(model, example, ratios=(0.75, 0.875, 1.0), resolutions=(96, 112, 128, 160))


def bench(repeats: int = 7, parts: Sequence[str] = PARTS, clock: Clock = "wall") -> dict[str, Any]:
    """Run the parts that are named and put their results side by side."""
    ways: dict[str, Callable[[], dict]] = {
        "sampling": lambda: paper_sampling(repeats=3),
        "step": lambda: step(2 * repeats + 1),
        "switch": switch,
        "table": lambda: table(repeats=4 * repeats + 1, clock=clock),
        "deadline": deadline,
    }
    load = os.getloadavg()[0]
    return {"load_average": load, "threads": 1} | {name: ways[name]() for name in parts}


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """The numbers that are held against a target, flat, for a record."""
    flat: dict[str, float] = {}
    for net, row in result.get("sampling", {}).items():
        for kind in ("single", "batch"):
            flat |= {f"sampling_{net}_{kind}_{k}": v for k, v in row[f"{kind}_ratio"].items()}
    if "step" in result:
        flat |= {f"step_{key}": result["step"][key] for key in ("ratio", "cpu_ratio")}
    if "switch" in result:
        flat |= {f"switch_{key}": result["switch"][key] for key in ("median_ms", "p99_ms")}
    if "table" in result:
        keys = ("median_error", "spearman", "macs_error", "macs_spearman")
        flat |= {f"table_{key}": result["table"][key] for key in keys}
    if "deadline" in result:
        for kind in ("missed", "work"):
            flat |= {f"{kind}_{name}": 100 * v for name, v in result["deadline"][kind].items()}
        flat |= {key: result["deadline"][key] for key in ("frames", "deadline_ms", "switches")}
    return flat


def _print_table(result: dict[str, Any]) -> None:
    lines = [f"load average at the start {result['load_average']:.2f}"]
    for net, row in result.get("sampling", {}).items():
        one, many = row["single_ratio"], row["batch_ratio"]
        lines.append(
            f"sampling {net}: exact over released x{one['median']:.1f} one at a time (least"
            f" x{one['least']:.1f}), x{many['median']:.0f} in batches (least x{many['least']:.0f};"
            f" target x{row['target']:.0f} at the median, no bin slower)"
        )
    if row := result.get("step"):
        lines.append(
            f"training step, batch {row['batch']}: sliced over physical x{row['ratio']:.3f}"
            f" (processor time x{row['cpu_ratio']:.3f}; target {row['target']})"
        )
    if row := result.get("switch"):
        lines.append(
            f"switch: {row['median_ms']:.4f} ms, 99th percentile {row['p99_ms']:.4f} ms (target"
            f" {row['target_ms']} ms)"
        )
    if row := result.get("table"):
        lines.append(
            f"table: {row['entries']} blocks; {row['held_out']} held-out subnets: median error"
            f" {row['median_error']:.1%} (target {row['target_error']:.0%}), Spearman"
            f" {row['spearman']:.3f} (target {row['target_spearman']}), {row['clock']} clock;"
            f" a line through MACs: {row['macs_error']:.1%}, {row['macs_spearman']:.3f}"
        )
    if row := result.get("deadline"):
        lines += [
            f"deadline {row['deadline_ms']:.1f} ms, {name}: {row['missed'][name]:.1%} of"
            f" {row['frames']} frames missed at {row['work'][name]:.0%} of the largest's MACs"
            for name in row["missed"]
        ]
    print("\n".join(lines), file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m lithe.pssnet.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds (default 7)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--clock", choices=("wall", "processor"), default="wall", help="of the table"
    )
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; it must be at least 1")
    torch.set_num_threads(1)
    result = bench(options.repeats, options.parts, options.clock)
    print(json.dumps(result, indent=1))
    _print_table(result)


if __name__ == "__main__":
    main()
