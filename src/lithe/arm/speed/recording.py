"""A measurement as the ledger keeps it: flat numbers, and the curves beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lithe import ledger
from lithe.arm.speed.aims import Aim
from lithe.arm.speed.curves import leads, speedups

__all__ = ["SOURCES", "record"]

#: What decides a speed or a quality here; training and the other exhibits do not.
SOURCES = (
    *("lithe.arm.speed", "lithe.arm.bench"),
    *(
        f"lithe.arm.{name}"
        for name in (
            *("blocks", "branches", "budget", "calibrate", "carn", "choose", "deadline", "degrade"),
            *("edge", "executors", "fsrcnn", "hull", "imresize", "job", "latencies", "margin"),
            *("metrics", "official", "pace", "painter", "photo", "receptive", "released_cutting"),
            *("subpixel", "supernet", "table", "tiles", "upscaler", "work"),
        )
    ),
)
Metrics = dict[str, Any]


def record(
    result: Mapping[str, Any],
    found: Iterable[Aim],
    code: Mapping[str, Any],
    cost: Mapping[str, Any],
    root: str | Path | None = None,
) -> list[Path]:
    """Write the records of a :func:`lithe.arm.bench.bench`.

    ``speed-curves``, with fields ``<backbone>_<image>_t<threads>_<what>``; ``speed-promises``;
    and ``speed-aims``, with the fields of :class:`lithe.arm.speed.aims.Aim`. A speed that no
    point reached the quality for is recorded as 0.

    Args:
        result: what was measured.
        found: its goals.
        code: what :func:`lithe.ledger.code_state` said before the measurement.
        cost: wall seconds and memory.
        root: as for :func:`lithe.ledger.record`.

    Returns:
        The paths of the records.
    """
    metrics, curves = _curves(result["curves"])
    entries = {
        "speed-curves": (metrics, curves),
        "speed-promises": (_promises(result), None),
        "speed-aims": (_aims(found), None),
    }
    return [
        ledger.record(
            "arm",
            experiment,
            result["plan"]["profile"],
            0,
            result["plan"],
            flat,
            code=code,
            cost=cost,
            curves=lists,
            root=root,
            device="cpu",
        )
        for experiment, (flat, lists) in entries.items()
    ]


def _curves(parts: Mapping[int, Any]) -> tuple[Metrics, dict[str, list[float]]]:
    metrics: Metrics = {}
    curves: dict[str, list[float]] = {}
    for threads, part in parts.items():
        for backbone, kinds in part.items():
            for kind, one in kinds.items():
                tag = f"{backbone}_{kind}_t{threads}"
                metrics |= {f"{tag}_{name}": value for name, value in _of(one).items()}
                for name, points in one["routed"].items():
                    for field in ("asked", "ms", "psnr"):
                        curves[f"{tag}_{name}_{field}"] = [point[field] for point in points]
    return metrics, curves


def _of(one: Mapping[str, Any]) -> Metrics:
    singles = {f"fixed_{name}": point for name, point in one["fixed"].items()}
    for name in ("fixed_last", "fixed_executor", "tiled"):
        singles[name] = one[name]
    singles |= {f"released_k{loop['k']:g}": loop for loop in one["released"]}
    metrics: Metrics = {}
    for name, point in singles.items():
        metrics[f"{name}_ms"] = {"value": point["ms"], "unit": "ms"}
        metrics[f"{name}_psnr"] = {"value": point["psnr"], "unit": "dB"}
    for table in one["routed"]:
        for name, ratio in speedups(one, table).items():
            metrics[f"{table}_{name}"] = {"value": ratio or 0.0, "unit": "×"}
    for over in one["routed"]:
        if over != "mse":
            lead = leads(one, over=over)
            if lead:
                metrics[f"mse_over_{over}"] = {"value": min(lead), "unit": "dB"}
    for loop, ratio in zip(one["released"], one["released_bounds"]):
        metrics[f"bound_released_k{loop['k']:g}"] = {"value": ratio, "unit": "×"}
    for loss, by in one["bounds"].items():
        for name, ratio in by.items():
            metrics[f"bound_{name}_{loss}"] = {"value": ratio, "unit": "×"}
    return metrics


def _promises(result: Mapping[str, Any]) -> Metrics:
    paces, late, sizes = result["paces"], result["deadlines"], result["throughput"]
    metrics: Metrics = {
        "ms_median_off": {"value": 100 * paces["median_off"], "unit": "%", "n": len(paces["took"])},
        "ms_worst_off": {"value": 100 * paces["worst_off"], "unit": "%", "n": len(paces["took"])},
        "deadlines_missed": {"value": late["missed"], "n": late["runs"]},
        "deadline_share_used": {"value": 100 * late["median_share_used"], "unit": "%"},
        "size_spread": {"value": 100 * sizes["spread"]["full"], "unit": "%"},
        "size_spread_routed": {"value": 100 * sizes["spread"]["routed"], "unit": "%"},
    }
    for name, rates in sizes["megapixels_per_second"].items():
        for size, rate in rates.items():
            metrics[f"mp_per_second_{name}_{size:g}"] = {"value": rate, "unit": "MP/s"}
    if "memory" in result:
        metrics["gb_8k"] = {"value": result["memory"]["gb"], "unit": "GB"}
        metrics["seconds_8k"] = {"value": result["memory"]["seconds"], "unit": "s"}
    return metrics


def _aims(found: Iterable[Aim]) -> Metrics:
    metrics: Metrics = {}
    rows = list(found)
    for aim in rows:
        metrics[aim.id] = {"value": 0.0 if aim.value is None else aim.value, "unit": aim.unit}
        if aim.bound is not None:
            metrics[f"{aim.id}_bound"] = {"value": aim.bound, "unit": aim.unit}
    metrics["aims_met"] = {"value": sum(aim.met for aim in rows), "n": len(rows)}
    return metrics
