"""What the figures of the chapter on speech draw, and say when nothing is on record."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lithe.figures import PALETTE
from lithe.syntalker import generation_settings, generation_trials, speech_charts
from lithe.syntalker.diffusion import q_sample
from lithe.syntalker.schedule import cosine_schedule

EMPTY = "not on record yet"
HALF = 4.302653 / np.sqrt(3)  # of a 95% interval of three values, in their deviations


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def markers(axis, marker: str) -> list[tuple[float, float]]:
    """Where markers of a kind stand: value, row."""
    lines = [line for line in axis.lines if line.get_marker() == marker and len(line.get_xdata())]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]


def test_figures_say_what_is_not_on_record(shelf):
    for figure, panels in (
        (speech_charts.beats(), 1),
        (speech_charts.steps(), 3),
        (speech_charts.variants(), 3),
    ):
        assert [texts(axis) for axis in figure.axes] == [[EMPTY]] * panels


def test_rows_are_variants_that_there_are():
    known = set(generation_settings.VARIANTS)
    assert set(speech_charts.VARIANTS.values()) <= known
    assert {variant for variant, _ in speech_charts.BEATS.values()} <= known
    assert set(speech_charts.METHODS) == set(generation_trials.STEPS)


def test_beats_stand_beside_those_of_other_voices(shelf):
    for seed, value in enumerate((0.5, 0.6, 0.7)):
        talk = {"audio_only_beat": value, "audio_only_mismatched": 0.4}
        real = {"real_beat": 0.9, "real_mismatched": 0.45}
        shelf("generation-full", seed, talk | real)
    [axis] = speech_charts.beats().axes
    aside = speech_charts.ASIDE
    rows = [(0.9, 0.45, 0), (0.6, 0.4, 2)]
    own, others = markers(axis, "o"), markers(axis, "x")
    for (mine, theirs, row), dot, cross in zip(rows, own, others, strict=True):
        assert dot == pytest.approx((mine, row - aside))
        assert cross == pytest.approx((theirs, row + aside))
    assert [t.get_text() for t in axis.get_yticklabels()] == list(speech_charts.BEATS)
    bars = [bar.get_segments()[0] for bar in axis.collections]
    widths = sorted(float(bar[1, 0] - bar[0, 0]) for bar in bars)
    assert widths == pytest.approx([0, 0, 0, 2 * 0.1 * HALF], abs=1e-6)


def test_steps_are_two_curves_a_panel_and_the_control_of_beats(shelf):
    fields = ("frechet", "beat", "mismatched", "action")
    for seed in range(3):
        shelf(
            "generation-sweeps",
            seed,
            {f"{way}_{n}_{f}": n + seed for way in ("ddim", "dpm") for n in (4, 20) for f in fields}
            | {"ddim_50_joint": 1.0},
        )
    frechet, beat, action = speech_charts.steps().axes
    drawn = [line for line in frechet.lines if len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in drawn] == [[4, 20], [4, 20]]
    assert [list(line.get_ydata()) for line in drawn] == [[5.0, 21.0]] * 2
    assert {line.get_color() for line in drawn} == {PALETTE["blue"], PALETTE["vermilion"]}
    thin = [line for line in beat.lines if line.get_linestyle() == ":"]
    assert len(thin) == 2
    assert not [line for line in action.lines if line.get_linestyle() == ":"]
    assert [t.get_text() for t in frechet.get_xticklabels()] == ["4", "20"]


def test_labels_of_steps_do_not_touch():
    assert speech_charts._apart({50, 2, 20, 16, 4, 8}) == [2, 4, 8, 16, 50]


def test_a_training_that_is_missing_has_an_empty_row(shelf):
    one = {"audio_only_frechet": 2.0, "audio_only_beat": 0.5, "audio_only_mismatched": 0.4}
    shelf("generation-full", 0, one | {"separate_action": 40.0})
    shelf("generation-twice", 0, one | {"audio_only_frechet": 3.0})  # legs were not asked there
    frechet, beat, action = speech_charts.variants().axes
    rows = list(speech_charts.VARIANTS.values())
    assert markers(frechet, "o") == [(2.0, 0), (3.0, rows.index("twice"))]
    assert texts(frechet) == [EMPTY] * (len(rows) - 2)
    assert markers(beat, "x")[0] == pytest.approx((0.4, speech_charts.ASIDE))
    assert markers(action, "o") == [(40.0, 0)]
    assert texts(action) == []  # said once, in the first panel


def test_noising_shows_the_states_of_the_chain():
    latents, schedule = torch.linspace(-1, 1, 12).view(3, 4), cosine_schedule()
    figure = speech_charts.noising(latents, schedule, (100, 900), seed=5)
    panels = figure.axes[:3]
    assert [axis.get_title(loc="left") for axis in panels] == ["clean", "t = 100", "t = 900"]
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(5))
    shown = [axis.images[0].get_array() for axis in panels]
    np.testing.assert_allclose(shown[0], latents.T)
    np.testing.assert_allclose(shown[2], q_sample(latents, 900, noise, schedule).T)
    assert panels[0].images[0].get_clim() == (-speech_charts.SHOWN, speech_charts.SHOWN)
    plt.close("all")


def test_paths_show_walks_and_where_exact_ones_end():
    walk = ([1.0, 0.5, 0.0], torch.arange(6.0).view(3, 2))
    figure = speech_charts.paths({"a": walk, "b": walk}, torch.tensor([7.0, 8.0]))
    left, right = figure.axes
    assert [axis.get_title(loc="left") for axis in (left, right)] == ["a", "b"]
    first, second, rings = left.lines
    assert list(first.get_ydata()) == [0, 2, 4]
    assert list(second.get_ydata()) == [1, 3, 5]
    assert [list(x) for x in rings.get_data()] == [[0, 0], [7, 8]]
    assert left.xaxis_inverted()
    plt.close("all")
