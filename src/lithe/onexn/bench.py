"""How fast 1xN blocks are on this machine, beside dense, sparse rows and what was aimed at.

``python -m lithe.onexn.bench`` prints JSON on stdout; progress and a readable report go to
stderr. All sides of every ratio run in this process, turn by turn. With one thread processor
time is quoted (median, and 10 % quantile as "low"), with more the wall clock (median, and
shortest round as "low"). Ratios "vs torch" hold kernel quality and sparsity together; "earned"
is against the same kernel without zeros, so it is what sparsity alone brought.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from lithe import ledger
from lithe.onexn.kernels.isa import named
from lithe.onexn.networks import NETWORKS
from lithe.onexn.speed import limits, recording, report
from lithe.onexn.speed.aims import Bar, Sum, bars, sums
from lithe.onexn.speed.charts import BreakEven, break_even
from lithe.onexn.speed.layers import Layer, groups, layers_of
from lithe.onexn.speed.networks import network, skeleton
from lithe.onexn.speed.race import Race, run_race
from lithe.onexn.speed.startup import measure_startup
from lithe.onexn.speed.trial import NS, SPARSITIES, Trial, try_layer

__all__ = ["Plan", "Result", "bench", "main"]

#: Networks whose single layers are timed; of the others only the whole.
LAYERED = ("mobilenet_v1", "mobilenet_v2", "resnet50")
#: Filters of the widest layer among them: taller blocks hold nothing more.
MOST_FILTERS = 2048


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long.

    Attributes:
        models: networks.
        ns: filters per block.
        sparsities: shares of blocks to drop.
        pairs: block sizes with sparsities of whole networks.
        more: further ones, of networks whose layers are timed, with the first number of threads.
        threads: numbers of threads.
        seconds: for the rounds of all layers, and again of all networks.
        layers: time single layers.
        networks: time whole networks.
        compiled: time ``torch.compile`` of whole networks as well.
        startup: measure cold and warm starts.
        profile: what a record of it is filed under.
    """

    models: tuple[str, ...] = tuple(NETWORKS)
    ns: tuple[int, ...] = NS
    sparsities: tuple[float, ...] = SPARSITIES
    pairs: tuple[tuple[int, float], ...] = ((4, 0.5),)
    more: tuple[tuple[int, float], ...] = ()
    threads: tuple[int, ...] = (1, 2)
    seconds: float = 110.0
    layers: bool = True
    networks: bool = True
    compiled: bool = False
    startup: bool = True
    profile: str = "small"


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        plan: what was asked for.
        machine: instruction set, processor, versions.
        load: average of the last minute before and after.
        roof: measured limits.
        groups: layers of each sum, with counts.
        trials: single layers.
        sums: of groups of layers.
        races: whole networks.
        startup: seconds to compile MobileNetV1.
        break_even: speed over sparsity of one layer.
        bars: aims.
        cost: wall seconds and memory.
    """

    plan: Plan
    machine: dict[str, Any]
    load: tuple[float | None, float | None]
    roof: limits.Roof
    groups: dict[str, dict[Layer, int]]
    trials: tuple[Trial, ...]
    sums: tuple[Sum, ...]
    races: tuple[Race, ...]
    startup: dict[str, float]
    break_even: BreakEven | None
    bars: tuple[Bar, ...]
    cost: dict[str, float] = field(default_factory=dict)


def bench(plan: Plan, progress: Callable[[str], None] = lambda line: None) -> Result:
    """Measure all of a plan.

    Args:
        plan: what to measure.
        progress: told what is being done.

    Raises:
        lithe.onexn.kernels.isa.NativeUnavailable: this machine cannot compile the kernels.
        ArithmeticError: a packed result is wrong.
    """
    before = _load()
    with ledger.meter() as cost:
        progress("the machine's limits")
        roof = limits.roof(tuple(sorted({1, *plan.threads})))
        table = _groups(plan.models) if plan.layers else {}
        trials = _trials(plan, table, progress)
        races = _races(plan, progress)
        startup = _startup(plan, progress)
        curve = _break_even(plan, progress)
    total = sums(table, trials)
    found = bars(total, trials, races, roof.gflops, roof.isa, startup)
    return Result(
        plan,
        {"isa": roof.isa, **_machine()},
        (before, _load()),
        roof,
        table,
        tuple(trials),
        tuple(total),
        tuple(races),
        startup,
        curve,
        tuple(found),
        dict(cost),
    )


def _groups(models: Sequence[str]) -> dict[str, dict[Layer, int]]:
    table: dict[str, dict[Layer, int]] = {}
    for name in models:
        if name in LAYERED:
            table |= groups(name, layers_of(skeleton(name)))
    return table


def _trials(
    plan: Plan, table: Mapping[str, Mapping[Layer, int]], progress: Callable[[str], None]
) -> list[Trial]:
    layers = list(dict.fromkeys(layer for counts in table.values() for layer in counts))
    jobs = [(layer, threads) for threads in plan.threads for layer in layers]
    # large layers take longer a round, and weigh more in the sums
    unit = plan.seconds / max(1.0, sum(layer.macs**0.5 for layer, _ in jobs))
    found = []
    for k, (layer, threads) in enumerate(jobs):
        progress(f"layer {k + 1} of {len(jobs)}: {layer.name}, {threads} threads")
        found.append(
            try_layer(
                layer,
                plan.ns,
                plan.sparsities,
                threads=threads,
                seconds=unit * layer.macs**0.5,
                csr=threads == 1,
            )
        )
    return found


def _races(plan: Plan, progress: Callable[[str], None]) -> list[Race]:
    found = []
    for name in plan.models if plan.networks else ():
        model = network(name)
        for threads in plan.threads:
            whole = name in LAYERED and threads == plan.threads[0]
            found.append(
                run_race(
                    name,
                    plan.pairs + plan.more if whole else plan.pairs,
                    threads=threads,
                    seconds=plan.seconds / len(plan.models) / len(plan.threads),
                    compiled=plan.compiled,
                    model=model,
                    progress=progress,
                )
            )
    return found


def _startup(plan: Plan, progress: Callable[[str], None]) -> dict[str, float]:
    if not plan.startup:
        return {}
    progress("cold and warm start of mobilenet_v1")
    return measure_startup()


def _break_even(plan: Plan, progress: Callable[[str], None]) -> BreakEven | None:
    if not (plan.layers and plan.startup):
        return None
    progress("speed over sparsity")
    places = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    return break_even("512-512@14", plan.ns, places, seconds=plan.seconds / 30)


def _machine() -> dict[str, Any]:
    """Beside what every record holds: what decides these times."""
    from importlib import metadata

    names = ("torch", "llvmlite", "numba", "onnxruntime", "openvino")
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    isa = named()
    return {"cpu": isa.cpu, "lanes": isa.lanes, "cores": os.cpu_count(), "versions": versions}


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def as_json(result: Result) -> dict[str, Any]:
    """The result as JSON values; layers by their names."""
    roof = result.roof
    return {
        "plan": asdict(result.plan),
        "machine": result.machine,
        "load_average": list(result.load),
        "clocks": "1 thread: processor time, low = 10 % quantile; more: wall, low = shortest round",
        "roof": {"isa": roof.isa, "gflops": roof.gflops, "bandwidth_gb_s": roof.bandwidth},
        "groups": {
            group: {layer.name: count for layer, count in counts.items()}
            for group, counts in result.groups.items()
        },
        "layers": [_trial_json(trial, roof) for trial in result.trials],
        "sums": [asdict(row) for row in result.sums],
        "networks": [asdict(race) for race in result.races],
        "startup": result.startup,
        "break_even": _curve_json(result.break_even),
        "bars": [asdict(bar) | {"met": bar.met} for bar in result.bars],
        "cost": result.cost,
    }


def _trial_json(trial: Trial, roof: limits.Roof) -> dict[str, Any]:
    peak = roof.gflops[trial.threads]
    rows = [asdict(entry) | {"roof_share": entry.gflops / peak} for entry in trial.entries]
    about = {"layer": trial.layer.name, "macs": trial.layer.macs, "packed": rows}
    return {k: v for k, v in asdict(trial).items() if k not in ("layer", "entries")} | about


def _curve_json(curve: BreakEven | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    points = {n: curve.point(n) for n in curve.speedups}
    about = asdict(curve) | {"layer": curve.layer.name, "break_even": points}
    return json.loads(json.dumps(about).replace("NaN", "null"))


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan that a command line asks for."""
    every = options.model == "all"
    models = tuple(NETWORKS) if every else (options.model,)
    threads = (options.threads,) if options.threads else tuple({1, min(2, os.cpu_count() or 1)})
    asked = options.n or options.sparsity
    ns = tuple(options.n or ((1, 4) if options.quick else NS))
    sparsities = tuple(options.sparsity or ((0.5, 0.75) if options.quick else SPARSITIES))
    pairs = [(n, p) for n in ns for p in sparsities]
    more: tuple[tuple[int, float], ...] = ()
    if not asked:
        pairs = [(4, 0.5)] if options.quick else [(4, p) for p in SPARSITIES]
        more = () if options.quick else tuple((n, 0.5) for n in NS if n != 4)
    if options.quick:
        models = tuple(name for name in models if name in LAYERED) or models
    return Plan(
        models,
        ns,
        sparsities,
        tuple(pairs),
        more,
        threads,
        _seconds(options, every),
        not options.networks_only,
        not options.layers_only,
        options.compile,
        not (options.quick or asked),
        "smoke" if options.quick or asked or not every else "small",
    )


