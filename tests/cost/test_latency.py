"""Timing: the counts and the threads, never the clock."""

import pytest
import torch

from lithe import cost


def test_calls_are_warmup_plus_repeats():
    calls = []
    result = cost.latency(lambda: calls.append(1), repeats=7, warmup=3)
    assert len(calls) == 10
    assert (result.repeats, result.threads) == (7, 1)
    assert 0 <= result.p10_ms <= result.median_ms <= result.p90_ms


def test_threads_are_pinned_and_put_back():
    before = torch.get_num_threads()
    seen = []
    cost.latency(lambda: seen.append(torch.get_num_threads()), threads=2, repeats=1, warmup=0)
    assert seen == [2]
    assert torch.get_num_threads() == before


def test_threads_are_put_back_after_an_error():
    before = torch.get_num_threads()

    def fails():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cost.latency(fails, threads=2)
    assert torch.get_num_threads() == before


def test_alternatives_take_turns():
    order = []
    fns = {name: (lambda name=name: order.append(name)) for name in "abc"}
    result = cost.compare(fns, repeats=3, warmup=0)
    assert "".join(order) == "abcbcacab"
    assert list(result) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"fn": 3}, TypeError, "int"),
        ({"fn": int, "threads": 0}, ValueError, "threads is 0"),
        ({"fn": int, "repeats": 0}, ValueError, "repeats is 0"),
        ({"fn": int, "repeats": 2.5}, ValueError, "repeats is 2.5"),
        ({"fn": int, "warmup": -1}, ValueError, "warmup is -1"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(arguments, error, says):
    with pytest.raises(error, match=says):
        cost.latency(**arguments)


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        cost.compare({})
