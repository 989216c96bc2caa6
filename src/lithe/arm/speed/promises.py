"""Budgets in milliseconds, deadlines, throughput over sizes, and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lithe.arm.speed.clock import timed
from lithe.arm.speed.pictures import mosaic, official
from lithe.arm.upscaler import Upscaler
from lithe.ledger.provenance import peak_megabytes

__all__ = ["deadlines", "memory", "memory_afresh", "paces", "throughput"]

#: A process that wants the processor for as long as the one that began it lives.
NEIGHBOUR = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**5))"


def paces(up: Upscaler, small: np.ndarray, budgets: int = 10) -> dict[str, Any]:
    """How well budgets in milliseconds are met, from the cheapest to the dearest routing."""
    up.tune()
    least, most = (timed(lambda q=q: up(small, **q), 3)[0] for q in ({"eta": 0.0}, {}))
    asked = np.linspace(least + 0.1 * (most - least), least + 0.9 * (most - least), budgets)
    took = [up(small, ms=float(ms)).ms for ms in asked]
    off = [abs(t - a) / a for t, a in zip(took, asked)]
    return {
        "asked": asked.tolist(),
        "took": took,
        "median_off": float(np.median(off)),
        "worst_off": max(off),
    }


def deadlines(up: Upscaler, small: np.ndarray, runs: int = 200, seed: int = 0) -> dict[str, Any]:
    """How often a deadline is missed while another process wants the processor."""
    if up.latencies is None:
        up.tune()
    asked = np.random.default_rng(seed).uniform(60, 400, runs)
    neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        took = np.array([timed(lambda ms=ms: up(small, deadline_ms=ms))[0] for ms in asked])
    finally:
        neighbour.terminate()
        neighbour.wait()
    late = took - asked
    return {
        "runs": runs,
        "missed": int((late > 0).sum()),
        "latest_ms": float(late.max()),
        "median_share_used": float(np.median(took / asked)),
    }


def throughput(up: Upscaler, megapixels: Sequence[float], repeats: int = 3) -> dict[str, Any]:
    """Enlarged megapixels per second against the size of the image.

    At full quality, where every pixel costs the same, and routed at the best quality that the
    table holds, where the mixture of branches differs a little from size to size.
    """
    cell = mosaic(1280, 1600)[::4, ::4]
    rates: dict[str, dict[float, float]] = {"full": {}, "routed": {}}
    for size in megapixels:
        side = max(int((size * 1e6) ** 0.5 / up.scale), 1)
        times = -(-side // min(cell.shape[:2]))
        small = np.tile(cell, (times, times, 1))[:side, :side]
        for name, budget in (("full", {}), ("routed", {"eta": "best"})):
            up(small[: 2 * up.largest, : 2 * up.largest], **budget)
            ms, _ = timed(lambda small=small, budget=budget: up(small, **budget), repeats)
            rates[name][size] = side**2 * up.scale**2 / 1e3 / ms
    spread = {name: max(one.values()) / min(one.values()) - 1 for name, one in rates.items()}
    return {"megapixels_per_second": rates, "spread": spread}


def memory(backbone: str = "carn") -> dict[str, float]:
    """Peak memory of this process after it has enlarged to 8K at full quality, and before."""
    torch.set_num_threads(1)
    up = Upscaler(official(backbone), halo="visible")
    up.tune(repeats=1)
    before = _peak_gb()
    ms, _ = timed(lambda: up(np.tile(mosaic(270, 480), (4, 4, 1))))
    return {"gb": _peak_gb(), "gb_before": before, "seconds": ms / 1000}


def _peak_gb() -> float:
    """Peak memory of this process.

    What ``getrusage`` tells on Linux begins with the peak of the process that started this one;
    the kernel's own count begins with this one.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return peak_megabytes() / 1e3
    line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def memory_afresh(backbone: str) -> dict[str, float]:
    """:func:`memory` of a process that has done nothing else."""
    module = "lithe.arm.speed.promises"
    code = f"import json; from {module} import memory; print(json.dumps(memory({backbone!r})))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)
