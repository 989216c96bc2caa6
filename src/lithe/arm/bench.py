"""What routing is worth in milliseconds on this machine, against every alternative.

``python -m lithe.arm.bench`` prints JSON on stdout and the goals on stderr. All ratios are taken
within one run. Weights are the released ones, tables are made from photographs in the shared
data, with the released tables beside them. "The whole-image pass" is the largest width in plain
torch on the whole image, as people write it; the same in the runtime that runs the tiles stands
beside it, so that what routing earns and what the runtime earns can be told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lithe import ledger
from lithe.arm.degrade import degrade
from lithe.arm.speed import recording
from lithe.arm.speed.aims import Aim, aims, line
from lithe.arm.speed.curves import curve
from lithe.arm.speed.pictures import mosaic, official, smooth, tables
from lithe.arm.speed.promises import deadlines, memory_afresh, paces, throughput
from lithe.arm.upscaler import Upscaler
from lithe.files import write_atomic

__all__ = ["bench", "main"]

BACKBONES = ("fsrcnn", "carn")
SIZES = (0.1, 0.5, 2, 8, 33)  # megapixels of the result
PHOTOGRAPHS = 17  # that the tables are made from: all there are beside the test sets
DEEP = 1.0  # megapixels: what CARN, which is 25 times as dear as FSRCNN, is shown of each image
Tell = Callable[[str], None]


def bench(
    quick: bool = False,
    backbones: Sequence[str] = BACKBONES,
    repeats: int = 3,
    tell: Tell = lambda line: None,
) -> dict[str, Any]:
    """Everything this module measures; about eight minutes on two idle cores.

    Args:
        quick: small images, one thread, few runs.
        backbones: the first one also keeps the promises of time, the last one that of memory.
        repeats: runs of what takes less than a second; the median counts.
        tell: told what has been done.
    """
    sharp = _pictures(quick)
    nets = {name: official(name) for name in backbones}
    load = _load()
    known = {name: tables(net, name, 3 if quick else PHOTOGRAPHS) for name, net in nets.items()}
    tell("tables")
    before, curves = torch.get_num_threads(), {}
    try:
        for threads in (1,) if quick else (1, 2):
            torch.set_num_threads(threads)
            curves[threads] = {}
            for name, net in nets.items():
                one = curves[threads][name] = {}
                for kind, image in sharp.items():
                    shown = image if name == "fsrcnn" else _cropped(image, DEEP)
                    one[kind] = curve(net, known[name], shown, repeats)
                    tell(f"{name}, {kind}, {threads} threads")
        torch.set_num_threads(1)
        up = Upscaler(nets[backbones[0]], known[backbones[0]]["mse"])
        promises = _promises(up, sharp["mosaic"], quick, tell)
    finally:
        torch.set_num_threads(before)
    if not quick:
        promises["memory"] = memory_afresh(backbones[-1])
        tell("memory")
    plan = {
        "backbones": list(backbones),
        "repeats": repeats,
        "profile": "smoke" if quick else "small",
        "load_average": {"before": load, "after": _load()},
        "images": {kind: list(image.shape) for kind, image in sharp.items()},
        "deep_megapixels": DEEP,
    }
    return {"plan": plan, "curves": curves} | promises


def _promises(up: Upscaler, sharp: np.ndarray, quick: bool, tell: Tell) -> dict[str, Any]:
    found = {"paces": paces(up, degrade(sharp, 4)[1])}
    tell("budgets")
    found["deadlines"] = deadlines(up, degrade(sharp[:640, :800], 4)[1], 20 if quick else 200)
    tell("deadlines")
    found["throughput"] = throughput(up, SIZES[:2] if quick else SIZES)
    tell("sizes")
    return found


def _pictures(quick: bool) -> dict[str, np.ndarray]:
    sharp = {"mosaic": mosaic(1280, 1600), "smooth": smooth()}
    return {name: image[300:780, 300:940] if quick else image for name, image in sharp.items()}


def _cropped(image: np.ndarray, megapixels: float) -> np.ndarray:
    """The middle of an image, of its shape, with at most so many pixels."""
    h, w = image.shape[:2]
    shrink = min(1.0, (megapixels * 1e6 / (h * w)) ** 0.5)
    rows, columns = int(h * shrink), int(w * shrink)
    top, left = (h - rows) // 2, (w - columns) // 2
    return image[top : top + rows, left : left + columns]


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.arm.bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="small images, one thread, few runs")
    add("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    add("--repeats", type=int, default=3, help="runs of what is short (default 3)")
    add("--out", type=Path, help="write the JSON here as well")
    add("--record", action="store_true", help="write the ledger's records")
    return parser


def _tell(said: str, start: float = time.monotonic()) -> None:
    print(f"[{time.monotonic() - start:5.0f} s] {said}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; it must be at least 1")
    code = ledger.code_state(recording.SOURCES)
    with ledger.meter() as spent:
        result = bench(options.quick, options.backbones, options.repeats, _tell)
    found = aims(result)
    text = json.dumps(result | {"aims": [aim.as_json() for aim in found]}, indent=1)
    print(text)
    if options.out:
        write_atomic(options.out, text + "\n")
    _report(found)
    if options.record:
        for path in recording.record(result, found, code, dict(spent)):
            _tell(f"recorded {path.parent.parent.name}/{path.parent.name}/{path.name}")


def _report(found: Sequence[Aim]) -> None:
    for aim in found:
        print(line(aim), file=sys.stderr)


if __name__ == "__main__":
    main()
