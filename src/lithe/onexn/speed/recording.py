"""A measurement as the ledger keeps it: flat numbers, and tables as curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from lithe import ledger

__all__ = ["SOURCES", "record"]

SOURCES = ("lithe.onexn",)
Metrics = dict[str, Any]


def record(result: Any, code: Mapping[str, Any], root: str | Path | None = None) -> list[Path]:
    """Write the records of a :class:`lithe.onexn.bench.Result`.

    ``roof``, ``speed-layers``, ``speed-networks``, ``break-even`` and ``speed-bars``, as far as
    each was measured. Fields are named ``<what>_n<N>_p<percent>_t<threads>``.

    Args:
        result: of :func:`lithe.onexn.bench.bench`.
        code: what :func:`lithe.ledger.code_state` said before the measurement.
        root: as for :func:`lithe.ledger.record`.

    Returns:
        The paths of the records.
    """
    entries = {
        "roof": (_roof(result), None),
        "speed-layers": (_sums(result.sums), _layer_curves(result.trials)),
        "speed-networks": (_networks(result.races, result.startup), None),
        "break-even": _break_even(result.break_even),
        "speed-bars": (_bars(result.bars), None),
    }
    params = _params(result)
    return [
        ledger.record(
            "onexn",
            experiment,
            result.plan.profile,
            0,
            params,
            metrics,
            code=code,
            cost=result.cost,
            curves=curves,
            root=root,
            device="cpu",
        )
        for experiment, (metrics, curves) in entries.items()
        if metrics
    ]


def mark(n: int, sparsity: float, threads: int) -> str:
    """``n4_p50_t1``."""
    return f"n{n}_p{round(100 * sparsity)}_t{threads}"


def _params(result: Any) -> dict[str, Any]:
    layers = list(dict.fromkeys(trial.layer.name for trial in result.trials))
    load = {"before": result.load[0], "after": result.load[1]}
    about = {"machine": result.machine, "load_average": load, "layers": layers}
    return asdict(result.plan) | about


def _roof(result: Any) -> Metrics:
    roof = result.roof
    metrics = {f"gflops_t{n}": {"value": x, "unit": "GFLOP/s"} for n, x in roof.gflops.items()}
    for level, speed in roof.bandwidth.items():
        metrics[f"bandwidth_{level.lower()}"] = {"value": speed, "unit": "GB/s"}
    return metrics


def _sums(table: Iterable[Any]) -> Metrics:
    metrics: Metrics = {}
    for row in table:
        name = f"{row.group.replace(' ', '_')}_{mark(row.n, row.sparsity, row.threads)}"
        metrics[f"{name}_ratio"] = {"value": row.ratio, "unit": "×"}
        metrics[f"{name}_ratio_low"] = {"value": row.ratio_low, "unit": "×"}
        metrics[f"{name}_earned"] = {"value": row.earned, "unit": "×"}
        metrics[f"{name}_ms"] = {"value": row.packed_ms, "unit": "ms"}
        metrics[f"{name}_gflops"] = {"value": row.gflops, "unit": "GFLOP/s"}
    return metrics


def _layer_curves(trials: Iterable[Any]) -> dict[str, list[float]]:
    """One number a layer, in the order of ``params.layers``."""
    curves: dict[str, list[float]] = {}
    for trial in trials:
        curves.setdefault(f"dense_ms_t{trial.threads}", []).append(trial.dense_ms)
        for entry in trial.entries:
            name = mark(entry.n, entry.sparsity, trial.threads)
            curves.setdefault(f"ms_{name}", []).append(entry.median_ms)
            curves.setdefault(f"gflops_{name}", []).append(entry.gflops)
    for sparsity in sorted({p for trial in trials for p in trial.csr}):
        curves[f"csr_ms_p{round(100 * sparsity)}_t1"] = [
            trial.csr.get(sparsity, float("nan")) for trial in trials if trial.threads == 1
        ]
    return curves


def _networks(races: Iterable[Any], startup: Mapping[str, float]) -> Metrics:
    metrics: Metrics = {}
    for race in races:
        for other, ms in race.others.items():
            metrics[f"{race.network}_{other}_t{race.threads}_ms"] = {"value": ms, "unit": "ms"}
        for row in race.runners:
            name = f"{race.network}_{mark(row.n, row.sparsity, race.threads)}"
            name += "" if row.tuned else "_untuned"
            metrics[f"{name}_ms"] = {"value": row.median_ms, "unit": "ms"}
            ratios = {"torch": row.ratio, "earned": row.earned, **row.runtimes}
            for against, ratio in ratios.items():
                metrics[f"{name}_{against}"] = {"value": ratio, "unit": "×"}
    for name, seconds in startup.items():
        metrics[f"startup_{name}"] = {"value": seconds, "unit": "s"}
    return metrics


def _break_even(curve: Any) -> tuple[Metrics, dict[str, list[float]] | None]:
    if curve is None:
        return {}, None
    points = {f"break_even_n{n}": 100 * curve.point(n) for n in curve.speedups}
    points["break_even_csr"] = 100 * curve.point(None)
    metrics = {k: {"value": v, "unit": "%"} for k, v in points.items() if isfinite(v)}
    curves = {"sparsity": list(curve.sparsities), "csr": list(curve.csr)}
    for n in curve.speedups:
        curves[f"speedup_n{n}"] = list(curve.speedups[n])
        curves[f"earned_n{n}"] = list(curve.earned[n])
    return metrics, curves


def _bars(found: Iterable[Any]) -> Metrics:
    metrics: Metrics = {}
    for bar in found:
        metrics[bar.id] = {"value": bar.measured, "unit": bar.unit}
        if bar.low is not None:
            metrics[f"{bar.id}_low"] = {"value": bar.low, "unit": bar.unit}
    rows = list(found)
    if rows:
        metrics["bars_met"] = {"value": sum(bar.met for bar in rows), "n": len(rows)}
    return metrics
