"""One way to time everything that a ratio is made of."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

__all__ = ["timed"]

LONG = 1000.0  # milliseconds: what takes longer is not run again


def timed(call: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Median milliseconds of a call, and what it returned last.

    Args:
        call: what to time.
        repeats: at most; a call that takes more than a second is not repeated.
    """
    times: list[float] = []
    while not times or (len(times) < repeats and times[-1] < LONG):
        start = perf_counter()
        made = call()
        times.append(1000 * (perf_counter() - start))
    return median(times), made