def _seconds(options: argparse.Namespace, every: bool) -> float:
    """For the rounds; building and checking takes about as long again."""
    if options.seconds:
        return options.seconds
    if options.quick:
        return 8.0
    return 110.0 if every else 20.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.onexn.bench", description=__doc__)
    add = parser.add_argument
    add("--model", choices=(*NETWORKS, "all"), default="all", help="network (default all)")
    add("--n", type=_block, nargs="+", metavar="N", help="filters per block")
    add("--sparsity", type=_share, nargs="+", metavar="P", help="shares to drop, in [0, 1)")
    add("--threads", type=int, choices=(1, 2), help="default: both")
    add("--quick", action="store_true", help="a minute: fewer settings, fewer rounds")
    add("--seconds", type=_positive, help="of timed rounds, for layers and again for networks")
    add("--layers-only", action="store_true", help="no whole networks")
    add("--networks-only", action="store_true", help="no single layers")
    add("--compile", action="store_true", help="torch.compile of whole networks too (slow)")
    add("--record", action="store_true", help="write the ledger's records")
    return parser


def _block(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_FILTERS:
        message = f"{text!r} is not a whole number of at least 1 and at most {MOST_FILTERS}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share in [0, 1)")
    return value


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _tell(line: str, start: float = time.monotonic()) -> None:
    print(f"[{time.monotonic() - start:5.0f} s] {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.layers_only and options.networks_only:
        parser.error("--layers-only and --networks-only leave nothing to measure")
    plan = plan_of(options)
    if options.layers_only and not set(plan.models) & set(LAYERED):
        parser.error(f"single layers are timed of {', '.join(LAYERED)}, not of {options.model}")
    torch.set_num_threads(1)
    code = ledger.code_state(recording.SOURCES)
    result = bench(plan, _tell)
    print(json.dumps(as_json(result), indent=1))
    print(report.text(result), file=sys.stderr)
    if options.record:
        for path in recording.record(result, code):
            _tell(f"recorded {path.parent.parent.name}/{path.parent.name}/{path.name}")


if __name__ == "__main__":
    main()
