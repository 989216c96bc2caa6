"""Whole networks, timed: packed at each block size and sparsity against everybody's dense one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lithe.onexn.engine import PackReport, pack
from lithe.onexn.masked import finalise
from lithe.onexn.networks import NETWORKS
from lithe.onexn.prune import prune
from lithe.onexn.speed.networks import network, photograph
from lithe.onexn.speed.rivals import dense_networks, runtimes
from lithe.onexn.speed.timing import Times, Way, in_turn
from lithe.onexn.speed.trial import low, relative_error

__all__ = ["Race", "Runner", "run_race"]

Key = tuple[int, float, bool]
GROSS = 1e-4  # beyond this a result is wrong; how near it has to be is a bar
PACKED = "packed"
TORCH = ("contiguous", "channels_last")


@dataclass(frozen=True)
class Runner:
    """The packed network at one block size and sparsity.

    Attributes:
        n: filters per block.
        sparsity: share of blocks dropped in every pruned layer.
        tuned: packed as for users, slow layers left to torch; else the kernels alone.
        median_ms: median over the rounds.
        low_ms: 10 % quantile with one thread, shortest round with more.
        ratio: torch eager (batch norm folded, faster layout) over this, by medians.
        ratio_low: the same by ``low_ms``.
        ratio_paired: median of the ratios within a round.
        earned: the kernels alone at 0 % over this one, by medians.
        runtimes: each inference runtime's dense network over this one, by medians.
        error: largest difference to the masked dense network over the largest output.
        dense_layers: layers that packing left to torch, dense being faster.
        runs: ``"packed"``, or the dense network that was faster on the whole.
    """

    n: int
    sparsity: float
    tuned: bool
    median_ms: float
    low_ms: float
    ratio: float
    ratio_low: float
    ratio_paired: float
    earned: float
    runtimes: dict[str, float]
    error: float
    dense_layers: int
    runs: str


@dataclass(frozen=True)
class Race:
    """All that was measured of one network with one number of threads.

    Attributes:
        network: its name.
        threads: number of threads.
        rounds: of the measurement.
        others: median milliseconds of every dense network.
        others_low: 10 % quantile with one thread, shortest round with more.
        runners: the packed networks.
        absent: what could not be timed, and why.
    """

    network: str
    threads: int
    rounds: int
    others: dict[str, float]
    others_low: dict[str, float]
    runners: tuple[Runner, ...]
    absent: tuple[str, ...]

    def runner(self, n: int, sparsity: float, tuned: bool = True) -> Runner:
        """The one of a block size and sparsity.

        Raises:
            KeyError: it was not measured.
        """
        for found in self.runners:
            if (found.n, found.sparsity, found.tuned) == (n, sparsity, tuned):
                return found
        raise KeyError(f"{self.network} was not measured at n={n}, sparsity={sparsity}")


def run_race(
    name: str,
    pairs: Sequence[tuple[int, float]],
    *,
    threads: int = 1,
    seconds: float = 10.0,
    compiled: bool = False,
    model: nn.Module | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Race:
    """Time one network in all ways, turn by turn in this process, and check every result.

    Batch 1, 224x224, everything from the first convolution to the last layer. With one thread
    the clock is the processor time of the whole process, since a runtime may use threads of its
    own; with more it is the wall clock.

    Args:
        name: one of :data:`lithe.onexn.networks.NETWORKS`.
        pairs: block sizes with sparsities, packed as for users. The kernels alone are measured
            besides at 0 %, for what sparsity earns; without zeros N makes no difference to them.
        threads: for everybody.
        seconds: spent on the rounds.
        compiled: time ``torch.compile`` as well.
        model: the network, if it has been built already.
        progress: told what is being done.

    Raises:
        ValueError: an argument out of range.
        ArithmeticError: a packed network's output differs from the masked dense one's by more
            than 1e-4 of its largest.
    """
    model = network(name) if model is None else model
    x, skip = photograph(), NETWORKS[name].skip
    keys = [(pairs[0][0], 0.0, False), *((n, p, True) for n, p in pairs)]
    ways, errors, reports = {}, {}, {}
    for key in keys:
        progress(f"{name}: packing N={key[0]}, {key[1]:.0%}{'' if key[2] else ', not tuned'}")
        packed, errors[key] = _packed(model, x, key, threads, skip)
        reports[key] = packed.report
        ways[_way(key)] = Way(_inference(packed, x), "packed")
    others, absent = runtimes(model, x, threads)
    others = dense_networks(model, x, compiled) | others
    progress(f"{name}: {len(ways) + len(others)} ways in turn, {threads} threads")
    times = in_turn(
        others | ways,
        threads=threads,
        seconds=seconds,
        clock="process" if threads == 1 else "wall",
    )
    return _race(name, threads, times, list(others), keys, errors, reports, tuple(absent))


def _way(key: Key) -> str:
    return f"packed {key}"


def _packed(
    model: nn.Module, x: Tensor, key: Key, threads: int, skip: tuple[str, ...]
) -> tuple[nn.Module, float]:
    """A packed network, and how far its output is from the masked dense one's."""
    n, sparsity, tuned = key
    pruned = prune(model, n, sparsity, example=x, skip=skip)
    packed = pack(pruned, x, threads=threads, tune=tuned)
    with torch.inference_mode():
        error = relative_error(packed(x), finalise(pruned).eval()(x))
    if not error <= GROSS:
        raise ArithmeticError(f"packed N={n}, sparsity {sparsity}: off by {error:.1e}")
    return packed, error


def _inference(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    @torch.inference_mode()
    def call() -> Tensor:
        return model(x)

    return call


def _race(
    name: str,
    threads: int,
    times: dict[str, Times],
    others: list[str],
    keys: Sequence[Key],
    errors: dict[Key, float],
    reports: dict[Key, PackReport],
    absent: tuple[str, ...],
) -> Race:
    best = min((times[other] for other in TORCH), key=lambda own: own.median)
    rows = []
    for key in keys:
        own, zero = times[_way(key)], times[_way(keys[0])]
        rows.append(
            Runner(
                *key,
                own.median,
                low(own, threads),
                best.median / own.median,
                low(best, threads) / low(own, threads),
                best.over(own),
                zero.median / own.median,
                {x: times[x].median / own.median for x in others if x not in TORCH},
                errors[key],
                sum(row.kind != PACKED for row in reports[key].layers),
                reports[key].runs,
            )
        )
    medians = {other: times[other].median for other in others}
    lows = {other: low(times[other], threads) for other in others}
    return Race(name, threads, len(best.samples), medians, lows, tuple(rows), absent)
