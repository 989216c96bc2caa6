from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from lithe.stats import mean_ci, paired

NUMBERS = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)
NEAR = {"rel": 1e-9, "abs": 1e-9}  # two float64 routes to the same closed form


@given(values=NUMBERS, level=st.floats(0.5, 0.99))
def test_mean_ci_agrees_with_scipy_t(values: list[float], level: float) -> None:
    ci = mean_ci(values, level)
    error = reference.sem(values)
    if error > 1e-9:  # scipy's own interval is undefined for a spread of zero
        low, high = reference.t.interval(level, len(values) - 1, sum(values) / len(values), error)
        assert ci.low == pytest.approx(low, **NEAR)
        assert ci.high == pytest.approx(high, **NEAR)
    assert ci.half_width == pytest.approx(ci.high - ci.mean, **NEAR)


@given(wins=st.integers(0, 9), losses=st.integers(0, 9), ties=st.integers(0, 3))
def test_sign_test_agrees_with_scipy_binomial(wins: int, losses: int, ties: int) -> None:
    differences = [1.0] * wins + [-2.0] * losses + [0.0] * ties
    if len(differences) < 2:
        return
    expected = 1.0
    if wins + losses:
        expected = reference.binomtest(wins, wins + losses).pvalue
    assert paired(differences, [0.0] * len(differences)).sign_p == pytest.approx(expected, **NEAR)


def test_equal_values_have_an_interval_of_no_width() -> None:
    ci = mean_ci([0.0, 0.0, 0.0])
    assert (ci.low, ci.high, ci.sd, ci.n) == (0.0, 0.0, 0.0, 3)


def test_pairing_removes_what_the_seeds_share() -> None:
    seeds = [10.0, 50.0, 90.0]
    result = paired([s + 1 for s in seeds], seeds)
    assert (result.low, result.high) == (1.0, 1.0)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_values_without_an_interval_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least 2|finite"):
        mean_ci(values)


def test_unequal_lengths_are_refused_with_both_lengths() -> None:
    with pytest.raises(ValueError, match="3 and 2"):
        paired([1, 2, 3], [1, 2])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_outside_its_range_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        mean_ci([1.0, 2.0], level)
