"""The clocks, run on a clock of our own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lithe.onexn.speed import timing
from lithe.onexn.speed.timing import Times, Way, in_turn


class Clock:
    """Time passes only when a way says so."""

    def __init__(self) -> None:
        self.now = 0
        self.calls: list[str] = []

    def way(self, name: str, ms: float, pool: str = "torch") -> Way:
        def call() -> None:
            self.now += round(ms * 1e6)
            self.calls.append(name)

        return Way(call, pool)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    own = Clock()
    monkeypatch.setattr(timing, "CLOCKS", dict.fromkeys(timing.CLOCKS, lambda: own.now))
    monkeypatch.setattr(timing, "SETTLE_S", 0.0)
    return own


def test_every_way_gets_its_own_milliseconds(clock: Clock) -> None:
    ways = {"slow": clock.way("slow", 4.0), "fast": clock.way("fast", 0.01)}
    times = in_turn(ways, seconds=0.0, least=7)
    assert times["slow"].samples.tolist() == [4.0] * 7
    assert times["fast"].samples == pytest.approx([0.01] * 7)
    assert times["slow"].over(times["fast"]) == pytest.approx(400)


def test_short_calls_are_repeated_until_the_clock_can_see_them(clock: Clock) -> None:
    in_turn({"fast": clock.way("fast", 0.01)}, seconds=0.0, least=1)
    looking = 1 + 3
    assert len(clock.calls) == looking + 1 + round(timing.BURST_MS / 0.01)


def test_who_begins_changes_and_pools_stay_together(clock: Clock) -> None:
    ways = {
        "a": clock.way("a", 1.0),
        "x": clock.way("x", 1.0, "packed"),
        "b": clock.way("b", 1.0),
    }
    in_turn(ways, seconds=0.0, least=2)
    turns = clock.calls[3 * 4 :: 2]
    assert turns[:3] == ["a", "b", "x"]
    assert turns[3:] == ["x", "b", "a"]


def test_rounds_end_with_the_time_but_not_below_the_least(clock: Clock) -> None:
    ways = {"a": clock.way("a", 1.0)}
    assert len(in_turn(ways, seconds=0.0, least=3)["a"].samples) == 3
    assert len(in_turn(ways, seconds=60.0, least=3, most=9)["a"].samples) == 9


def test_threads_are_put_back_on_errors_too() -> None:
    before, seen = torch.get_num_threads(), []

    def call() -> None:
        seen.append(torch.get_num_threads())
        if len(seen) > 3:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        in_turn({"a": Way(call)}, threads=2, seconds=0.0)
    assert set(seen) == {2}
    assert torch.get_num_threads() == before


def test_quantiles_are_of_the_samples() -> None:
    times = Times(np.arange(1.0, 12.0))
    assert (times.median, times.low, times.least) == (6.0, 2.0, 1.0)
    assert times.over(Times(np.full(11, 2.0))) == 3.0


@pytest.mark.parametrize("bad", [{"threads": 0}, {"least": 0}, {"least": 5, "most": 4}])
def test_no_measurement_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="rounds"):
        in_turn({"a": Way(lambda: None)}, **bad)
    with pytest.raises(ValueError, match="0 ways"):
        in_turn({})
