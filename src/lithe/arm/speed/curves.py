"""Quality over time: routed, randomly routed, fixed widths, and the released loop."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from lithe.arm.branches import Branches
from lithe.arm.budget import BudgetError
from lithe.arm.calibrate import PATCH, STEP
from lithe.arm.degrade import degrade
from lithe.arm.executors import Run, kind_of, layout_of
from lithe.arm.metrics import psnr
from lithe.arm.speed.bounds import Oracle
from lithe.arm.speed.clock import timed
from lithe.arm.table import EdgeTable
from lithe.arm.upscaler import Upscaler

__all__ = ["LOSSES", "SHARES", "blind", "curve", "leads", "soonest", "speedups"]

SHARES = (0.15, 0.3, 0.45, 0.6, 0.8, 1.0)  # of tiles of the largest width throughout
LOSSES = {"0.02_db": 0.02, "0.1_db": 0.1}  # below the whole-image pass
RELEASED = (1.5, 4.0)  # its price of a decibel, in largest costs: from the published settings
Curve = dict[str, Any]


def blind(up: Upscaler) -> Upscaler:
    """Routing that does not look: the expected gains, dealt out to the cells at random."""
    other = copy.copy(up)

    def gains(pixels: np.ndarray) -> np.ndarray:
        seen = up.gains(pixels)
        order = np.random.default_rng(0).permutation(seen.shape[0] * seen.shape[1])
        return seen.reshape(len(order), -1)[order].reshape(seen.shape)

    other.gains = gains
    return other


def curve(
    branches: Branches,
    known: Mapping[str, EdgeTable],
    image: np.ndarray,
    repeats: int = 1,
    shares: Sequence[float] = SHARES,
) -> Curve:
    """Time and PSNR of every way to enlarge one image.

    Args:
        branches: the supernet.
        known: tables by name, ``"mse"`` and ``"psnr_released"`` among them.
        image: sharp, uint8 ``(h, w, 3)``; its shrunken version is enlarged.
        repeats: runs of each at most; the median counts.
        shares: budgets, as shares of the time of tiles of the largest width throughout.

    Returns:
        Milliseconds and dB: ``fixed`` per width, one pass over the whole image in plain torch
        as people write it (eager, channels first); ``fixed_last`` and ``fixed_executor``, the
        largest width likewise but channels last, and by the executor that tiles are run by;
        ``released``, its loop at each published price; ``tiled``, the largest width in tiles;
        ``routed``, by table and at random, per budget; ``bounds`` and ``released_bounds``, see
        :class:`lithe.arm.speed.bounds.Oracle`.
    """
    sharp, small = _covered(*degrade(image, branches.scale))
    fixed, made = _fixed(branches, small, sharp, repeats)
    up = Upscaler(branches, known["mse"], halo="visible")
    up.tune()
    last = branches.branch(len(branches) - 1).eval()
    tiled = timed(lambda: up(small), repeats)
    ups = {name: up.routed_by(table) for name, table in known.items()} | {"random": blind(up)}
    routed: dict[str, list[dict[str, float]]] = {name: [] for name in ups}
    for share in shares:
        for name, one in ups.items():  # turn by turn, so that a slow moment hits all alike
            routed[name] += _point(one, small, sharp, share * tiled[0], repeats)
    loops = _released(up.routed_by(known["psnr_released"]), small, sharp, repeats)
    whole = [fixed[name]["ms"] for name in branches.names]
    oracle = Oracle(up, made, sharp)
    return {
        "megapixels": sharp.shape[0] * sharp.shape[1] / 1e6,
        "fixed": fixed,
        "fixed_last": _run(last.to(memory_format=torch.channels_last), small, sharp, repeats)[0],
        "fixed_executor": _run(up.runs[-1], small, sharp, repeats)[0],
        "tiled": {"ms": tiled[0], "psnr": psnr(tiled[1].image, sharp, 4)},
        "released": loops,
        "routed": routed,
        "halos": up.halos,
        "executors": [kind_of(run) for run in up.runs],
        "tile_ms": {side: list(row) for side, row in up.latencies.ms.items()},
        "bounds": {name: oracle.against_whole(whole, loss) for name, loss in LOSSES.items()},
        "released_bounds": [oracle.against(loop["ms"], loop["psnr"]) for loop in loops],
    }


def _covered(sharp: np.ndarray, small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corner that released patches cover, so that all are judged on the same pixels."""
    scale = len(sharp) // len(small)
    rows, columns = (side - (side - PATCH) % STEP for side in small.shape[:2])
    return sharp[: rows * scale, : columns * scale], small[:rows, :columns]


