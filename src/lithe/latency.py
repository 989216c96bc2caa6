"""How long a call takes: warmed up, threads pinned, alternatives timed turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns

import numpy as np
import torch

__all__ = ["Latency", "compare", "latency"]


@dataclass(frozen=True)
class Latency:
    """Wall-clock time of one call.

    Attributes:
        median_ms: median over the repeats, milliseconds.
        p10_ms: 10th percentile, milliseconds.
        p90_ms: 90th percentile, milliseconds.
        threads: CPU threads torch was allowed.
        repeats: timed calls.
        samples_ms: every timed call in order; where several functions took turns, entries of
            the same index were measured side by side.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    threads: int
    repeats: int
    samples_ms: tuple[float, ...] = field(default=(), repr=False)


def latency(
    fn: Callable[[], object], threads: int = 1, repeats: int = 30, warmup: int = 5
) -> Latency:
    """Time ``fn()`` with torch held to ``threads`` CPU threads.

    Args:
        fn: what to time; called without arguments, ``warmup + repeats`` times.
        threads: CPU threads for torch while timing; put back afterwards, on errors too.
        repeats: timed calls, at least 1.
        warmup: calls before the clock starts, at least 0.

    Returns:
        Median, 10th and 90th percentile in milliseconds.

    Raises:
        TypeError: ``fn`` cannot be called.
        ValueError: ``threads``, ``repeats`` or ``warmup`` is out of range.
    """
    return compare({"": fn}, threads=threads, repeats=repeats, warmup=warmup)[""]


def compare(
    fns: Mapping[str, Callable[[], object]], threads: int = 1, repeats: int = 30, warmup: int = 5
) -> dict[str, Latency]:
    """Time several calls turn by turn, so that their ratios are fair.

    Every round calls each function once, starting one further along each time: what else the
    machine does in the meantime falls on all of them alike.

    Args:
        fns: name and function, at least one.
        threads: CPU threads for torch while timing; put back afterwards, on errors too.
        repeats: timed rounds, at least 1.
        warmup: rounds before the clock starts, at least 0.

    Returns:
        One :class:`Latency` per name, in the order given.

    Raises:
        TypeError: a value of ``fns`` cannot be called.
        ValueError: nothing to time, or a count is out of range.
    """
    _check(fns, threads, repeats, warmup)
    names = list(fns)
    times: dict[str, list[float]] = {name: [] for name in names}
    with _pinned(threads):
        for turn in range(-warmup, repeats):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                elapsed = _clock(fns[name])
                if turn >= 0:
                    times[name].append(elapsed)
    return {name: _summary(times[name], threads) for name in names}


def _check(fns: Mapping[str, object], threads: int, repeats: int, warmup: int) -> None:
    if not fns:
        raise ValueError("nothing to time: give at least one function")
    for name, fn in fns.items():
        if not callable(fn):
            raise TypeError(f"{name or 'fn'} is a {type(fn).__name__}, not a function to call")
    for label, value, least in (
        ("threads", threads, 1),
        ("repeats", repeats, 1),
        ("warmup", warmup, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{label} is {value!r}; it must be a whole number of at least {least}")


@contextmanager
def _pinned(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clock(fn: Callable[[], object]) -> float:
    """Milliseconds of one call, work queued on a GPU included."""
    _wait()
    start = perf_counter_ns()
    fn()
    _wait()
    return (perf_counter_ns() - start) / 1e6


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _summary(times: list[float], threads: int) -> Latency:
    p10, median, p90 = (float(value) for value in np.percentile(times, (10, 50, 90)))
    return Latency(median, p10, p90, threads, len(times), tuple(times))
