"""What routing is worth in milliseconds on this machine, against every alternative.

``python -m lithe.arm.bench`` prints JSON on stdout and the goals on stderr. All ratios are taken
within one run. Weights and tables are the released ones, from the shared data.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

from lithe.arm.branches import Branches
from lithe.arm.budget import BudgetError
from lithe.arm.calibrate import measure
from lithe.arm.degrade import degrade, photographs
from lithe.arm.imresize import imresize
from lithe.arm.metrics import psnr
from lithe.arm.official import load_official, official_table
from lithe.arm.table import EdgeTable
from lithe.arm.upscaler import Upscaler
from lithe.data.shared import shared_folder

__all__ = ["bench", "curve", "deadlines", "goals", "memory", "paces", "throughput"]

SHARES = (0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 1.0)  # of the whole-image pass
RELEASED_K = 1.5
#: A process that wants the processor for as long as the one that began it lives.
NEIGHBOUR = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**5))"
PIECES = ("coffee", "chelsea", "astronaut", "rocket", "motorcycle", "camera", "hubble", "ihc")


class _Blind(Upscaler):
    """Routing that does not look: the expected gains, dealt out to the cells at random."""

    def gains(self, pixels: np.ndarray) -> np.ndarray:
        gains = super().gains(pixels)
        order = np.random.default_rng(0).permutation(gains.shape[0] * gains.shape[1])
        return gains.reshape(len(order), -1)[order].reshape(gains.shape)


def mosaic(height: int, width: int) -> np.ndarray:
    """A photograph of photographs, uint8 ``(height, width, 3)``."""
    canvas = np.zeros((height, width, 3), np.uint8)
    pieces = [image for _, image in photographs(PIECES)]
    top, number = 0, 0
    while top < height:
        left, row = 0, min(300, height - top)
        while left < width:
            piece = pieces[number % len(pieces)][:row, : width - left]
            canvas[top : top + len(piece), left : left + piece.shape[1]] = piece
            left, number = left + piece.shape[1], number + 1
        top += row
    return canvas


def smooth(factor: float = 1.1) -> np.ndarray:
    """A photograph with large smooth areas: the retina of scikit-image, 2.4 MP."""
    ((_, image),) = photographs(("retina",))
    return imresize(image, factor)


def tables(branches: Branches, backbone: str, images: int) -> dict[str, EdgeTable]:
    """The released table, and one of squared error made from photographs not used below."""
    files = sorted((shared_folder() / "data/sr/BSDS_train").iterdir())[:images]
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    released, _ = official_table(shared_folder() / "golden/arm_lut_official.npz", backbone)
    return {"psnr": released, "mse": measure(branches, photos).table(10, "mse")}


def official(backbone: str) -> Branches:
    """The released supernet."""
    return load_official(
        shared_folder() / "golden" / f"arm_{backbone}_official.safetensors", backbone
    )


def curve(
    branches: Branches, known: dict[str, EdgeTable], image: np.ndarray, repeats: int = 1
) -> dict[str, Any]:
    """Time and PSNR of routed, randomly routed, fixed and released super-resolution.

    Args:
        branches: the supernet.
        known: tables by their target.
        image: sharp, uint8 ``(h, w, 3)``; its shrunken version is enlarged.
        repeats: runs of each; the median counts.

    Returns:
        Milliseconds and dB: ``fixed`` per width (one pass over the whole image, plain torch),
        ``released`` (its loop), and per share of the largest width's time ``routed`` by either
        table and ``random``.
    """
    sharp, small = degrade(image, branches.scale)
    x = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
    fixed = {}
    for j, name in enumerate(branches.names):
        net = branches.branch(j).eval()
        ms, made = _timed(lambda net=net: _whole(net, x), repeats)
        fixed[name] = {"ms": ms, "psnr": psnr(made, sharp, 4)}
    ups = {target: Upscaler(branches, table, halo="visible") for target, table in known.items()}
    ups["random"] = _Blind(branches, known["mse"], halo="visible", latencies=ups["mse"].tune())
    ups["psnr"].latencies = ups["mse"].latencies
    most = fixed[branches.names[-1]]["ms"]
    routed: dict[str, list[dict[str, float]]] = {name: [] for name in ups}
    for share in SHARES:
        for name, up in ups.items():
            point = _point(up, small, sharp, share * most, repeats)
            routed[name] += [point] if point else []
    full_ms, full = _timed(lambda: ups["mse"](small), repeats)
    return {
        "megapixels": sharp.shape[0] * sharp.shape[1] / 1e6,
        "fixed": fixed,
        "routed": routed,
        "tiled_throughout": {"ms": full_ms, "psnr": psnr(full.image, sharp, 4)},
        "released": _released(ups["psnr"], small, sharp, repeats),
        "halos": ups["mse"].halos,
    }


def _point(
    up: Upscaler, small: np.ndarray, sharp: np.ndarray, asked: float, repeats: int
) -> dict[str, float] | None:
    """Time and PSNR at a budget; ``None`` where it does not pay for interpolation."""
    try:
        ms, made = _timed(lambda: up(small, ms=asked), repeats)
    except BudgetError:
        return None
    return {"asked": asked, "ms": ms, "psnr": psnr(made.image, sharp, 4)}


def _released(up: Upscaler, small: np.ndarray, sharp: np.ndarray, repeats: int) -> dict[str, float]:
    dearest = up.branches.costs(released=True)[-1]
    ms, made = _timed(lambda: up(small, eta=RELEASED_K * dearest, released=True), repeats)
    h, w = made.image.shape[:2]
    return {"k": RELEASED_K, "ms": ms, "psnr": psnr(made.image, sharp[:h, :w], 4), "rows": h}


def _whole(net: torch.nn.Module, x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        made = net(x)[0].clamp(0, 1).mul(255).round().to(torch.uint8)
    return made.permute(1, 2, 0).contiguous().numpy()


def _timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median milliseconds of a call, and what it returned last."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        made = call()
        times.append(1000 * (perf_counter() - start))
    return median(times), made


def speedups(result: dict[str, Any], table: str = "mse") -> dict[str, float | None]:
    """How many times faster routing is at a quality, from a :func:`curve`; ``None`` if never."""
    points = [*result["routed"][table], result["tiled_throughout"]]
    whole = max(result["fixed"].values(), key=lambda row: row["psnr"])

    def against(other: dict[str, float], loss: float) -> float | None:
        enough = [p["ms"] for p in points if p["psnr"] >= other["psnr"] - loss]
        return other["ms"] / min(enough) if enough else None

    return {
        "whole_at_0.02_db": against(whole, 0.02),
        "whole_at_0.1_db": against(whole, 0.1),
        "released_at_equal": against(result["released"], 0.0),
    }


def paces(up: Upscaler, small: np.ndarray, budgets: int = 10) -> dict[str, Any]:
    """How well budgets in milliseconds are met, from the cheapest to the dearest routing."""
    up.tune()
    least, most = (_timed(lambda q=q: up(small, **q), 1)[0] for q in ({"eta": 0.0}, {}))
    asked = np.linspace(least + 0.1 * (most - least), least + 0.9 * (most - least), budgets)
    took = [up(small, ms=float(ms)).ms for ms in asked]
    off = [abs(t - a) / a for t, a in zip(took, asked)]
    return {"asked": asked.tolist(), "took": took, "median_off": median(off), "worst_off": max(off)}


def deadlines(up: Upscaler, small: np.ndarray, runs: int = 200, seed: int = 0) -> dict[str, Any]:
    """How often a deadline is missed while another process wants the processor."""
    if up.latencies is None:
        up.tune()
    asked = np.random.default_rng(seed).uniform(60, 400, runs)
    neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        took = np.array([_timed(lambda ms=ms: up(small, deadline_ms=ms), 1)[0] for ms in asked])
    finally:
        neighbour.terminate()
        neighbour.wait()
    late = took - asked
    used = float(np.median(took / asked))
    return {"runs": runs, "missed": int((late > 0).sum()), "latest_ms": float(late.max())} | {
        "median_share_used": used
    }


def throughput(up: Upscaler, megapixels: Sequence[float], repeats: int = 3) -> dict[str, Any]:
    """Enlarged megapixels per second against the size of the image, at one price of quality."""
    cell = mosaic(1280, 1600)[::4, ::4]
    rates = {}
    for size in megapixels:
        side = max(int((size * 1e6) ** 0.5 / up.scale), 1)
        times = -(-side // min(cell.shape[:2]))
        small = np.tile(cell, (times, times, 1))[:side, :side]
        ms, _ = _timed(lambda small=small: up(small, eta="best"), repeats if size < 10 else 1)
        rates[size] = side**2 * up.scale**2 / 1e3 / ms
    return {"megapixels_per_second": rates, "spread": max(rates.values()) / min(rates.values()) - 1}


def memory(backbone: str = "carn") -> dict[str, float]:
    """Peak memory of a fresh process that enlarges to 8K at full quality, and without an image."""
    up = Upscaler(official(backbone), halo="visible")
    up(np.zeros((32, 32, 3), np.uint8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = perf_counter()
    up(np.tile(mosaic(270, 480), (4, 4, 1)))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"gb": after / 1e6, "gb_before": before / 1e6, "seconds": perf_counter() - start}


def goals(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What was aimed at, what was measured, and whether it was met.

    Speed against the whole image and the released loop is that of CARN, or of the first
    backbone measured.
    """
    found: dict[str, tuple[float | None, str, float]] = {}
    for threads, part in result["curves"].items():
        name = "carn" if "carn" in part else next(iter(part))
        photo, plain = (speedups(part[name][kind]) for kind in ("mosaic", "smooth"))
        tag = f"{name}, {threads} threads: "
        found[f"{tag}times the released loop at equal PSNR"] = (
            photo["released_at_equal"],
            ">=",
            3.0,
        )
        found[f"{tag}times the whole pass at 0.02 dB"] = (photo["whole_at_0.02_db"], ">=", 1.0)
        found[f"{tag}times the whole pass at 0.1 dB"] = (photo["whole_at_0.1_db"], ">=", 1.5)
        found[f"{tag}the same, smooth image"] = (plain["whole_at_0.1_db"], ">=", 2.0)
        routed = part[name]["mosaic"]["routed"]
        other = {point["asked"]: point["psnr"] for point in routed["psnr"]}
        leads = [p["psnr"] - other[p["asked"]] for p in routed["mse"] if p["asked"] in other]
        least = min(leads, default=None)
        found[f"{tag}least lead of the mse table, dB"] = (least, ">=", 0.0)
    found["median miss of a budget in ms"] = (result["paces"]["median_off"], "<=", 0.05)
    found["deadlines missed"] = (result["deadlines"]["missed"], "<=", 0)
    found["spread of MP/s over sizes"] = (result["throughput"]["spread"], "<=", 0.15)
    if "memory" in result:
        found["peak GB at 8K"] = (result["memory"]["gb"], "<=", 1.5)
    return {
        name: {"value": value, "goal": f"{sign} {goal}", "met": _met(value, sign, goal)}
        for name, (value, sign, goal) in found.items()
    }


