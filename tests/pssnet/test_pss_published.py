"""What the published numbers say: the readings of spec 7, and curves against dense grids."""

import copy
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithe.pssnet import Published, difference, envelope, hypervolume

POINTS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100)), min_size=2, max_size=12)


@pytest.fixture(scope="module")
def published(golden):
    return Published.load(golden)


def test_the_max_net_gains_at_the_same_architecture(published):
    gains = {
        (net, base): round(published.max_net_gain(net, base), 3)
        for net in ("mbv1", "mbv2")
        for base in ("USNet", "MutualNet")
    }
    assert gains == {
        ("mbv1", "USNet"): 2.29,
        ("mbv1", "MutualNet"): 1.69,
        ("mbv2", "USNet"): 1.904,
        ("mbv2", "MutualNet"): 0.504,
    }


def test_the_low_end_is_flat(published):
    v1, v2 = published.low_end("mbv1"), published.low_end("mbv2")
    assert (v1.low, v1.high, v1.least, v1.greatest) == (106.78, 163.68, 67.9, 68.29)
    assert (v1.next_cost, v1.next_top1) == (172.79, 69.638)
    assert (v2.low, v2.high, v2.least, v2.greatest) == (69.15, 91.84, 66.384, 66.776)
    assert v2.next_top1 - v2.greatest > 1.9


def test_mutualnet_is_ahead_at_one_point(published):
    assert published.beaten_by("mbv2", "MutualNet") == [(89, 67.6, 66.768)]
    assert published.beaten_by("mbv1", "MutualNet") == []


@pytest.mark.parametrize(
    ("panel", "baseline", "mean", "least", "greatest"),
    [
        ("mbv1_flops_M", "USNet", 3.2, 2.3, 6.0),
        ("mbv1_flops_M", "MutualNet", 2.6, 1.8, 4.2),
        ("mbv2_flops_M", "USNet", 2.5, 1.8, 3.6),
        ("mbv2_flops_M", "MutualNet", 0.5, -0.9, 1.5),
        ("mbv2_gpu_us", "MutualNet", 0.8, 0.5, 1.1),
        ("mbv2_cpu_ms", "USNet", 2.0, 1.8, 2.1),
    ],
)
def test_envelopes_differ_as_the_summary_says(published, panel, baseline, mean, least, greatest):
    found = published.versus(panel, baseline)
    rounded = [round(x, 1) for x in (found.mean, found.least, found.greatest)]
    assert rounded == [mean, least, greatest]


def test_mixed_supernets_reuse_their_flops_subnets(published):
    assert published.reused("mbv1", "gpu_us") == (18, 18)
    assert published.reused("mbv1", "cpu_ms") == (17, 24)


def test_readme_points_without_a_plotted_twin_are_found(published):
    lost = published.readme_mismatches()
    assert ("PSS-MBV1-M", "FLOPs", 309.0, 73.5) in lost  # plotted as 311.9, 72.38
    assert {("PSS-MBV1-G", "GPU Latency", x) for x in (148.0, 94.0, 76.0)} <= {r[:3] for r in lost}
    assert ("PSS-MBV1-F", "FLOPs", 555.0, 74.2) not in lost


def test_curves_that_lack_a_series_are_refused(golden):
    curves = json.loads((golden / "pss_published_curves.json").read_text())
    short = copy.deepcopy(curves)
    short["mbv1_flops_M"]["USNet"]["x"].pop()
    del curves["mbv2_cpu_ms"]["MutualNet"]
    for broken, name in ((short, "USNet of mbv1_flops_M"), (curves, "MutualNet of mbv2_cpu_ms")):
        with pytest.raises(ValueError, match=f"lack {name}"):
            Published(broken)


@given(POINTS)
def test_an_envelope_rises_and_covers_every_point(points):
    best = envelope(points)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(best))
    for x, y in points:
        assert max(top for cost, top in best if cost <= x) >= y


@given(POINTS, st.integers(10, 60), st.integers(0, 60))
def test_hypervolume_equals_counting_unit_squares(points, dearest, worst):
    squares = sum(
        any(x <= column and y >= row + 1 for x, y in points)
        for column in range(dearest)
        for row in range(worst, 100)
    )
    assert hypervolume(points, dearest, worst) == squares


@given(POINTS, POINTS)
def test_differences_equal_a_dense_grid(ours, theirs):
    lines = []
    for points in (ours, theirs):
        best = envelope(points)
        lines.append(np.array([*best, (max(x for x, _ in points) + 1e-12, best[-1][1])]).T)
    (x1, y1), (x2, y2) = lines
    low, high = max(x1[0], x2[0]), min(x1[-1], x2[-1])
    if high - low < 0.5:
        return
    found = difference(ours, theirs)
    grid = np.linspace(low, high, 20_001)
    gap = np.interp(grid, x1, y1) - np.interp(grid, x2, y2)
    assert found.mean == pytest.approx(gap.mean(), abs=0.03)
    assert found.least <= gap.min() + 1e-6
    assert found.greatest >= gap.max() - 1e-6


def test_curves_without_points_or_range_are_refused():
    with pytest.raises(ValueError, match="at least one pair"):
        envelope([])
    with pytest.raises(ValueError, match="share no range"):
        difference([(1, 1), (2, 2)], [(3, 1), (4, 2)])
    with pytest.raises(ValueError, match="share no range"):
        difference([(1, 1), (5, 2)], [(1, 1), (5, 2)], (7, 9))
