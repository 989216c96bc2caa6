"""A measurement as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lithe.onexn.speed.aims import Bar, Sum
from lithe.onexn.speed.limits import Roof
from lithe.onexn.speed.race import Race
from lithe.onexn.speed.trial import Trial

__all__ = ["bar_lines", "text"]


def text(result: Any) -> str:
    """The readable report of a :class:`lithe.onexn.bench.Result`."""
    lines = [*_roof_lines(result.roof, result.load)]
    for threads in result.plan.threads:
        lines += _trial_lines([t for t in result.trials if t.threads == threads], result.roof)
    lines += _sum_lines(result.sums)
    for race in result.races:
        lines += _race_lines(race)
    if result.startup:
        lines.append("")
        lines.append(
            f"MobileNetV1 compiled in {result.startup['cold_s']:.2f} s, "
            f"again with a full cache in {result.startup['warm_s']:.2f} s"
        )
    return "\n".join([*lines, *bar_lines(result.bars)])


def _roof_lines(roof: Roof, load: Sequence[float | None]) -> Iterator[str]:
    peaks = ", ".join(f"{x:.0f} with {n} threads" for n, x in roof.gflops.items())
    yield f"\n{roof.isa}: multiply-add roof in GFLOP/s: {peaks}"
    speeds = ", ".join(f"{level} {x:.0f}" for level, x in roof.bandwidth.items())
    yield f"loads of one thread in GB/s: {speeds}; load average {load[0]} before, {load[1]} after"


def _trial_lines(trials: Sequence[Trial], roof: Roof) -> Iterator[str]:
    if not trials:
        return
    threads = trials[0].threads
    keys = [(x.n, x.sparsity) for x in trials[0].entries if x.sparsity in (0.5, 0.75)]
    keys = keys or [(x.n, x.sparsity) for x in trials[0].entries]
    yield f"\nlayers, {threads} threads: ms, ratio to torch (earned by sparsity), share of the roof"
    for trial in trials:
        csr = ", ".join(f"CSR {p:.0%} x{trial.dense_ms / ms:.2f}" for p, ms in trial.csr.items())
        best = min(trial.dense, key=trial.dense.__getitem__)
        yield f"{trial.layer.name}: torch {trial.dense_ms:.3f} ms ({best}); {csr}"
        cells = []
        for n, p in keys:
            x = trial.entry(n, p)
            share = x.gflops / roof.gflops[threads]
            cells.append(
                f"N{n}@{p:.0%} {x.median_ms:.3f} x{x.ratio:.2f} ({x.earned:.2f}) {share:.0%}"
            )
        yield "    " + "; ".join(cells)


def _sum_lines(table: Sequence[Sum]) -> Iterator[str]:
    if table:
        yield "\ncount-weighted sums: dense ms, packed ms, ratio (by lows), earned, GFLOP/s"
    for row in table:
        yield (
            f"{row.group:26} N={row.n:<2} {row.sparsity:4.0%} {row.threads} thr: "
            f"{row.dense_ms:7.2f} {row.packed_ms:7.2f}  x{row.ratio:.2f} (x{row.ratio_low:.2f})  "
            f"earned x{row.earned:.2f}  {row.gflops:.0f}"
        )


def _race_lines(race: Race) -> Iterator[str]:
    others = ", ".join(f"{name} {ms:.2f}" for name, ms in race.others.items())
    yield f"\n{race.network}, {race.threads} threads, {race.rounds} rounds: {others} ms"
    for x in race.runners:
        rivals = ", ".join(f"x{ratio:.2f} {name}" for name, ratio in x.runtimes.items())
        yield (
            f"  N={x.n:<2} {x.sparsity:4.0%}{'' if x.tuned else ' kernels alone'}: "
            f"{x.median_ms:.2f} ms, x{x.ratio:.2f} torch (x{x.ratio_low:.2f} by lows), {rivals}, "
            f"earned x{x.earned:.2f}, runs {x.runs}, {x.dense_layers} layers by torch, "
            f"error {x.error:.0e}"
        )
    yield from (f"  {sentence}" for sentence in race.absent)


def bar_lines(found: Sequence[Bar]) -> Iterator[str]:
    """The table of aims."""
    yield "\nbars (by medians; in brackets by 10 % quantiles or shortest rounds)"
    for bar in found:
        sign = "<=" if bar.at_most else ">="
        by_low = "" if bar.low is None else f" ({bar.low:.3g})"
        verdict = "met" if bar.met else "NOT MET"
        yield f"{verdict:8} {bar.measured:.3g}{by_low} {sign} {bar.bar:g}  {bar.what}"
