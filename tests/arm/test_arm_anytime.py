"""Anytime curves against enumeration and against the upscaler; routers against what they know."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.arm import (
    EdgeTable,
    Mixed,
    Supernet,
    Upscaler,
    allocate,
    degrade,
    measure,
    psnr,
    routers,
)
from lithe.arm import anytime as curves
from lithe.arm.branches import Interpolation
from lithe.arm.metrics import psnr_of
from lithe.arm.observed import correlation, measure_again, observations, shares
from lithe.arm.testsets import Pictures, bundled

COSTS = np.array([0.0, 1.0, 3.0, 4.0])


def made_up(rng: np.random.Generator, n: int = 5, images: int = 2) -> curves.Cells:
    squared = np.sort(rng.integers(1, 1000, (4, n)).astype(float), 0)[::-1]
    scores = rng.uniform(0, 100, n)
    return curves.Cells(
        squared,
        rng.integers(1, 9, n).astype(float),
        np.arange(n) % images,
        np.full(images, 500),
        {"laplacian": scores, "variance": scores[::-1]},
        COSTS,
        ("a", "b", "c", "d"),
    )


@pytest.fixture(scope="module")
def net() -> Supernet:
    generator = torch.Generator().manual_seed(5)
    return Supernet("fsrcnn", widths=(8, 12), base="bilinear", generator=generator).eval()


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return bundled(("astronaut", "rocket")).cut(200)


def test_branches_alone_have_the_psnr_of_the_whole_image(net, pictures):
    cells = curves.survey(net, pictures.images.values())
    for number, picture in enumerate(pictures.images.values()):
        large, small = degrade(picture)
        x = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
        for j in range(len(net)):
            with torch.inference_mode():
                whole = (net(x, j).clamp(0, 1) * 255).round()[0].permute(1, 2, 0).numpy()
            assert cells.psnr[j, number] == pytest.approx(psnr(whole, large, 4), abs=1e-9)


def test_a_routing_has_the_error_of_what_the_upscaler_makes_of_it(net, pictures):
    """Summing cells is right only if tiled and whole give the same pixels."""
    picture = pictures.images["rocket"]
    cells = curves.survey(net, [picture])
    edges = np.add(np.quantile(cells.scores["laplacian"], [0, 0.5, 1]), [-1, 0, 1])
    table = EdgeTable(edges, [[9, 0], [1, 2], [0, 9]], [1, 1])  # by halves, none what is best
    large, small = degrade(picture)
    found = Upscaler(net, table, largest=32)(small, eta="best")
    routes = found.routes.ravel()
    assert set(routes) == {0, 2}
    error = cells.squared[routes, np.arange(len(routes))].sum() / cells.pixels[0]
    assert psnr(found.image, large, 4) == pytest.approx(float(psnr_of(error)), abs=1e-3)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_hindsight_is_the_best_of_all_routings_at_the_budgets_of_its_steps(seed):
    cells = made_up(np.random.default_rng(seed), n=4, images=1)
    found = curves.ladder(-cells.error, cells.squared, COSTS, cells.area)
    everywhere = np.arange(4)
    every = [np.array(r) for r in itertools.product(range(4), repeat=4)]
    spent = np.array([(COSTS[r] * cells.area).sum() for r in every])
    error = np.array([cells.squared[r, everywhere].sum() for r in every])
    for cost, squared in zip(found.spent, found.squared):
        assert squared == pytest.approx(error[spent <= cost + 1e-9].min())


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_ladder_adds_up_to_the_errors_of_its_routings(seed):
    rng = np.random.default_rng(seed)
    cells, gains = made_up(rng, images=1), rng.normal(size=(5, 4))
    found = curves.ladder(gains, cells.squared, COSTS, cells.area)
    route = found.start.copy()
    for k in range(len(found.cell) + 1):
        assert found.spent[k] == pytest.approx((COSTS[route] * cells.area).sum())
        assert found.squared[k] == pytest.approx(cells.squared[route, np.arange(5)].sum())
        if k < len(found.cell):
            route[found.cell[k]] = found.branch[k]


def test_with_equal_cells_the_ladder_is_what_allocate_buys():
    rng = np.random.default_rng(3)
    gains, squared = rng.uniform(0, 9, (40, 4)), rng.uniform(0, 9, (4, 40))
    found = curves.ladder(gains, squared, COSTS, np.ones(40))
    for k in (0, 1, 7, len(found.cell) // 2, len(found.cell)):
        routes = allocate(gains, COSTS, found.spent[k])
        assert COSTS[routes].sum() == pytest.approx(found.spent[k])
        assert squared[routes, np.arange(40)].sum() == pytest.approx(found.squared[k])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_no_router_beats_hindsight_by_more_than_a_step(seed):
    rng = np.random.default_rng(seed)
    cells = made_up(rng, n=60)
    best = curves.anytime(cells, -cells.error)
    for gains in (rng.normal(size=(60, 4)), np.zeros((60, 4))):
        assert (curves.anytime(cells, gains) <= best + 0.7).all()
    # at full budget hindsight is free to take the best branch of every cell
    least = np.bincount(cells.image, cells.squared.min(0)) / cells.pixels
    assert best[:, -1] == pytest.approx(psnr_of(least))


def test_the_chord_runs_through_the_branches_on_the_hull():
    cells = made_up(np.random.default_rng(1))
    ends = curves.chord_curve(cells, np.array([0.0, 1.0]))
    assert ends[:, 0] == pytest.approx(cells.psnr[0])
    assert ends[:, 1] == pytest.approx(cells.psnr[3])
    middle = curves.chord_curve(cells, np.array([0.25]))[:, 0]
    assert (middle >= cells.psnr[1] - 1e-9).all()


def test_one_budget_for_all_images_is_that_of_one_image_when_there_is_one():
    cells = made_up(np.random.default_rng(2), n=30, images=1)
    single = curves.anytime(cells, -cells.error)
    assert routers._pooled(cells, -cells.error) == pytest.approx(single)


def test_areas_and_shares_of_a_known_curve():
    curve = np.tile(np.linspace(21.0, 40.0, 20), (3, 1))
    assert curves.area(curve, np.full(3, 20.5)) == pytest.approx(np.full(3, 10.0))
    assert routers.least_share(curve, np.full(3, 40.0), 0.1) == 1.0
    assert routers.least_share(curve, np.full(3, 40.0), 10.0) == pytest.approx(0.5)


def test_random_gains_rise_with_cost_and_repeat_with_the_seed():
    one, two = (routers.random_gains(50, COSTS, torch.Generator().manual_seed(4)) for _ in range(2))
    assert np.array_equal(one, two)
    assert (np.diff(one, axis=1) >= 0).all()
    slopes = np.diff(one, axis=1) / np.diff(COSTS)
    assert (np.diff(slopes, axis=1) <= 1e-12).all()


def test_observations_find_what_was_put_in(net, pictures):
    patches = measure(net, pictures.images.values(), step=8)
    found = observations(patches)
    own = correlation(patches.scores, patches.psnr[1])
    assert found["psnr_rho_w8"]["value"] == own
    gain = patches.psnr[2] - patches.psnr[1]
    assert found["better_share_w12_w8"]["value"] == pytest.approx(100 * (gain > 0).mean())
    assert correlation(np.arange(5), np.arange(5) ** 2) == pytest.approx(1)
    again = measure_again(patches, pictures, "laplacian", 8)
    assert np.array_equal(again.scores, patches.scores)
    assert not np.array_equal(measure_again(patches, pictures, "variance", 8).scores, again.scores)


def test_the_budget_of_a_loss_is_reported_in_percent(net, pictures):
    cells = curves.survey(net, pictures.images.values(), ("laplacian", "variance"))
    patches = measure(net, pictures.images.values(), step=16)
    found = routers.compare(cells, patches, measure_again(patches, pictures, "variance", 16), 5)
    assert set(found) == set(routers.ROUTERS)
    assert all(curve.shape == (2, 20) for curve in found.values())
    assert all(0 < entry["value"] <= 100 for entry in shares(cells, found).values())


def test_nothing_to_survey_is_refused():
    with pytest.raises(ValueError, match="no images"):
        curves.survey(Mixed([Interpolation()]), [])
