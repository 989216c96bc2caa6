"""Clocks: several ways to do the same, timed in turn, so that their ratios are fair."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["CLOCKS", "Times", "Way", "in_turn"]

#: What one thread's work is measured by, and the clock on the wall.
CLOCKS: dict[str, Callable[[], int]] = {
    "thread": time.thread_time_ns,
    "process": time.process_time_ns,
    "wall": time.perf_counter_ns,
}
BURST_MS = 0.15  # shorter calls are repeated until they take this long: clocks have a grain
SETTLE_S = 0.008  # thread pools spin for a few milliseconds after their last work


@dataclass(frozen=True)
class Way:
    """One way to do it.

    Attributes:
        call: without arguments.
        pool: whose threads it runs on. Idle threads of another pool may still be spinning, so
            with several threads a pause is made where the pool changes.
    """

    call: Callable[[], object]
    pool: str = "torch"


@dataclass(frozen=True)
class Times:
    """Milliseconds of a call, one entry a round; entries of one round were taken side by side."""

    samples: np.ndarray

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return float(np.median(self.samples))

    @property
    def low(self) -> float:
        """10 % quantile over the rounds: what it takes when little else disturbs."""
        return float(np.quantile(self.samples, 0.1))

    @property
    def least(self) -> float:
        """The shortest round."""
        return float(self.samples.min())

    def over(self, other: Times) -> float:
        """Median over the rounds of this time over the other's of the same round."""
        return float(np.median(self.samples / other.samples))


def in_turn(
    ways: Mapping[str, Way],
    *,
    threads: int = 1,
    seconds: float = 1.0,
    least: int = 5,
    most: int = 400,
    clock: str | None = None,
) -> dict[str, Times]:
    """Time every way once a round, round after round, until the time is used up.

    In its turn a way is called once uncounted, to warm the caches, and then often enough to fill
    ``BURST_MS``. Who begins changes from round to round. With one thread the clock is the
    processor time of this thread, which other processes do not stretch; with more it is the wall
    clock (1xN spec B2).

    Args:
        ways: at least one, by name.
        threads: allowed to torch meanwhile; put back afterwards.
        seconds: when to stop, once ``least`` rounds are done.
        least: rounds at least.
        most: rounds at most.
        clock: ``"thread"``, ``"process"`` or ``"wall"``.

    Returns:
        :class:`Times` by name.

    Raises:
        ValueError: nothing to time, or numbers that make no measurement.
    """
    if not ways or threads < 1 or not 1 <= least <= most:
        raise ValueError(f"{len(ways)} ways, {threads} threads, {least} to {most} rounds")
    now = CLOCKS[clock or ("thread" if threads == 1 else "wall")]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        calls = {name: _calls(way, now) for name, way in ways.items()}
        samples: dict[str, list[float]] = {name: [] for name in ways}
        end = time.perf_counter() + seconds
        turn = 0
        while turn < least or (turn < most and time.perf_counter() < end):
            _round(ways, calls, samples, turn, now, pause=SETTLE_S if threads > 1 else 0.0)
            turn += 1
    finally:
        torch.set_num_threads(before)
    return {name: Times(np.array(values)) for name, values in samples.items()}


def _calls(way: Way, now: Callable[[], int]) -> int:
    """How often a way is called in its turn; the first call of all is not looked at."""
    way.call()
    one = min(_burst(way.call, 1, now) for _ in range(3))
    return max(1, min(1000, int(np.ceil(BURST_MS / max(one, 1e-4)))))


def _round(
    ways: Mapping[str, Way],
    calls: Mapping[str, int],
    samples: dict[str, list[float]],
    turn: int,
    now: Callable[[], int],
    pause: float,
) -> None:
    pools = _rotated(list(dict.fromkeys(way.pool for way in ways.values())), turn)
    for pool in pools:
        if pause:
            time.sleep(pause)
        for name in _rotated([name for name in ways if ways[name].pool == pool], turn):
            ways[name].call()
            samples[name].append(_burst(ways[name].call, calls[name], now))


def _rotated(names: Sequence[str], turn: int) -> list[str]:
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def _burst(call: Callable[[], object], count: int, now: Callable[[], int]) -> float:
    """Milliseconds of one call out of ``count``."""
    start = now()
    for _ in range(count):
        call()
    return (now() - start) / 1e6 / count
