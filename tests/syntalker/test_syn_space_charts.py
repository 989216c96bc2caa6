"""What the figures of the chapter on the aligned space draw, and say when nothing is on record."""

from __future__ import annotations

import numpy as np
import pytest

from lithe.figures import PALETTE
from lithe.syntalker import space_charts
from lithe.syntalker.ablations import SPACES

EMPTY = "not on record yet"


def recalls(forth: float, back: float = 0.0) -> dict[str, float]:
    return {"text_to_motion_r1": forth, "motion_to_text_r1": back, "chance_r1": 5.0}


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_yticklabels()]


def points(axis, way: int) -> list[tuple[float, float]]:
    """Where the markers of one direction of search stand, and on which row."""
    marker = ("o", "s")[way]
    lines = [line for line in axis.lines if line.get_marker() == marker]
    return [(float(line.get_xdata()[0]), round(float(line.get_ydata()[0]))) for line in lines]


def test_figures_say_what_is_not_on_record(shelf):
    for figure, panels in (
        (space_charts.retrieval(), 2),
        (space_charts.differences(), 1),
        (space_charts.beats(), 1),
    ):
        shown = [[text.get_text() for text in axis.texts] for axis in figure.axes]
        assert shown == [[EMPTY]] * panels


def test_every_variant_has_a_row():
    assert set(space_charts.VARIANTS) == set(SPACES)
    assert {control for _, control in space_charts.PAIRS} == set(SPACES) - {"corrected"}


def test_retrieval_shows_means_of_both_ways_with_chance(shelf):
    for seed, value in enumerate((50.0, 60.0, 70.0)):
        shelf("world-space-corrected", seed, recalls(value, 40))
        shelf("world-space-shuffled", seed, recalls(4, 6))
    world, captured = space_charts.retrieval().axes
    assert points(world, 0) == [(60.0, 0), (4.0, 5)]
    assert points(world, 1) == [(40.0, 0), (6.0, 5)]
    [chance] = [line for line in world.lines if line.get_linestyle() == "--"]
    assert set(chance.get_xdata()) == {5.0}
    assert [text.get_text() for text in captured.texts] == [EMPTY]


def test_the_interval_of_three_seeds_is_students_and_of_one_seed_nothing(shelf):
    middle, half = space_charts._interval([50.0, 60.0, 70.0])
    assert middle == 60
    assert half == pytest.approx(4.302653 * 10 / np.sqrt(3), rel=1e-6)
    assert space_charts._interval([50.0]) == (50.0, 0.0)


def test_differences_are_paired_on_the_seed(shelf):
    for seed in range(3):
        shelf("cmu-space-corrected", seed, recalls(50.0 + 10 * seed))
        shelf("cmu-space-unaligned", seed, recalls(20.0 + 10 * seed))
    shelf("cmu-space-unaligned", 3, recalls(0.0))  # its pair is missing
    shelf("world-space-corrected", 0, recalls(9.0))
    shelf("world-space-unaligned", 0, recalls(1.0))  # one pair has no interval
    [axis] = space_charts.differences().axes
    assert labels(axis) == ["with − without the contrast, cmu"]
    low, high = axis.lines[0].get_xdata()
    assert (low, high) == pytest.approx((30.0, 30.0))


def test_beats_stand_beside_their_control(shelf):
    fields = list(space_charts.BEATS.values())
    own = {field: 0.1 * k for k, field in enumerate(fields)}
    shelf("metrics", 0, own | {f"{field}_other": 0.05 for field in fields})
    [axis] = space_charts.beats().axes
    dots, crosses = axis.lines
    assert dots.get_color() == PALETTE["blue"]
    assert list(dots.get_xdata()) == pytest.approx(list(own.values()))
    assert list(crosses.get_xdata()) == pytest.approx([0.05] * len(fields))
    assert labels(axis) == list(space_charts.BEATS)