def _fixed(
    branches: Branches, small: np.ndarray, sharp: np.ndarray, repeats: int
) -> tuple[dict[str, dict[str, float]], list[np.ndarray]]:
    points, images = {}, []
    for j, name in enumerate(branches.names):
        net = branches.branch(j).eval()
        points[name], image = _run(net, small, sharp, repeats, torch.contiguous_format)
        images.append(image)
    return points, images


def _run(
    run: Run | nn.Module,
    small: np.ndarray,
    sharp: np.ndarray,
    repeats: int,
    layout: torch.memory_format | None = None,
) -> tuple[dict[str, float], np.ndarray]:
    """One pass over the whole image; the layout that the runner likes by default."""
    x = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
    x = x.contiguous(memory_format=layout or layout_of(run))

    def whole() -> np.ndarray:
        with torch.inference_mode():
            made = run(x)[0].clamp(0, 1).mul(255).round().to(torch.uint8)
        return made.permute(1, 2, 0).contiguous().numpy()

    ms, made = timed(whole, repeats)
    return {"ms": ms, "psnr": psnr(made, sharp, 4)}, made


def _point(
    up: Upscaler, small: np.ndarray, sharp: np.ndarray, asked: float, repeats: int
) -> list[dict[str, float]]:
    """Time and PSNR at a budget; nothing where it does not pay for interpolation."""
    try:
        ms, made = timed(lambda: up(small, ms=asked, steered=False), repeats)
    except BudgetError:
        return []
    return [{"asked": asked, "ms": ms, "psnr": psnr(made.image, sharp, 4)}]


def _released(
    up: Upscaler, small: np.ndarray, sharp: np.ndarray, repeats: int
) -> list[dict[str, float]]:
    dearest, points = up.branches.costs(released=True)[-1], []
    for k in RELEASED:
        ms, made = timed(lambda k=k: up(small, eta=k * dearest, released=True), repeats)
        h, w = made.image.shape[:2]
        points.append({"k": k, "ms": ms, "psnr": psnr(made.image, sharp[:h, :w], 4)})
    return points


def speedups(result: Curve, table: str = "mse") -> dict[str, float | None]:
    """How many times faster routing is at a quality, from a :func:`curve`; ``None`` if never.

    Against the released loop at the price where that is least.
    """
    points = [*result["routed"][table], result["tiled"]]
    whole = list(result["fixed"].values())[-1]

    def against(other: Mapping[str, float], loss: float) -> float | None:
        ms = soonest(points, other["psnr"] - loss)
        return None if ms is None else other["ms"] / ms

    found = {f"whole_at_{name}": against(whole, loss) for name, loss in LOSSES.items()}
    loops = [against(loop, 0.0) for loop in result["released"]]
    return found | {"released_at_equal": None if None in loops else min(loops)}


def soonest(points: Sequence[Mapping[str, float]], quality: float) -> float | None:
    """Milliseconds at which a curve first reaches a PSNR, linear between points."""
    order = sorted(points, key=lambda point: point["ms"])
    before = None
    for point in order:
        if point["psnr"] >= quality:
            if before is None:
                return point["ms"]
            share = (quality - before["psnr"]) / (point["psnr"] - before["psnr"])
            return before["ms"] + share * (point["ms"] - before["ms"])
        if before is None or point["psnr"] > before["psnr"]:
            before = point
    return None


def leads(result: Curve, table: str = "mse", over: str = "psnr") -> list[float]:
    """By how many dB one table's curve is above another's, budget by budget."""
    other = {point["asked"]: point["psnr"] for point in result["routed"][over]}
    return [p["psnr"] - other[p["asked"]] for p in result["routed"][table] if p["asked"] in other]
