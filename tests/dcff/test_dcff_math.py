"""Schedule, proxies, scores, selection: twins written out in full, and properties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from lithe import dcff

TEMPERATURES = st.sampled_from([0.0, 0.3, 1.0, 10.0, 300.0, 4621.7, 1e4])
SEEDS = st.integers(0, 10**6)


def draw(seed, n=None, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    n = n or int(torch.randint(2, 13, (), generator=generator))
    return scale * torch.randn(n, 2, 3, 3, generator=generator)


def few(**options):
    return settings(max_examples=25, deadline=None, **options)


def scores_in_full(weight, t):
    """The definition, term by term in float64: no algebra shared with the code."""
    w = weight.flatten(1).double().numpy()
    distance = np.array([[math.dist(a, b) for b in w] for a in w])
    log_p = -t * distance
    log_p = np.array([row - np.logaddexp.reduce(row) for row in log_p])
    n = len(w)
    return [
        sum(
            math.exp(log_p[j, i]) * (log_p[j, i] - log_p[k, i]) / n
            for k in range(n)
            for i in range(n)
        )
        for j in range(n)
    ]


@few()
@given(SEEDS, TEMPERATURES)
def test_scores_equal_the_triple_sum(seed, t):
    weight = draw(seed)
    logarithms = dcff.log_proxy(dcff.pairwise_distance(weight), t)
    expected = torch.tensor(scores_in_full(weight, t), dtype=torch.float64)
    torch.testing.assert_close(dcff.kl_scores(logarithms), expected, rtol=1e-9, atol=1e-12)
    rows = dcff.kl_matrix(logarithms).sum(1)
    torch.testing.assert_close(rows, expected, rtol=1e-8, atol=1e-10)


@few()
@given(SEEDS, TEMPERATURES)
def test_proxies_are_distributions_with_their_own_filter_on_top(seed, t):
    rows = dcff.log_proxy(dcff.pairwise_distance(draw(seed)), t).exp()
    torch.testing.assert_close(rows.sum(1), torch.ones(len(rows), dtype=torch.float64))
    assert (rows.diagonal() == rows.max(1).values).all()


@few()
@given(SEEDS, TEMPERATURES)
def test_reordering_filters_reorders_everything(seed, t):
    weight = draw(seed)
    order = torch.randperm(len(weight), generator=torch.Generator().manual_seed(seed))
    one, two = (dcff.log_proxy(dcff.pairwise_distance(w), t) for w in (weight, weight[order]))
    torch.testing.assert_close(two, one[order][:, order], rtol=1e-9, atol=1e-9)
    scores = dcff.kl_scores(one)[order]
    torch.testing.assert_close(dcff.kl_scores(two), scores, rtol=1e-9, atol=1e-9)


@few()
@given(SEEDS, st.floats(1e-4, 30))
def test_scores_stay_finite_at_the_final_temperature(seed, scale):
    logarithms = dcff.log_proxy(dcff.pairwise_distance(draw(seed, scale=scale)), 1e4)
    assert dcff.kl_scores(logarithms).isfinite().all()


@pytest.mark.parametrize("t", [4621.7, 1e4])
def test_the_score_tends_to_the_total_distance(t):
    distance = dcff.pairwise_distance(draw(0, n=64))
    scores, total = dcff.kl_scores(dcff.log_proxy(distance, t)), dcff.total_distances(distance)
    torch.testing.assert_close(scores, t / 64 * total, rtol=1e-9, atol=0)
    assert spearmanr(scores, total).statistic == pytest.approx(1, abs=1e-12)


def test_distances_equal_an_independent_implementation():
    weight = draw(1, n=40)
    flat = weight.flatten(1).double().numpy()
    ours = dcff.pairwise_distance(weight).numpy()
    np.testing.assert_allclose(ours, cdist(flat, flat), rtol=1e-13, atol=1e-14)


def test_near_duplicates_keep_their_digits_at_any_scale():
    weight = draw(2, n=6).double()
    weight[1] = weight[0]
    weight[3] = weight[2] + 1e-7
    weight[4:] = 0
    for scale in (1e-8, 1.0, 1e6):
        scaled = weight * scale
        distance = dcff.pairwise_distance(scaled)
        assert distance[0, 1] == distance[4, 5] == 0
        exact = (scaled[3] - scaled[2]).norm()
        assert float(distance[2, 3]) == pytest.approx(float(exact), rel=1e-14)


def test_duplicates_share_their_mass():
    weight = draw(3, n=5)
    weight[4] = weight[1]
    rows = dcff.log_proxy(dcff.pairwise_distance(weight), 1e4).exp()
    assert rows[1].tolist() == rows[4].tolist() == [0, 0.5, 0, 0, 0.5]


def test_many_close_pairs_are_subtracted_in_pieces(monkeypatch):
    from lithe.dcff import proxy

    weight = draw(4, n=1).repeat(20, 1, 1, 1) + 1e-6 * draw(5, n=20)
    whole = dcff.pairwise_distance(weight)
    monkeypatch.setattr(proxy, "CHUNK", 50)
    assert torch.equal(dcff.pairwise_distance(weight), whole)


def test_released_scores_agree_with_the_broadcast_formula():
    proxy = dcff.released_proxy(dcff.pairwise_distance(draw(6, n=12)), 2.0)
    ratio = proxy[:, None] / (proxy[None] + 1e-7)
    torch.testing.assert_close(
        dcff.released_scores(proxy), (proxy[:, None] * ratio.log()).mean(2).sum(1)
    )


def test_large_layers_get_the_released_score_without_the_cube(monkeypatch):
    from lithe.dcff import released

    for t in (1.0, 2.0, 10.0):
        proxy = dcff.released_proxy(dcff.pairwise_distance(draw(8, n=40, scale=0.3)), t)
        exact = dcff.released_scores(proxy)
        monkeypatch.setattr(released, "LARGEST", 8)
        torch.testing.assert_close(dcff.released_scores(proxy), exact, rtol=2e-5, atol=1e-6)
        monkeypatch.undo()


def test_released_scores_are_nan_in_rows_with_a_zero_only():
    weight = draw(7, n=6)
    weight[5] = weight[4] + 50
    proxy = dcff.released_proxy(dcff.pairwise_distance(weight), 10.0)
    dead = (proxy == 0).any(1)
    assert dead.any()
    full = dcff.released_kl_matrix(proxy).sum(1)
    assert torch.equal(dcff.released_scores(proxy).isnan(), dead)
    assert torch.equal(full.isnan(), dead)


@pytest.mark.parametrize("kind", ["paper", "geometric", "stretched", "constant"])
@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_schedules_rise_from_start_and_never_leave_their_range(kind, epochs):
    values = [
        dcff.inverse_temperature(epoch, epochs, 2.0, 500.0, kind=kind)
        for epoch in range(epochs + 1)
    ]
    assert values[0] == 2.0
    assert values == sorted(values)
    assert max(values) <= 500.0 * (1 + 1e-12)


def test_only_the_geometric_schedule_is_soft_for_long():
    half = {
        kind: dcff.inverse_temperature(150, 300, kind=kind)
        for kind in ("paper", "stretched", "geometric")
    }
    assert half["paper"] == pytest.approx(1e4, rel=1e-6)
    assert half["stretched"] == pytest.approx(dcff.inverse_temperature(5, 10), rel=1e-9)
    assert half["geometric"] == pytest.approx(1e4 ** (150 / 299), rel=1e-12)


def test_paper_schedule_equals_the_sigmoid_form():
    for slope in (0.1, 1.0):
        for epoch in range(21):
            grown = 2 * 9999 * (1 + math.exp(-slope * 20)) / (1 - math.exp(-slope * 20))
            expected = grown / (1 + math.exp(-slope * epoch)) + 1 - grown / 2
            ours = dcff.inverse_temperature(epoch, 20, slope=slope)
            assert ours == pytest.approx(expected, rel=1e-9)


SCORES = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@few()
@given(SCORES, st.data())
def test_selection_is_the_sorted_definition(values, data):
    keep = data.draw(st.integers(1, len(values)))
    best = sorted(range(len(values)), key=lambda i: (-values[i], i))[:keep]
    scores = torch.tensor(values, dtype=torch.float64)
    assert dcff.select(scores, keep, policy="by_score").tolist() == best
    assert dcff.select(scores, keep).tolist() == sorted(best)
    loose = dcff.select(scores, keep, policy="unsorted_topk")
    assert len(set(loose.tolist())) == keep
    assert sorted(scores[loose].tolist()) == sorted(scores[best].tolist())


@few()
@given(SCORES, st.data())
def test_slot_stable_keeps_survivors_where_they_were(values, data):
    keep = data.draw(st.integers(1, len(values)))
    order = data.draw(st.permutations(range(len(values))))
    previous = torch.tensor(order[:keep])
    scores = torch.tensor(values, dtype=torch.float64)
    slots = dcff.select(scores, keep, previous, "slot_stable")
    chosen = dcff.select(scores, keep)
    assert slots.sort().values.tolist() == chosen.tolist()
    for slot, filter_ in enumerate(order[:keep]):
        assert (slots[slot] == filter_) == (filter_ in chosen.tolist())
    newcomers = slots[~torch.isin(slots, previous)]
    assert newcomers.tolist() == sorted(newcomers.tolist())


def test_slot_stable_starts_ascending():
    scores = torch.tensor([3.0, 1.0, 2.0])
    assert dcff.select(scores, 2, None, "slot_stable").tolist() == [0, 2]


def test_integers_of_numpy_are_integers():
    assert dcff.select(torch.arange(4.0), np.int64(2)).tolist() == [2, 3]
    assert dcff.inverse_temperature(np.int64(1), np.int32(300)) == pytest.approx(4621.709455)
    assert dcff.kept(np.int64(160), 0.8) == 31


NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: dcff.inverse_temperature(-1, 10), "epoch is -1"),
        (lambda: dcff.inverse_temperature(11, 10), "epoch is 11"),
        (lambda: dcff.inverse_temperature(NAN, 10), "epoch is nan"),
        (lambda: dcff.inverse_temperature(0, 0), "epochs is 0"),
        (lambda: dcff.inverse_temperature(0, 2.5), "epochs is 2.5"),
        (lambda: dcff.inverse_temperature(0, 9, start=0), "start is 0"),
        (lambda: dcff.inverse_temperature(0, 9, end=math.inf), "end is inf"),
        (lambda: dcff.inverse_temperature(0, 9, slope=-1), "slope is -1"),
        (lambda: dcff.inverse_temperature(0, 9, kind="linear"), "'linear'.*geometric"),
        (lambda: dcff.pairwise_distance(torch.zeros(3)), r"\(3,\)"),
        (lambda: dcff.pairwise_distance(torch.zeros(0, 3)), r"\(0, 3\)"),
        (lambda: dcff.pairwise_distance(torch.tensor([[1.0], [NAN]])), "1 of 2 filters"),
        (lambda: dcff.log_proxy(torch.zeros(2, 3), 1.0), r"\(2, 3\)"),
        (lambda: dcff.log_proxy(torch.zeros(2, 2), -1.0), "t is -1"),
        (lambda: dcff.log_proxy(torch.zeros(2, 2), NAN), "t is nan"),
        (lambda: dcff.kl_scores(torch.zeros(3)), r"\(3,\)"),
        (lambda: dcff.select(torch.zeros(3), 4), "keep is 4.*1 to 3"),
        (lambda: dcff.select(torch.zeros(3), 0), "keep is 0"),
        (lambda: dcff.select(torch.tensor([1, NAN]), 1), "1 of 2 scores are NaN"),
        (lambda: dcff.select(torch.zeros(3), 1, policy="best"), "'best'.*slot_stable"),
        (
            lambda: dcff.select(torch.zeros(3), 2, torch.tensor([1, 1]), "slot_stable"),
            r"\[1, 1\]",
        ),
        (lambda: dcff.random_scores(3, None), "generator"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
