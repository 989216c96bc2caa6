"""Prompts over time: what is read, what is refused, and how it falls on the frames."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lithe.syntalker.motion import Prompt
from lithe.syntalker.timeline import BODY_PARTS, Timeline

WALK, WAVE = "a person walks forward", "a person waves"


def test_one_prompt_per_part_lasts_all_the_time():
    timeline = Timeline.parse({"lower": WALK, "upper": WAVE}, seconds=2.0)
    plan = timeline.plan(15)
    assert timeline.texts == plan.prompts == (WAVE, WALK)
    assert plan.index.tolist() == [[0, -1, 1]] * 15
    assert plan.strength.tolist() == [[4.0, 0.0, 4.0]] * 15
    assert plan.speech.tolist() == [[1.0, 1.0, 0.0]] * 15


def test_nothing_asked_is_speech_alone():
    for nothing in (None, {}, []):
        plan = Timeline.parse(nothing).plan(3)
        assert plan.prompts == ()
        assert (plan.index == -1).all()
        assert not plan.strength.any()
        assert (plan.speech == 1).all()


def test_entries_fall_on_the_latents_whose_middle_they_hold():
    timeline = Timeline.parse(
        [(0.0, 0.5, "lower", WALK), (0.5, 1.1, "lower", WAVE, 2.5), (0.15, 0.4, "upper", WALK)]
    )
    plan = timeline.plan(10, strength=3.0)
    # Middles lie at 1/15, 3/15, 5/15, 7/15, 9/15 s and so on.
    assert plan.index[:, 2].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, -1, -1]
    assert plan.strength[:, 2].tolist() == [3.0] * 4 + [2.5] * 4 + [0.0] * 2
    assert plan.index[:, 0].tolist() == [-1, 0, 0] + [-1] * 7
    assert plan.speech[:, 2].tolist() == [0.0] * 8 + [1.0] * 2


def test_one_text_on_several_parts_is_one_prompt():
    timeline = Timeline.parse([(0, None, "upper", WALK), (0, 3, "lower", f" {WALK}\n")])
    assert timeline.texts == (WALK,)


def test_the_body_is_all_parts():
    timeline = Timeline.parse([(0.0, 1.0, "body", WALK)])
    assert [e.part for e in timeline.entries] == list(BODY_PARTS)
    assert timeline.texts == (WALK,)


def test_a_body_without_hands_has_two_parts():
    timeline = Timeline.parse({"lower": WALK}, parts=("upper", "lower"))
    assert timeline.plan(2).index.tolist() == [[-1, 0]] * 2
    with pytest.raises(ValueError, match="no part 'hands'; the parts are upper, lower and body"):
        Timeline.parse({"hands": WALK}, parts=("upper", "lower"))


def test_what_outlasts_the_motion_ends_with_it():
    timeline = Timeline.parse([(1.0, 99.0, "lower", WALK)], seconds=2.0)
    assert timeline.entries[0].end == math.inf
    assert timeline.captions(2.0) == (Prompt(1.0, 2.0, WALK, "lower"),)


def test_parsing_again_changes_nothing():
    timeline = Timeline.parse([(0.0, 1.0, "lower", WALK, 2.0), (0.5, 2.0, "upper", WAVE)])
    assert Timeline.parse(timeline) == timeline


def test_windows_of_a_plan_go_on_past_its_end():
    plan = Timeline.parse([(0.5, 9.0, "lower", WALK)]).plan(10)
    piece = plan.window(2, 12)
    assert torch.equal(piece.index[:8], plan.index[2:])
    assert piece.index[8:, 2].tolist() == [0] * 4
    assert len(piece) == 12


@given(start=st.integers(0, 40), length=st.integers(1, 20))
def test_a_plan_from_the_middle_is_a_window_of_the_whole(start, length):
    timeline = Timeline.parse([(0.3, 2.0, "lower", WALK), (1.0, 7.0, "upper", WAVE, 1.0)])
    here, there = timeline.plan(length, start=start), timeline.plan(60).window(start, length)
    for name in ("index", "strength", "speech"):
        assert torch.equal(getattr(here, name), getattr(there, name))


entry = st.tuples(
    st.floats(0, 9, width=16), st.floats(0.25, 3, width=16), st.sampled_from(BODY_PARTS)
)


@given(st.lists(entry, max_size=5))
def test_overlaps_are_exactly_what_is_refused(entries):
    given_ = [(s, s + d, part, f"text {k}") for k, (s, d, part) in enumerate(entries)]
    overlap = any(
        a[2] == b[2] and a[0] < b[1] and b[0] < a[1]
        for k, a in enumerate(given_)
        for b in given_[:k]
    )
    if overlap:
        with pytest.raises(ValueError, match="two prompts at"):
            Timeline.parse(given_)
    else:
        assert len(Timeline.parse(given_).entries) == len(given_)


@pytest.mark.parametrize(
    ("prompts", "match"),
    [
        ({"tail": WALK}, "no part 'tail'; the parts are upper, hands, lower and body"),
        ([(2.0, 1.0, "lower", WALK)], "from 2 to 1 s"),
        ([(1.0, 1.0, "lower", WALK)], "from 1 to 1 s"),
        ([(-1.0, 1.0, "lower", WALK)], "starts at -1.0 s; times begin at 0"),
        ([(math.nan, 1.0, "lower", WALK)], "starts at nan"),
        ([(0.0, math.nan, "lower", WALK)], "from 0 to nan"),
        ([(1.0, 1.1, "lower", WALK)], r"at least 0\.14 s"),
        ([(6.0, 9.0, "lower", WALK)], r"starts at 6 s, but the motion lasts 5\.00 s"),
        ({"lower": ""}, "prompt of lower is empty"),
        ({"lower": " \n\t"}, "prompt of lower is empty"),
        ({"lower": "?!"}, "prompt of lower is empty"),
        ({"lower": "x" * 10_000}, "has 10000 characters; one sentence of at most 500"),
        ([(0.0, 1.0, "lower", WALK, -1.0)], r"strength of .* is -1\.0"),
        ([(0.0, 1.0, "lower", WALK, math.inf)], "strength of .* is inf"),
        ([(0.0, 2.0, "lower", WALK), (1.0, 3.0, "lower", WAVE)], "lower has two prompts at 1 s"),
        ([(0.0, 2.0, "body", WALK), (1.0, 3.0, "lower", WAVE)], "lower has two prompts at 1 s"),
    ],
)
def test_bad_timelines_are_refused_in_one_sentence(prompts, match):
    with pytest.raises(ValueError, match=match) as told:
        Timeline.parse(prompts, seconds=5.0)
    assert len(str(told.value)) < 250


@pytest.mark.parametrize(
    ("prompts", "match"),
    [
        (WALK, "say which part"),
        ([(0.0, 1.0, "lower")], "an entry is"),
        (["lower"], "an entry is"),
        ([("soon", 1.0, "lower", WALK)], "times are seconds"),
        ({"lower": 3}, "prompt of lower is text, got int"),
    ],
)
def test_what_is_no_timeline_is_refused(prompts, match):
    with pytest.raises(TypeError, match=match):
        Timeline.parse(prompts)


def test_plans_refuse_unknown_parts_and_no_time():
    timeline = Timeline.parse({"lower": WALK})
    with pytest.raises(ValueError, match="no part 'tail'"):
        timeline.plan(3, speaking=("tail",))
    with pytest.raises(ValueError, match="numbers"):
        timeline.plan(3, speaking={"lower": math.nan})
    with pytest.raises(ValueError, match="0 latents"):
        timeline.plan(0)
