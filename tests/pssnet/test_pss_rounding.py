"""Rounding of channels, resolutions and budgets, against golden values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithe.pssnet import PAPER_BUDGETS, Budget, make_divisible, round_to_grid, snap_resolution


def test_divisible_rounding_equals_golden(golden):
    for case in json.loads((golden / "pss_rounding.json").read_text())["make_divisible"]:
        assert make_divisible(case["v"], case["min_value"], case["divisor"]) == case["out"], case


def test_budget_rounding_equals_golden(golden):
    for case in json.loads((golden / "pss_rounding.json").read_text())["round_metric"]:
        value = round_to_grid(case["metric"], case["step"], case["offset"])
        assert value == case["target"], case


@given(st.floats(1, 5000), st.sampled_from([2, 4, 8, 16]))
def test_rounding_never_takes_more_than_a_tenth(value, divisor):
    rounded = make_divisible(value, divisor, divisor)
    assert rounded % divisor == 0
    assert rounded >= 0.9 * value
    assert abs(rounded - value) <= divisor


@given(st.floats(0, 1e6), st.floats(0.5, 1e4))
def test_a_value_lies_within_half_a_step_of_its_target(value, step):
    assert abs(round_to_grid(value, step) - value) <= step / 2 + 1  # whole targets


def test_resolutions_snap_to_multiples_of_eight():
    assert [snap_resolution(p) for p in (128.0, 131.9, 132.0, 219.9, 220.0, 224.0)] == [
        128, 128, 136, 216, 224, 224,
    ]  # fmt: skip


@pytest.mark.parametrize("value", [0, -8, float("nan"), float("inf"), "8"])
def test_channels_that_are_no_positive_number_are_refused(value):
    with pytest.raises(ValueError, match="positive, finite"):
        make_divisible(value)


def test_the_papers_grids_have_the_published_number_of_pools():
    pools = {key: len(budget.targets) for key, budget in PAPER_BUDGETS.items()}
    assert pools == {
        ("mobilenet_v1", "macs"): 45,
        ("mobilenet_v1", "gpu"): 16,
        ("mobilenet_v1", "cpu"): 20,
        ("mobilenet_v2", "macs"): 22,
        ("mobilenet_v2", "gpu"): 16,
        ("mobilenet_v2", "cpu"): 15,
    }
    first, *_, last = PAPER_BUDGETS["mobilenet_v1", "macs"].targets
    assert (first, last) == (120_000_000, 560_000_000)


def test_ties_of_a_budget_go_to_even_targets():
    budget = Budget("macs", 100, 160, 10)
    assert budget.targets == (110, 120, 130, 140, 150)
    assert [budget.target(value) for value in (115, 125, 135, 124.9)] == [120, 120, 140, 120]
    assert budget.contains(120, 115)
    assert not budget.contains(110, 115)


@pytest.mark.parametrize(("start", "stop", "step"), [(10, 20, 10), (10, 20, 0), (20, 10, 1)])
def test_a_grid_without_targets_is_refused(start, stop, step):
    with pytest.raises(ValueError, match="no target between"):
        Budget("macs", start, stop, step)


def test_budgets_in_fractions_are_refused():
    with pytest.raises(ValueError, match="whole"):
        Budget("ms", 1.0, 3.0, 0.25)
