"""What the figures of the chapter on control draw, and say when nothing is on record."""

from __future__ import annotations

import pytest

from lithe import stats
from lithe.figures import PALETTE
from lithe.syntalker import generation_charts
from lithe.syntalker.generation_settings import VARIANTS
from lithe.syntalker.generation_trials import STRENGTHS
from lithe.syntalker.timeline import Timeline

EMPTY = "not on record yet"
FIELDS = ("action", "shuffled", "beat", "mismatched", "joint")


def scores(name: str, *values: float) -> dict[str, float]:
    return {f"{name}_{field}": value for field, value in zip(FIELDS, values, strict=True)}


def whole(action: float = 80.0) -> dict[str, float]:
    """A record of the full variant."""
    found: dict[str, float] = {}
    for name in generation_charts.SAMPLERS.values():
        found |= scores(name, 10.0, 5.0, 0.5, 0.4, 1.0)
    found |= scores("separate", action, 20.0, 0.9, 0.5, 60.0)
    found |= {"real_beat": 0.9, "real_mismatched": 0.4, "codec_beat": 0.8, "codec_mismatched": 0.5}
    for name, value in (("both", 40.0), ("concatenated", 10.0)):
        found |= {
            f"{name}_lower": value + 20,
            f"{name}_upper": value + 10,
            f"{name}_success": value,
        }
    return found | scores("embedding", 70, 5, 0.9, 0.5, 50) | {"untrained_text_action": 8.0}


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_yticklabels()]


def marks(axis, marker: str) -> dict[int, float]:
    """Row -> abscissa of the markers of one kind."""
    found = [line for line in axis.lines if line.get_marker() == marker]
    return {round(float(x.get_ydata()[0])): float(x.get_xdata()[0]) for x in found}


@pytest.mark.parametrize(
    ("draw", "panels"),
    [("claim", 1), ("alignment", 2), ("combination", 3), ("parts", 1), ("strengths", 2),
     ("differences", 1)],
)  # fmt: skip
def test_figures_say_what_is_not_on_record(shelf, draw, panels):
    figure = getattr(generation_charts, draw)()
    shown = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert shown == [[EMPTY]] * panels


def test_rows_and_pairs_name_variants_and_strengths_that_are_run():
    named = {variant for variant, _ in generation_charts.TRAININGS.values()}
    named |= {experiment for pair in generation_charts.PAIRS for experiment, _ in pair[1:]}
    assert named <= set(VARIANTS)
    assert generation_charts.STRENGTHS == STRENGTHS


def test_the_claim_sets_the_prompt_against_the_margin_over_other_voices(shelf):
    for seed in range(3):
        shelf("generation-full", seed, whole(70.0 + 10 * seed))
    [axis] = generation_charts.claim().axes
    separate = axis.containers[0]
    assert separate.get_label() == "separate, then combine"
    x, y = (float(v[0]) for v in separate.lines[0].get_data())
    assert (x, y) == pytest.approx((80.0, 0.4))
    levels = sorted(
        float(line.get_ydata()[0]) for line in axis.lines if line.get_ls() in (":", "--")
    )
    assert levels == pytest.approx([0.3, 0.5])


def test_every_training_has_a_row_and_its_control(shelf):
    for seed, value in enumerate((60.0, 80.0)):
        shelf("generation-full", seed, whole(value))
    shelf("generation-text-only", 0, scores("separate", 30.0, 10.0, 0.9, 0.5, 12.0))
    left, right = generation_charts.alignment().axes
    assert labels(left) == list(generation_charts.TRAININGS)
    dots = marks(left, "o")
    assert (dots[0], dots[5]) == (70.0, 30.0)
    assert set(dots) == {0, 1, 2, 5}  # nothing is drawn for what is not on record
    assert marks(left, "x")[0] == 20.0
    assert marks(right, "o")[5] == 12.0
    assert marks(right, "x") == {}


def test_samplers_stand_side_by_side(shelf):
    shelf("generation-full", 0, whole())
    action, beat, joint = generation_charts.combination().axes
    assert marks(action, "o")[0] == 80.0
    assert marks(beat, "o")[0] == 0.9
    assert marks(beat, "x")[0] == 0.5
    assert marks(joint, "o") == {0: 60.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 1.0}


def test_parts_of_two_prompts(shelf):
    shelf("generation-full", 0, whole())
    [axis] = generation_charts.parts().axes
    assert labels(axis) == list(generation_charts.TWO)
    assert {c.get_label(): list(c.lines[0].get_xdata()) for c in axis.containers} == {
        "legs": [60.0, 30.0],
        "arms": [50.0, 20.0],
        "both": [40.0, 10.0],
    }


def test_strengths_are_a_line_each(shelf):
    for seed in range(2):
        values = {f"strength_{s}_{f}": 10.0 * s + seed for s in (1, 2, 4, 7) for f in FIELDS}
        shelf("generation-sweeps", seed, values)
    left, right = generation_charts.strengths().axes
    assert [c.get_label() for c in right.containers] == ["own voice", "others' voices"]
    drawn = left.containers[0].lines[0]
    assert list(drawn.get_xdata()) == [1, 2, 4, 7]
    assert list(drawn.get_ydata()) == [10.5, 20.5, 40.5, 70.5]


def test_differences_are_paired_on_the_seed(shelf):
    for seed, value in enumerate((60.0, 75.0, 80.0)):
        shelf("generation-full", seed, whole(value))
        shelf("generation-text-only", seed, scores("separate", 10.0 * seed, 0, 0, 0, 0))
    shelf("generation-text-only", 7, scores("separate", 99.0, 0, 0, 0, 0))  # its pair is missing
    shelf(
        "generation-talkers-only", 0, scores("separate", 0, 0, 0, 0, 0)
    )  # one pair has no interval
    [axis] = generation_charts.differences().axes
    shown = labels(axis)
    assert "both corpora − talkers alone" not in shown
    row = shown.index("pseudo-prompts − sentences")
    found = stats.paired([60.0, 75.0, 80.0], [0.0, 10.0, 20.0])
    low, high = axis.lines[2 * row].get_xdata()
    assert (low, high) == pytest.approx((found.low, found.high))


def test_the_schedule_shows_stretches_and_who_hears():
    entries = [(0.0, 1.6, "lower", "a person walks"), (1.6, None, "upper", "a person waves", 2.0)]
    plan = Timeline.parse(entries, 4.0).plan(30)
    [axis] = generation_charts.schedule(plan).axes
    told = [text.get_text() for text in axis.texts]
    assert told == [
        *("voice", "voice + prompt 2 × 2"),
        "voice",
        *("prompt 1 × 4", "voice"),
    ]
    widths = [bar.get_width() for bar in axis.patches]
    assert widths == pytest.approx([1.6, 2.4, 4.0, 1.6, 2.4])
    assert axis.patches[0].get_facecolor() != axis.patches[1].get_facecolor()
    assert PALETTE["vermilion"] == generation_charts._colours()[0]
