"""Tiles, their windows and the quadtree, against every alternative there is."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.arm.blocks import Blocks
from lithe.arm.budget import BudgetError
from lithe.arm.tiles import window_areas, window_of
from lithe.arm.work import Work, reallocate


def least_value(blocks, gains, costs, level, row, column, price):
    """The best way to cover one square, by plain recursion: the twin."""
    span = 1 << level
    inside = gains[row * span : (row + 1) * span, column * span : (column + 1) * span]
    if not inside.size:
        return 0.0
    leaf = min(costs[level] - price * inside.sum((0, 1)))
    if not level:
        return leaf
    quarters = product((2 * row, 2 * row + 1), (2 * column, 2 * column + 1))
    parts = [least_value(blocks, gains, costs, level - 1, r, c, price) for r, c in quarters]
    return min(leaf, sum(parts))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 16), st.integers(1, 16), st.integers(0, 10**6), st.floats(0, 5))
def test_the_best_of_all_quadtrees_is_found(h, w, seed, price):
    rng = np.random.default_rng(seed)
    blocks = Blocks(h, w, cell=4, largest=16)
    gains = rng.random((blocks.rows, blocks.columns, 2))
    costs = [rng.random(2) * 3**level for level in range(3)]
    layout = blocks.solve(gains, costs, price)
    found = layout.cost - price * sum(
        gains[blocks.cells_of(tile)].sum((0, 1))[branch]
        for tile, branch in zip(layout.tiles, layout.branches)
    )
    assert found == pytest.approx(least_value(blocks, gains, costs, 2, 0, 0, price))
    covered = np.zeros((h, w), int)
    for tile in layout.tiles:
        covered[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
    assert (covered == 1).all()
    assert layout.cost == pytest.approx(
        sum(costs[level][branch] for level, branch in zip(layout.levels, layout.branches))
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 10**6), st.floats(0, 1.3))
def test_a_budget_is_kept_and_the_dearest_layout_below_it_is_taken(h, w, seed, share):
    rng = np.random.default_rng(seed)
    blocks = Blocks(h, w, cell=8, largest=32)
    gains = np.cumsum(rng.random((blocks.rows, blocks.columns, 3)), -1)
    costs = [np.array([0.1, 1, 3]) * 4**level * 0.9**level for level in range(3)]
    full = blocks.solve(gains, costs, 1e9).cost
    least = blocks.solve(gains, costs, 0).cost
    budget = least + share * (full - least)
    layout = blocks.spend(gains, costs, budget)
    assert least - 1e-9 <= layout.cost <= budget * (1 + 1e-9)
    assert layout.cost >= min(budget, full) - costs[2][2] * 4  # less than a few steps are left
    with pytest.raises(BudgetError):
        blocks.spend(gains, costs, 0.9 * least)


def test_without_gains_the_cheapest_layout_is_the_best():
    blocks = Blocks(64, 64, cell=8, largest=32)
    costs = [np.array([1.0, 2.0]) * 4**level * 0.9**level for level in range(3)]
    layout = blocks.spend(np.zeros((8, 8, 2)), costs, 1e9)
    assert len(layout.tiles) == 4
    assert not layout.branches.any()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 40), st.integers(0, 2))
def test_windows_hold_the_margin_up_to_the_border(h, w, halo, level):
    blocks = Blocks(h, w, cell=32, largest=128)
    side = blocks.side(level)
    areas = window_areas(side, halo, h, w)
    for row, column in np.ndindex(areas.shape):
        tile = blocks.tile(level, row, column)
        window = window_of(tile, halo, h, w)
        assert window.height * window.width == areas[row, column]
        for low, size, first, length, end in (
            (window.top, window.height, tile.top, tile.height, h),
            (window.left, window.width, tile.left, tile.width, w),
        ):
            assert low == max(first - halo, 0)
            assert low + size == min(first + length + halo, end)


def test_costs_of_single_tiles_decide():
    blocks = Blocks(64, 64, cell=32, largest=64)
    small = np.ones((2, 2, 1))
    small[0, 0] = 4.0
    whole = np.full((1, 1, 1), 6.5)
    gains = np.zeros((2, 2, 1))
    assert len(blocks.solve(gains, [small, whole], 0.0).tiles) == 1
    layout = blocks.solve(gains, [small, whole + 1], 0.0)
    assert len(layout.tiles) == 4
    assert layout.cost == 7
    assert Work.of(blocks, layout, gains, [small, whole], {32: (4,)}).costs[:, 0].tolist() == [
        *(4, 1, 1, 1)
    ]


def test_areas_add_up_to_the_image():
    blocks = Blocks(70, 33, cell=32, largest=32)
    assert blocks.areas().sum() * 32**2 == 70 * 33
    assert blocks.areas()[0, 0] == 1


@pytest.mark.parametrize(("cell", "largest"), [(32, 96), (32, 16), (0, 32)])
def test_tiles_are_powers_of_two_of_a_cell(cell, largest):
    with pytest.raises((ValueError, ZeroDivisionError)):
        Blocks(10, 10, cell, largest)


def test_work_is_bucketed_by_branch_and_kind():
    blocks = Blocks(128, 128, cell=32, largest=64)
    gains = np.random.default_rng(0).random((4, 4, 2))
    costs = [np.array([1.0, 2.0]), np.array([3.9, 8.1])]
    layout = blocks.solve(gains, costs, 3.0)
    work = Work.of(blocks, layout, gains, costs, {32: (3, 2), 64: (1, 1)})
    seen = []
    for group in work.groups():
        branch, side = work.branches[group], work.sides[group]
        assert len(set(branch)) == len(set(side)) == 1
        assert len(group) <= {32: (3, 2), 64: (1, 1)}[side[0]][branch[0]]
        work.done[group] = True
        seen += group.tolist()
    assert sorted(seen) == list(range(len(layout.tiles)))


@given(st.integers(1, 12), st.integers(0, 10**6), st.floats(0, 1.2))
def test_reallocation_keeps_to_the_budget(n, seed, share):
    rng = np.random.default_rng(seed)
    gains, costs = rng.random((n, 3)).cumsum(1), rng.random((n, 3)).cumsum(1)
    low, high = costs.min(1).sum(), costs.max(1).sum()
    budget = low + share * (high - low)
    chosen = reallocate(gains, costs, budget)
    assert costs[np.arange(n), chosen].sum() <= budget * (1 + 1e-9)
    if share >= 1:
        np.testing.assert_array_equal(chosen, gains.argmax(1))
    np.testing.assert_array_equal(reallocate(gains, costs, 0.5 * low), costs.argmin(1))


def _gained(blocks, layout, gains):
    return sum(
        gains[blocks.cells_of(tile)][..., branch].sum()
        for tile, branch in zip(layout.tiles, layout.branches)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 10**6), st.floats(0, 1))
def test_no_single_price_gains_more_within_the_budget(h, w, seed, share):
    rng = np.random.default_rng(seed)
    blocks = Blocks(h, w, cell=8, largest=32)
    gains = np.cumsum(rng.random((blocks.rows, blocks.columns, 3)), -1)
    costs = [np.array([0.1, 1, 3]) * 4**level * 0.9**level for level in range(3)]
    layouts = [blocks.solve(gains, costs, price) for price in (0, *np.logspace(-3, 3, 60))]
    budget = layouts[0].cost + share * (layouts[-1].cost - layouts[0].cost)
    found = blocks.spend(gains, costs, budget)
    fitting = [layout for layout in layouts if layout.cost <= budget]
    best = max(_gained(blocks, layout, gains) for layout in fitting)
    assert _gained(blocks, found, gains) >= best - 1e-9


def test_an_image_of_one_large_tile_is_not_left_to_the_cheapest_branch():
    """The next step of the large tile is too dear, those of its quarters are not."""
    blocks = Blocks(64, 64, cell=32, largest=64)
    gains = np.zeros((2, 2, 2))
    gains[..., 1] = [[9.0, 4.0], [3.0, 2.0]]
    costs = [np.array([0.0, 1.3]), np.array([0.0, 4.0])]
    assert blocks.spend(gains, costs, 4.0).branches.tolist() == [1]
    layout = blocks.spend(gains, costs, 3.0)
    assert blocks.map(layout).tolist() == [[1, 1], [0, 0]]
