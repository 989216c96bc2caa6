"""What the figures of the chapter on motion draw, and what they say when nothing is on record."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from lithe.syntalker import BODY, charts, h3d, mover, talker

EMPTY = "not on record yet"


@pytest.fixture(scope="module")
def spoken():
    return talker(0, 2.0, BODY)


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def labels(axis) -> list[str]:
    return [line.get_label() for line in axis.lines if not line.get_label().startswith("_")]


def errors(*values: float) -> dict[str, float]:
    found = {f"error_layers_{k}": value for k, value in enumerate(values, start=1)}
    return found | {"error": values[-1]}


def test_figures_of_records_say_what_is_not_on_record(shelf, spoken):
    assert [texts(axis) for axis in charts.depth().axes] == [[EMPTY], [EMPTY]]
    assert [texts(axis) for axis in charts.ladder().axes] == [[EMPTY], [EMPTY]]
    assert texts(charts.onsets(spoken.speech).axes[1]) == [EMPTY]


def test_corpora_tell_paths_and_conditions_apart(shelf, spoken):
    walker = mover(1, "walk", 2.0, BODY, in_progress=1)
    paths, bars = charts.corpora([spoken, spoken], [walker]).axes
    assert labels(paths) == ["talkers", "movers"]
    sideways, forward = paths.lines[-1].get_data()
    np.testing.assert_allclose(forward, walker.motion.root[:, 2] - walker.motion.root[0, 2])
    np.testing.assert_allclose(sideways[0], 0)
    assert [bar.get_height() for bar in bars.patches] == [1, 0, 0, 0, 1, 0]


def test_onset_flags_are_drawn_where_each_way_puts_them(shelf, spoken):
    shelf("speech", 0, {"clips": 3}, {"released": [4.0, 0.0, 0.0], "corrected": [4.0, 5.0, 6.0]})
    left, right = charts.onsets(spoken.speech).axes
    seconds = {line.get_label(): line.get_xdata() for line in left.lines}
    np.testing.assert_allclose(seconds["released"] * 512, seconds["corrected"])
    assert len(seconds["corrected"]) > 2
    assert seconds["corrected"][-1] < spoken.speech.seconds
    drawn = {line.get_label(): list(line.get_ydata()) for line in right.lines}
    assert drawn == {"corrected": [4.0, 5.0, 6.0], "released": [4.0, 0.0, 0.0]}


def test_windows_draw_movement_in_millimetres_and_their_edges(shelf):
    at, fall = h3d.channels(22), 0.01 * np.arange(12)
    features = np.zeros((12, 263), np.float32)
    features[:, at["height"]] = fall[:, None]
    features[:, at["ric"].start + 1 : at["ric"].stop : 3] = fall[:, None]
    (axis,) = charts.windows({"falling": features, "still": 0 * features}, 4).axes
    moving, still, *edges = axis.lines
    np.testing.assert_allclose(moving.get_ydata(), 10.0, rtol=1e-4)  # all joints, 1 cm a frame
    assert list(moving.get_xdata()) == list(range(1, 12))
    assert not np.any(still.get_ydata())
    assert [edge.get_xdata()[0] for edge in edges] == [4, 8]


def test_movement_of_a_real_motion_leaves_the_way_of_the_root_out(shelf):
    walk = mover(1, "walk", 2.0, BODY, in_progress=1).motion.positions
    features = h3d.encode(walk)
    (axis,) = charts.windows({"walk": features}, 16).axes
    p = torch.from_numpy(h3d.recover(features)).double()
    p = p - p[:, :1] * torch.tensor([1.0, 0.0, 1.0])
    by_hand = [1000 * (b - a).norm(dim=1).mean().item() for a, b in itertools.pairwise(p)]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), by_hand, rtol=1e-5)


def test_depth_draws_means_intervals_and_what_was_trained_shallow(shelf):
    for seed, more in enumerate((0.0, 2.0)):
        shelf("world-codec-parts", seed, errors(40 + more, 30 + more, 20 + more))
        shelf("world-codec-depth-1", seed, errors(35 + more))
    shelf("world-codec-depth-2", 0, errors(39, 28))
    shelf("world-codec-no-dropout", 0, errors(50, 30, 19))
    world, cmu = charts.depth().axes
    drawn = {c.get_label(): c for c in world.containers}
    means = {name: list(c.lines[0].get_ydata()) for name, c in drawn.items()}
    assert means == {"quantise dropout": [41, 31, 21], "no dropout": [50, 30, 19]}
    assert [c.has_yerr for c in drawn.values()] == [True, False]  # one seed has no interval
    (bars,) = drawn["quantise dropout"].lines[2]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose([sum(end) / 2 for end in ends], [41, 31, 21])
    assert ends[0][1] - ends[0][0] == pytest.approx(2 * 12.7062, abs=1e-3)  # Student, 1 degree
    crosses = [line for line in world.lines if line.get_marker() == "x"]
    assert [list(line.get_ydata()) for line in crosses] == [[35, 37], [28]]
    assert list(world.get_xticks()) == [1, 2, 3]
    assert texts(cmu) == [EMPTY]


def test_ladder_pairs_seeds_and_skips_what_has_no_partner(shelf):
    for seed, more in enumerate((0.0, 5.0, 10.0)):
        shelf("cmu-codec-parts", seed, errors(40 + more, 20 + more))
        shelf("cmu-codec-whole", seed, errors(45 + more, 23 + more + 0.1 * seed))
        shelf("cmu-codec-once", seed, errors(45 + more, 20 + seed))
    shelf("cmu-codec-nearest", 0, errors(50, 30))  # one seed is no interval
    world, cmu = charts.ladder().axes
    assert texts(world) == [EMPTY]
    names = [tick.get_text() for tick in world.get_yticklabels()]
    assert names == [label for label, *_ in charts.PAIRS]
    drawn = {line.get_ydata()[0]: line for line in cmu.lines if len(line.get_xdata()) == 1}
    whole, once = (names.index(n) for n in names if n[-4:] == "once" or "part's" in n)
    assert set(drawn) == {whole, once}
    assert drawn[whole].get_xdata()[0] == pytest.approx(-3.1)
    assert [drawn[k].get_marker() for k in (whole, once)] == ["D", "o"]
    low, high = cmu.lines[0].get_xdata()
    assert -4 < low < -3.1 < high < -2  # the seeds' common shift has dropped out


def test_compared_codecs_exist():
    from lithe.syntalker.ablations import CODECS

    assert {name for _, *pair, _ in charts.PAIRS for name in pair} <= set(CODECS)
