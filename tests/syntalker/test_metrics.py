"""Metrics against golden numbers, closed forms and brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from lithe.syntalker import metrics
from lithe.syntalker.metrics import Gaussian


@pytest.fixture(scope="module")
def retrieval(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "syntalker_frechet_retrieval.npz") as file:
        return dict(file)


def test_frechet_is_golden_from_samples_and_from_moments(retrieval):
    g = retrieval
    samples = metrics.frechet_distance(g["samples_A"], g["samples_B"])
    assert samples == pytest.approx(float(g["frechet"]), rel=1e-10)
    moments = [Gaussian(g[f"mu_{k}"], g[f"sigma_{k}"]) for k in "AB"]
    assert metrics.frechet_distance(*moments) == pytest.approx(float(g["frechet"]), rel=1e-10)
    diagonal = [(g[f"diag_mu{k}"], g[f"diag_S{k}"]) for k in (1, 2)]
    assert metrics.frechet_distance(*diagonal) == pytest.approx(7, abs=1e-12)


def test_fitted_gaussian_is_golden(retrieval):
    mean, covariance = metrics.fit_gaussian(retrieval["samples_A"])
    np.testing.assert_allclose(mean, retrieval["mu_A"], atol=1e-14)
    np.testing.assert_allclose(covariance, retrieval["sigma_A"], atol=1e-14)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_frechet_of_commuting_gaussians_in_closed_form(seed, d):
    """With a common eigenbasis the distance is that of means plus that of standard deviations."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    m, s = rng.normal(size=(2, d)), rng.uniform(0, 3, (2, d))
    s[0, 0] = 0  # singular: a general matrix root fails here
    a, b = (Gaussian(mean, (basis * sd**2) @ basis.T) for mean, sd in zip(m, s, strict=True))
    expected = ((m[0] - m[1]) ** 2).sum() + ((s[0] - s[1]) ** 2).sum()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, abs=1e-6, rel=1e-7)


def test_frechet_equals_the_general_matrix_root_and_is_symmetric():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(200, 5)), rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5)) + 1
    (m, s), (n, t) = metrics.fit_gaussian(x), metrics.fit_gaussian(y)
    direct = ((m - n) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert metrics.frechet_distance(x, y) == pytest.approx(direct, rel=1e-9)
    assert metrics.frechet_distance(y, x) == pytest.approx(direct, rel=1e-9)
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.ones((1, 3)), "n >= 2"),
        (np.full((4, 3), np.nan), "12 values are NaN"),
        (np.ones((4, 2)), "equal widths"),
        ((np.zeros(3), np.diag([1.0, 1, -1])), "eigenvalue -1"),
        ((np.zeros(3), np.triu(np.ones((3, 3)))), "not symmetric"),
        ((np.zeros(3), np.eye(2)), r"\(d,\) and \(d, d\)"),
    ],
)
def test_frechet_refuses(a, message):
    with pytest.raises(ValueError, match=message):
        metrics.frechet_distance(a, np.random.default_rng(0).normal(size=(9, 3)))


def test_retrieval_is_golden(retrieval):
    text, motion = retrieval["text_emb"], retrieval["motion_emb"]
    np.testing.assert_allclose(metrics.r_precision(text, motion), retrieval["r_precision_top123"])
    assert metrics.mm_dist(text, motion) == pytest.approx(float(retrieval["matching_score"]))


def test_r_precision_by_brute_force_over_batches():
    rng = np.random.default_rng(0)
    text = rng.normal(size=(70, 3))
    motion = text + rng.normal(size=(70, 3))
    hits = []
    for start in (0, 32):  # the last 6 rows fill no batch
        for k in range(32):
            distances = [np.linalg.norm(text[start + k] - m) for m in motion[start : start + 32]]
            hits.append(sorted(range(32), key=distances.__getitem__).index(k))
    expected = [np.mean(np.array(hits) < top) for top in (1, 2, 3, 4)]
    np.testing.assert_allclose(metrics.r_precision(text, motion, top=4), expected)


def test_an_encoder_that_maps_everything_to_one_point_finds_nothing():
    same = np.ones((32, 4))
    assert metrics.r_precision(same, same).tolist() == [0, 0, 0]
    assert metrics.mm_dist(same, same) == 0


def test_r_precision_refuses_less_than_a_batch():
    with pytest.raises(ValueError, match="top 3, batch 32, 8 rows"):
        metrics.r_precision(np.ones((8, 2)), np.ones((8, 2)))
    with pytest.raises(ValueError, match="pair row by row"):
        metrics.mm_dist(np.ones((8, 2)), np.ones((9, 2)))


