"""The paper's rule, budgets, hulls and the controls."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe import arm


@pytest.mark.parametrize("name", ["fsrcnn", "carn"])
def test_selections_are_the_released_ones_for_every_k(golden, name):
    table, costs = arm.official_table(golden / "arm_lut_official.npz", name)
    theirs = np.load(golden / "arm_selection.npz")
    predicted = table.predict(theirs["scores"])
    assert np.array_equal(predicted, theirs[f"{name}_pred_psnr"])
    for row, k in enumerate(theirs[f"{name}_k"]):
        eta = k * costs.max()
        assert np.array_equal(arm.choose_all(predicted, costs, eta), theirs[f"{name}_choice"][row])
        per_bin = arm.choose_all(table.values.T, costs, eta)
        assert np.array_equal(per_bin, theirs[f"{name}_choice_per_bin"][row])
        one = [arm.choose(p, costs, eta) for p in predicted]
        assert one == theirs[f"{name}_choice"][row].tolist()
    best = [arm.choose(p, costs, "best") for p in predicted]
    assert best == theirs[f"{name}_choice_best"].tolist()
    assert best == [arm.choose(p, costs, math.inf) for p in predicted]


def test_ties_go_to_the_smallest_branch_and_zero_eta_to_the_cheapest():
    assert arm.choose([30.0, 31.0], [0.0, 2.0], 2.0) == 0
    assert arm.choose([30.0, 31.0], [0.0, 2.0], 2.1) == 1
    assert arm.choose([30.0, 99.0], [0.0, 2.0], 0) == 0


@pytest.mark.parametrize("eta", [-1, math.nan, "most", True, None])
def test_bad_eta_is_refused(eta):
    with pytest.raises(ValueError, match="eta is"):
        arm.choose([1.0, 2.0], [0.0, 1.0], eta)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one entry"):
        arm.choose([1.0, 2.0], [0.0, 1.0, 2.0], 1.0)
    with pytest.raises(ValueError, match=r"give \(n, m\)"):
        arm.allocate(np.zeros((3, 2)), [1.0], 1)
    with pytest.raises(ValueError, match="finite"):
        arm.allocate(np.full((3, 2), np.nan), [1.0, 2.0], 1)
    with pytest.raises(ValueError, match="costs 0 or more"):
        arm.allocate(np.zeros((3, 2)), [-1.0, 2.0], 1)
    with pytest.raises(ValueError, match="not a number"):
        arm.allocate(np.zeros((3, 2)), [1.0, 2.0], math.nan)


cases = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.floats(0, 1)
)


def drawn(case):
    """Gains, costs and a budget between the cheapest and the dearest; whole numbers make ties."""
    seed, n, m, whole, share = case
    rng = np.random.default_rng(seed)
    gains = rng.integers(0, 5, (n, m)).astype(float) if whole else rng.normal(size=(n, m))
    costs = rng.integers(0, 6, m).astype(float) if whole else rng.uniform(0, 10, m)
    budget = n * (costs.min() + share * (costs.max() - costs.min()))
    return gains, costs, budget


def total(gains, costs, routes):
    rows = np.arange(len(routes))
    return gains[rows, routes].sum(), costs[routes].sum()


@settings(max_examples=200, deadline=None)
@given(cases)
def test_a_branch_is_on_the_hull_if_and_only_if_no_mixture_is_as_good(case):
    gains, costs, _ = drawn(case)
    on = arm.upper_hull(gains, costs)
    for gain, row in zip(gains, on):
        for j in range(len(costs)):
            others = [k for k in range(len(costs)) if k != j]
            # equals: the first stays
            beaten = any(
                costs[k] <= costs[j]
                and gain[k] >= gain[j]
                and ((costs[k], -gain[k]) != (costs[j], -gain[j]) or k < j)
                for k in others
            )
            for a, b in itertools.permutations(others, 2):
                if costs[a] < costs[j] < costs[b] and gain[a] < gain[b]:
                    t = (costs[j] - costs[a]) / (costs[b] - costs[a])
                    beaten |= (
                        gain[a] + t * (gain[b] - gain[a]) >= gain[j] - 1e-12
                    )  # ties of whole numbers
            assert row[j] == (not beaten)


@settings(max_examples=150, deadline=None)
@given(cases)
def test_budgets_are_kept_and_spent_within_one_step_of_the_best(case):
    gains, costs, budget = drawn(case)
    routes = arm.allocate(gains, costs, budget)
    gain, cost = total(gains, costs, routes)
    assert cost <= budget * (1 + 1e-9) + 1e-9
    best = -np.inf
    for choice in itertools.product(range(len(costs)), repeat=len(gains)):
        other, price = total(gains, costs, np.array(choice))
        if price <= budget:
            best = max(best, other)
    largest = (gains.max(1) - gains.min(1)).max()
    assert gain >= best - largest - 1e-9
    assert arm.upper_hull(gains, costs)[np.arange(len(routes)), routes].all()


@settings(max_examples=100, deadline=None)
@given(cases, st.floats(0, 1))
def test_more_budget_is_never_worse(case, share):
    gains, costs, budget = drawn(case)
    least = len(gains) * costs.min()
    smaller = least + share * (budget - least)
    more = total(gains, costs, arm.allocate(gains, costs, budget))[0]
    assert more >= total(gains, costs, arm.allocate(gains, costs, smaller))[0] - 1e-9


def test_a_bin_is_split_where_the_papers_rule_takes_all_of_it():
    gains, costs = np.tile([0.0, 1.0, 1.5], (100, 1)), [0.0, 2.0, 4.0]
    routes = arm.allocate(gains, costs, 250.0)
    assert np.bincount(routes, minlength=3).tolist() == [0, 75, 25]
    eta = arm.eta_for(gains, costs, 250.0)
    assert (arm.choose_all(gains, costs, eta) == 1).all()


def test_extreme_budgets():
    gains, costs = np.random.default_rng(0).normal(size=(50, 4)), [1.0, 2.0, 3.0, 4.0]
    assert np.array_equal(arm.allocate(gains, costs, math.inf), gains.argmax(1))
    assert (arm.allocate(gains, costs, 50.0) == 0).all()
    with pytest.raises(arm.BudgetError, match="below 50") as caught:
        arm.allocate(gains, costs, 49.0)
    assert caught.value.least == 50
    assert arm.allocate(gains[:0], costs, 0).shape == (0,)
    with pytest.raises(ValueError, match="budget 49 is below 50"):
        arm.eta_for(gains, costs, 49.0)


@pytest.mark.parametrize("name", ["fsrcnn", "carn"])
def test_eta_for_a_budget_is_the_last_that_fits(golden, name):
    table, costs = arm.official_table(golden / "arm_lut_official.npz", name)
    predicted = table.predict(np.load(golden / "arm_selection.npz")["scores"])
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        budget = share * costs.max() * len(predicted)
        eta = arm.eta_for(predicted, costs, budget)
        spent = costs[arm.choose_all(predicted, costs, eta)].sum()
        assert spent <= budget
        assert costs[arm.choose_all(predicted, costs, eta * (1 + 1e-6))].sum() > budget
        split = costs[arm.allocate(predicted, costs, budget)].sum()
        assert budget - costs.max() < split <= budget
        assert split >= spent - costs.max()
    assert arm.eta_for(predicted, costs, costs.max() * len(predicted)) == math.inf


def test_shuffling_keeps_the_counts_and_what_it_should_keep():
    routes = np.random.default_rng(0).integers(0, 4, 200)
    dealt = arm.shuffled(routes, torch.Generator().manual_seed(0))
    again = arm.shuffled(routes, torch.Generator().manual_seed(0))
    rest = arm.shuffled(routes, torch.Generator().manual_seed(0), keep=0)
    for other in (dealt, rest):
        assert np.array_equal(np.bincount(other), np.bincount(routes))
        assert not np.array_equal(other, routes)
    assert np.array_equal(dealt, again)
    assert np.array_equal(rest == 0, routes == 0)


def test_routes_by_score_rise_with_it():
    rng = np.random.default_rng(0)
    routes, scores = rng.integers(0, 4, 100), rng.uniform(0, 255, 100)
    dealt = arm.by_score(routes, scores)
    assert (np.diff(dealt[np.argsort(scores)]) >= 0).all()
    assert np.array_equal(np.bincount(dealt), np.bincount(routes))


def test_hindsight_beats_chance_at_the_same_budget():
    rng = np.random.default_rng(0)
    errors = np.cumsum(-rng.exponential(10, (300, 4)), 1) + 500
    costs, budget = [0.0, 1.0, 2.0, 3.0], 400.0
    best = arm.oracle(errors, costs, budget)
    blind = arm.random_routes(300, costs, budget, torch.Generator().manual_seed(0))
    rows = np.arange(300)
    for routes in (best, blind):
        assert 400 - 1 < np.array(costs)[routes].sum() <= 400
        assert set(routes) == {0, 1, 2, 3}
    assert errors[rows, best].sum() < errors[rows, blind].sum() - 1000


def test_the_chord_is_straight_between_the_branches():
    assert arm.chord([0, 10, 20], [28.0, 29.0, 29.5], 15) == 29.25
    assert arm.chord([0, 10], [28.0, 29.0], np.array([0, 5])).tolist() == [28.0, 28.5]