def _met(value: float | None, sign: str, goal: float) -> bool:
    return value is not None and (value >= goal if sign == ">=" else value <= goal)


def bench(
    quick: bool = False, backbones: Sequence[str] = ("fsrcnn", "carn"), repeats: int = 1
) -> dict[str, Any]:
    """Everything this module measures; ``quick`` uses small images and few runs."""
    sharp = {"mosaic": mosaic(1280, 1600), "smooth": smooth()}
    if quick:
        sharp = {name: image[300:780, 300:940] for name, image in sharp.items()}
    nets = {name: official(name) for name in backbones}
    known = {name: tables(net, name, 2 if quick else 10) for name, net in nets.items()}
    before, curves = torch.get_num_threads(), {}
    try:
        for threads in (1,) if quick else (1, 2):
            torch.set_num_threads(threads)
            curves[threads] = {
                name: {kind: curve(net, known[name], im, repeats) for kind, im in sharp.items()}
                for name, net in nets.items()
            }
    finally:
        torch.set_num_threads(before)
    first = backbones[0]
    small = degrade(sharp["mosaic"][:640, :800], 4)[1]
    up = Upscaler(nets[first], known[first]["mse"])
    result: dict[str, Any] = {
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "curves": curves,
        "paces": paces(up, small),
        "deadlines": deadlines(up, small, 20 if quick else 200),
        "throughput": throughput(up, (0.1, 0.5) if quick else (0.1, 0.5, 2, 8, 33)),
    }
    if not quick:
        result["memory"] = _in_fresh_process(backbones[-1])
    return result | {"goals": goals(result)}


def _in_fresh_process(backbone: str) -> dict[str, float]:
    code = (
        f"import json; from lithe.arm.bench import memory; print(json.dumps(memory({backbone!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m lithe.arm.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images, few runs")
    parser.add_argument("--backbones", nargs="+", default=["fsrcnn", "carn"])
    parser.add_argument("--repeats", type=int, default=1, help="runs of each (default 1)")
    parser.add_argument("--out", type=Path, help="write the JSON here as well")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; it must be at least 1")
    result = bench(options.quick, options.backbones, options.repeats)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        from lithe.files import write_atomic

        write_atomic(options.out, text + "\n")
    for name, row in result["goals"].items():
        value = "never" if row["value"] is None else f"{row['value']:.3f}"
        print(
            f"{'met ' if row['met'] else 'MISS'} {name}: {value} ({row['goal']})", file=sys.stderr
        )


if __name__ == "__main__":
    main()