def test_diversity_is_golden_with_the_released_draw(retrieval):
    draw = np.random.RandomState(0)
    x = retrieval["samples_B"]
    pairs = tuple(draw.choice(len(x), 100, replace=False) for _ in range(2))
    expected = float(retrieval["diversity_seed0_100pairs"])
    assert metrics.diversity(x, indices=pairs) == pytest.approx(expected, rel=1e-12)


def test_diversity_of_two_points_and_of_a_gaussian():
    generator = torch.Generator().manual_seed(0)
    x = np.random.default_rng(0).normal(size=(3000, 2))
    drawn = metrics.diversity(x, 3000, generator)
    assert drawn == pytest.approx(np.sqrt(np.pi), rel=0.03)  # mean of a Rayleigh with scale √2
    assert metrics.diversity(np.array([[0.0, 0], [3, 4]]), indices=([0], [1])) == 5
    with pytest.raises(ValueError, match="generator"):
        metrics.diversity(x)
    with pytest.raises(ValueError, match="pairs is 4000"):
        metrics.diversity(x, 4000, generator)


def test_l1_diversity_is_golden_and_leaves_its_input_alone(golden):
    with np.load(golden / "syntalker_bc.npz") as g:
        positions, expected = g["pose"].reshape(-1, 55, 3), float(g["l1div"])
    before = positions.copy()
    assert metrics.l1_diversity(positions) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(positions, before)  # G5: the released one folds it in place


def test_jitter_is_exact_on_a_cubic_and_blind_to_steady_acceleration():
    t = np.arange(40) / 30
    path = np.stack([2 * t**3, 5 * t**2, 1 - t], 1)[:, None].repeat(3, 1)
    assert metrics.jitter(path, 30) == pytest.approx(12, rel=1e-6)
    assert metrics.jitter(path - np.array([2 * t**3, 0 * t, 0 * t]).T[:, None], 30) < 1e-6


def test_jitter_of_white_noise():
    noise = 0.01 * np.random.default_rng(0).normal(size=(4000, 2, 3))
    expected = 0.01 * 30**3 * np.sqrt(20) * np.sqrt(8 / np.pi)
    assert metrics.jitter(noise, 30) == pytest.approx(expected, rel=0.02)


def feet(frames: int, height: float = 0.0, speed: float = 0.0) -> np.ndarray:
    p = np.zeros((frames, 22, 3))
    p[:, [10, 11], 1] = height
    p[:, [10, 11], 2] = speed * np.arange(frames)[:, None] / 30
    return p


def test_foot_skate_of_a_slide_is_its_speed_and_none_in_the_air():
    assert metrics.foot_skate(feet(30, speed=0.7)) == pytest.approx(0.7)
    assert metrics.foot_skate(feet(30)) == 0
    assert metrics.foot_skate(feet(30, height=0.03, speed=0.7), floor=0) == 0
    both = feet(30, speed=0.6)
    both[:, 11] = 0  # one foot slides, one stands
    assert metrics.foot_skate(both) == pytest.approx(0.3)


def test_foot_skate_weighs_by_height():
    p = feet(30, speed=1.0)
    p[:, 11] = [0, 0.0125, 0]  # stands at half the height: weight 2 - √2 against 1
    expected = 1 / (1 + 2 - np.sqrt(2))
    assert metrics.foot_skate(p) == pytest.approx(expected)


def test_longest_slide_is_that_of_the_worst_plant():
    p = feet(20)
    p[:10, 10, 0] = np.linspace(0, 0.04, 10)
    p[10:, 10, 0] = 5.0  # moved while in the air
    planted = np.ones((20, 2), bool)
    planted[10, 0] = False
    p[11:, 10, 0] = 6.0
    assert metrics.longest_slide(p, planted) == pytest.approx(0.02)
    assert metrics.longest_slide(p, np.zeros((20, 2), bool)) == 0
    with pytest.raises(ValueError, match="planted is"):
        metrics.longest_slide(p, planted[:, :1])


@pytest.mark.parametrize("call", [metrics.jitter, metrics.foot_skate, metrics.l1_diversity])
def test_positions_are_refused_at_the_door(call):
    for bad, message in [
        (np.zeros((10, 66)), "t, j, 3"),
        (np.zeros((0, 22, 3)), "t, j, 3"),
        (np.full((10, 22, 3), np.inf), "660 values are NaN or infinite"),
    ]:
        with pytest.raises(ValueError, match=message):
            call(bad)
    with pytest.raises(ValueError, match=r"joints \[10, 11\]"):
        metrics.foot_skate(np.zeros((10, 5, 3)))
    with pytest.raises(ValueError, match="fps is 0"):
        metrics.jitter(np.zeros((10, 5, 3)), 0)
