"""How fast motion is made on this machine, by models of the released size with first weights.

``python -m lithe.syntalker.bench`` prints JSON on stdout and a table on stderr. All ratios are
taken within one run. Weights change nothing about time or memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lithe import ledger
from lithe.files import write_atomic
from lithe.syntalker.bench_generation import (
    aims,
    combination,
    memory,
    motion_per_second,
    table,
    waiting,
)
from lithe.syntalker.random_bundle import SIZES, random_bundle

__all__ = ["SOURCES", "bench", "main", "metrics"]

#: Modules that decide what is timed.
SOURCES = tuple(
    f"lithe.syntalker.{name}"
    for name in (
        *("bench_generation", "autoencoder", "codec", "denoiser", "guidance", "guided", "heard"),
        *("longform", "pipeline", "quantizer", "random_bundle", "sampler", "speech_denoiser"),
        *("speech_encoder", "streaming", "transformer", "vqvae", "wave_encoder"),
    )
)
LENGTHS = (15.0, 60.0, 180.0)


def bench(size: str = "full", quick: bool = False, threads: int = 2) -> dict[str, Any]:
    """Everything this module measures.

    Args:
        size: a key of :data:`lithe.syntalker.random_bundle.SIZES`.
        quick: short speech and one round.
        threads: of torch.
    """
    bundle = random_bundle(size, torch.Generator().manual_seed(0))
    seconds, repeats = (4.0, 1) if quick else (12.0, 3)
    before = _load()
    result = {
        "speed": motion_per_second(bundle, seconds, threads, repeats),
        "combination": combination(bundle, threads, repeats=1 if quick else 5),
        "memory": memory(bundle, tuple(s / 3 for s in LENGTHS) if quick else LENGTHS),
        "first_frame": waiting(bundle, threads),
    }
    plan = {
        "size": size,
        "quick": quick,
        "threads": threads,
        "cores": os.cpu_count(),
        "seconds": seconds,
        "repeats": repeats,
        "load_average": {"before": before, "after": _load()},
        "parameters": {
            name: sum(p.numel() for p in getattr(bundle, name).parameters())
            for name in ("codec", "space", "network")
        },
    }
    return {"plan": plan} | result


def metrics(result: dict[str, Any]) -> dict[str, Any]:
    """The result as the ledger takes it."""
    times = {f"real_time_{n}": one["times_real_time"] for n, one in result["speed"].items()}
    ratio = {"combination_ratio": result["combination"]["ratio"]}
    found = {name: {"value": value, "unit": "x"} for name, value in (times | ratio).items()}
    for row in result["memory"]:
        name = f"stream_{row['seconds']:g}"
        found[f"{name}_latents"] = row["latents"]
        found[f"{name}_samples"] = row["samples"]
        found[f"{name}_megabytes"] = {"value": row["megabytes"], "unit": "MB"}
    for name, one in result["first_frame"].items():
        for key in ("sound", "compute"):
            found[f"first_frame_{name}_{key}"] = {"value": one[f"{key}_s"], "unit": "s"}
    return found


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line.

    Returns:
        0, also where a goal is not met: the table says so.
    """
    parser = argparse.ArgumentParser(prog="python -m lithe.syntalker.bench", description=__doc__)
    add = parser.add_argument
    add("--size", choices=list(SIZES), default="full", help="of the models (default %(default)s)")
    add("--quick", action="store_true", help="short speech, one round")
    add("--threads", type=int, default=2, help="of torch (default %(default)s)")
    add("--out", type=Path, help="write the JSON here as well")
    add("--record", action="store_true", help="write the ledger's record")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads is {options.threads}; it must be at least 1")
    code = ledger.code_state(SOURCES)
    with ledger.meter() as spent:
        result = bench(options.size, options.quick, options.threads)
    found = [vars(aim) for aim in aims(result)]
    text = json.dumps(result | {"aims": found}, indent=1)
    print(text)
    print(table(result), file=sys.stderr)
    if options.out:
        write_atomic(options.out, text + "\n")
    if options.record:
        profile = "smoke" if options.quick else "small"
        name = f"generation-bench-{options.size}"
        ledger.record(
            *("syntalker", name, profile, 0, result["plan"], metrics(result)),
            code=code,
            cost=dict(spent),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
