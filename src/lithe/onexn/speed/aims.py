"""What was aimed at, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lithe.onexn.speed.layers import POINTWISE_GROUPS, Layer
from lithe.onexn.speed.race import Race
from lithe.onexn.speed.trial import Trial

__all__ = ["Bar", "Sum", "bars", "sums"]

WIDE_NS = (4, 8, 16)
#: Least ratio to torch by sparsity and threads; the second at 50 % and one thread is for AVX2.
POINTWISE = {(0.5, 1): 2.1, (0.75, 1): 3.8, (0.9, 1): 7.0, (0.5, 2): 1.9, (0.75, 2): 3.3}
POINTWISE_AVX2 = 1.8
SQUARE = {(0.5, 1): 1.9, (0.75, 1): 3.6, (0.5, 2): 1.5, (0.75, 2): 2.7}
SINGLE = {1: 1.6, 2: 1.4}
NETWORK = {"mobilenet_v1": 2.0, "mobilenet_v2": 1.9, "resnet50": 1.8}
RUNTIME = {"mobilenet_v1": 1.35, "mobilenet_v2": 1.2, "resnet50": 1.25}
NETWORK_2, RUNTIME_2 = 1.6, 1.1
ROOF_SHARE, ROOF_SIZE = 0.8, 14
NEVER_BELOW, EXACT = 1.0, 1e-5
COLD_S, WARM_S = 15.0, 1.0


@dataclass(frozen=True)
class Bar:
    """One aim.

    Attributes:
        id: short and lasting; the record's field.
        what: in words.
        bar: the number aimed at.
        measured: the number found, by medians.
        low: by 10 % quantiles (one thread) or shortest rounds (more); None where that is moot.
        at_most: whether small is good.
        unit: of all three; a ratio's is ``"×"``.
    """

    id: str
    what: str
    bar: float
    measured: float
    low: float | None = None
    at_most: bool = False
    unit: str = "×"

    @property
    def met(self) -> bool:
        """Whether the aim is reached, by medians."""
        return self.measured <= self.bar if self.at_most else self.measured >= self.bar


@dataclass(frozen=True)
class Sum:
    """Count-weighted milliseconds of a group of layers at one block size and sparsity.

    Attributes:
        group: name of the group.
        n: filters per block.
        sparsity: share of blocks dropped.
        threads: number of threads.
        dense_ms: of torch, each layer in its faster layout, by medians.
        packed_ms: of the packed kernel, by medians.
        ratio: the two, by medians.
        ratio_low: by 10 % quantiles or shortest rounds.
        earned: the packed kernel at 0 % over itself.
        gflops: 1e9 operations per second on the weights that stay.
    """

    group: str
    n: int
    sparsity: float
    threads: int
    dense_ms: float
    packed_ms: float
    ratio: float
    ratio_low: float
    earned: float
    gflops: float


def sums(groups: Mapping[str, Mapping[Layer, int]], trials: Sequence[Trial]) -> list[Sum]:
    """Sums over every group whose layers were all measured."""
    table = []
    for threads in sorted({trial.threads for trial in trials}):
        by_layer = {trial.layer: trial for trial in trials if trial.threads == threads}
        for group, counts in groups.items():
            if counts and all(layer in by_layer for layer in counts):
                members = [(by_layer[layer], count) for layer, count in counts.items()]
                keys = [(e.n, e.sparsity) for e in members[0][0].entries]
                table += [_sum(group, n, p, threads, members) for n, p in keys]
    return table


def _sum(group: str, n: int, p: float, threads: int, members: list[tuple[Trial, int]]) -> Sum:
    rows = [(trial, trial.entry(n, p), count) for trial, count in members]
    dense = sum(count * trial.dense_ms for trial, _, count in rows)
    packed = sum(count * entry.median_ms for _, entry, count in rows)
    dense_low = sum(count * trial.dense_low_ms for trial, _, count in rows)
    packed_low = sum(count * entry.low_ms for _, entry, count in rows)
    zero = sum(count * trial.entry(n, 0.0).median_ms for trial, count in members)
    work = sum(2e-6 * c * e.nonzeros * t.layer.size**2 for t, e, c in rows)
    return Sum(
        group,
        n,
        p,
        threads,
        dense,
        packed,
        dense / packed,
        dense_low / packed_low,
        zero / packed,
        work / packed,
    )


def bars(
    table: Sequence[Sum],
    trials: Sequence[Trial],
    races: Sequence[Race],
    peak: Mapping[int, float],
    isa: str,
    startup: Mapping[str, float] | None = None,
) -> list[Bar]:
    """Every aim that the measurements can answer.

    Args:
        table: from :func:`sums`.
        trials: of single layers.
        races: of whole networks.
        peak: measured multiply-add roof in GFLOP/s by threads.
        isa: of the kernels.
        startup: ``cold_s`` and ``warm_s`` of MobileNetV1.
    """
    found = [*_sum_bars(table, isa), *_single_bars(trials), *_network_bars(races)]
    found += [*_roof_bars(trials, peak), *_always(trials, races)]
    if startup:
        for name, bar in (("cold", COLD_S), ("warm", WARM_S)):
            what = f"{name} start: seconds to compile MobileNetV1"
            found.append(Bar(f"{name}_start", what, bar, startup[f"{name}_s"], None, True, "s"))
    return found


def _sum_bars(table: Sequence[Sum], isa: str) -> Iterator[Bar]:
    narrow = {(0.5, 1): POINTWISE_AVX2} if isa == "avx2" else {}
    aims = dict.fromkeys(POINTWISE_GROUPS, POINTWISE | narrow) | {"resnet50 3x3": SQUARE}
    for row in table:
        aim = aims.get(row.group, {}).get((row.sparsity, row.threads))
        if aim is not None and row.n in WIDE_NS:
            mark = f"n{row.n}_p{round(100 * row.sparsity)}_t{row.threads}"
            what = f"{row.group} sum, N={row.n}, {row.sparsity:.0%}, {_threads(row.threads)}"
            name = row.group.replace(" ", "_")
            yield Bar(f"{name}_{mark}", f"{what} vs torch", aim, row.ratio, row.ratio_low)


def _single_bars(trials: Sequence[Trial]) -> Iterator[Bar]:
    for threads, aim in SINGLE.items():
        rows = [
            (entry.ratio, entry.ratio_low, trial.layer.name)
            for trial in trials
            for entry in trial.entries
            if trial.threads == threads and trial.layer.kernel == 1
            if (entry.n, entry.sparsity) == (4, 0.5)
        ]
        if rows:
            ratio, by_low, name = min(rows)
            what = f"worst single 1x1 layer ({name}), N=4, 50%, {_threads(threads)} vs torch"
            yield Bar(f"worst_1x1_n4_p50_t{threads}", what, aim, ratio, by_low)


def _network_bars(races: Sequence[Race]) -> Iterator[Bar]:
    for race in races:
        rows = {(x.n, x.sparsity): x for x in race.runners if x.tuned}
        if race.network not in NETWORK or (4, 0.5) not in rows or race.threads > 2:
            continue
        own, one = rows[4, 0.5], race.threads == 1
        mark, where = f"{race.network}_n4_p50_t{race.threads}", _threads(race.threads)
        aim = NETWORK[race.network] if one else NETWORK_2
        what = f"whole {race.network}, N=4, 50%, {where} vs"
        yield Bar(f"{mark}_torch", f"{what} torch", aim, own.ratio, own.ratio_low)
        if "onnxruntime" in own.runtimes:
            aim = RUNTIME[race.network] if one else RUNTIME_2
            by_low = race.others_low["onnxruntime"] / own.low_ms
            ratio = own.runtimes["onnxruntime"]
            yield Bar(f"{mark}_onnxruntime", f"{what} onnxruntime", aim, ratio, by_low)


def _roof_bars(trials: Sequence[Trial], peak: Mapping[int, float]) -> Iterator[Bar]:
    rows = [
        (entry.gflops / peak[1], entry.gflops_low / peak[1], f"{trial.layer.name}, N={entry.n}")
        for trial in trials
        for entry in trial.entries
        if trial.threads == 1 and trial.layer.size >= ROOF_SIZE
        if entry.n >= 4 and entry.sparsity == 0.5
    ]
    if rows:
        share, by_low, name = min(rows)
        what = f"worst share of the multiply-add roof, layers of 14x14 up, N>=4, 50% ({name})"
        yield Bar("roof_share_worst", what, ROOF_SHARE, share, by_low, unit="")
        middle = sorted(rows)[len(rows) // 2]
        what = f"the same, the middle one ({middle[2]})"
        yield Bar("roof_share_median", what, ROOF_SHARE, middle[0], middle[1], unit="")


def _always(trials: Sequence[Trial], races: Sequence[Race]) -> Iterator[Bar]:
    rows = [
        (x.ratio, x.ratio_low, f"{race.network}, N={x.n}, {x.sparsity:.0%}, {race.threads} threads")
        for race in races
        for x in race.runners
        if x.tuned
    ]
    if rows:
        ratio, by_low, name = min(rows)
        what = f"worst whole network ({name}) vs torch"
        yield Bar("worst_network", what, NEVER_BELOW, ratio, by_low)
    errors = [entry.error for trial in trials for entry in trial.entries]
    errors += [runner.error for race in races for runner in race.runners]
    if errors:
        what = "largest difference to the masked dense result, relative"
        yield Bar("error", what, EXACT, max(errors), None, True, "")


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
