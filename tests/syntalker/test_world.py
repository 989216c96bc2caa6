"""The free world: true to its truth, smooth, rooted, seeded; talkers and movers never meet."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from lithe.syntalker.amplitude import forward_maximum, onset_times
from lithe.syntalker.captions import ACTIONS, HELD_OUT, LOWER, SIDES, TEMPLATES, UPPER
from lithe.syntalker.kinematics import fk
from lithe.syntalker.metrics import beat_consistency, foot_skate, longest_slide, mismatched
from lithe.syntalker.skeleton import BODY, BODY_HANDS
from lithe.syntalker.voice import ICONIC, speak
from lithe.syntalker.world import Clip, mover, movers, talker, talkers

#: m/s². In the CMU clips walking reaches 40 to 100, jumping and running 50 to 100; a joint that is
#: off by 4 cm from one frame to the next has 36.
SMOOTH = {"legs": 85.0, "still": 45.0}
TALKING = 75.0


@pytest.fixture(scope="module")
def moving() -> list[Clip]:
    """Every action, at every pace twice or so."""
    return movers(48, torch.Generator().manual_seed(0), seconds=5)


@pytest.fixture(scope="module")
def talking() -> list[Clip]:
    return talkers(10, torch.Generator().manual_seed(1), seconds=7)


def acceleration(clip: Clip) -> np.ndarray:
    """Size of the second difference of every joint ``(t - 2, j)``, m/s²."""
    positions = clip.motion.positions.astype(float)
    return np.linalg.norm(np.diff(positions, 2, axis=0), axis=2) * clip.motion.fps**2


def test_planted_feet_stay_where_they_are(moving, talking):
    for clip in moving + talking:
        slide = longest_slide(clip.motion.positions, clip.truth.planted)
        assert slide < 0.02, clip.name  # built to be 0 up to rounding
        assert slide < 1e-5, clip.name
        assert clip.truth.planted[:, 0].any()


def test_feet_that_are_on_the_floor_are_planted(moving):
    """The mask hides nothing: what touches the floor and is not planted is lifting or landing."""
    for clip in moving:
        assert foot_skate(clip.motion.positions) < 0.06, clip.truth


def test_nothing_jumps(moving, talking):
    for clip in moving:
        kind = "legs" if clip.truth.action in LOWER else "still"
        assert acceleration(clip).max() < SMOOTH[kind], clip.truth
    for clip in talking:
        assert acceleration(clip).max() < TALKING, clip.name


def test_the_bound_on_acceleration_sees_a_jump_of_four_centimetres(moving):
    clip = next(c for c in moving if c.truth.action == "stand")
    assert acceleration(clip).max() < 5
    clip.motion.positions[60:, 21] += [0.04, 0, 0]
    assert acceleration(clip).max() > 35
    clip.motion.positions[60:, 21] -= [0.04, 0, 0]


def test_nothing_goes_through_the_floor(moving, talking):
    for clip in moving + talking:
        assert clip.motion.positions[..., 1].min() > 0, clip.truth


def test_bones_keep_their_lengths_and_positions_are_those_of_the_rotations(moving, talking):
    for clip in (moving[0], moving[5], talking[0]):
        motion = clip.motion
        placed = fk(motion.rotations, motion.root, motion.skeleton)
        np.testing.assert_allclose(placed, motion.positions, atol=1e-6)
        identity = motion.rotations @ np.swapaxes(motion.rotations, -1, -2)
        np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5)
        assert (np.linalg.det(motion.rotations) > 0.99).all()


def test_a_body_without_hands_moves_alike():
    with_hands, without = (talker(3, 3, s).motion.positions for s in (BODY_HANDS, BODY))
    assert without.shape[1] == 22
    np.testing.assert_allclose(with_hands[:, :22], without, atol=1e-6)


def test_the_corpora_do_not_meet(moving, talking):
    """Spec 1.2: no sample has speech, prompt and motion; talkers stand, movers are silent."""
    assert {clip.truth.action for clip in moving} == set(ACTIONS)
    for clip in moving:
        assert clip.speech is None
        assert clip.motion.audio is None
        assert 1 <= len(clip.captions) <= 3
        assert clip.unseen not in clip.captions
    for clip in talking:
        assert clip.captions == ()
        assert clip.unseen is None
        wave, sr = clip.motion.audio
        assert len(wave) / sr == pytest.approx(clip.motion.seconds) == clip.speech.seconds
        assert np.ptp(clip.motion.root[:, [0, 2]], axis=0).max() < 0.15


def test_most_movers_begin_at_rest():
    clips = [mover(seed, "walk", seconds=2, skeleton=BODY) for seed in range(24)]
    under_way = np.array([clip.truth.start < 0 for clip in clips])
    assert 0.1 < under_way.mean() < 0.5
    speed = [np.linalg.norm(np.diff(c.motion.root[:6, [0, 2]], axis=0)) * 6 for c in clips]
    assert np.array(speed)[~under_way].max() < 0.1 < np.array(speed)[under_way].min()
    assert mover(0, "walk", seconds=3, in_progress=1).truth.start < 0


def test_a_seed_fixes_everything_and_the_first_clips_do_not_depend_on_how_many():
    few = talkers(2, torch.Generator().manual_seed(5), seconds=3)
    more = talkers(3, torch.Generator().manual_seed(5), seconds=3)
    for a, b in zip(few, more, strict=False):
        np.testing.assert_array_equal(a.motion.positions, b.motion.positions)
        np.testing.assert_array_equal(a.speech.wave, b.speech.wave)
    assert not np.array_equal(more[1].motion.positions, more[2].motion.positions)
    one, same = mover(9), mover(9)
    np.testing.assert_array_equal(one.motion.positions, same.motion.positions)
    assert (one.captions, one.unseen) == (same.captions, same.unseen)


def test_strokes_end_on_stressed_vowels(talking):
    """Gestures follow the voice: far better by its own stress than by another's."""
    bodies = [clip.motion.positions - clip.motion.positions[:, :1] for clip in talking]
    beats = [np.array(clip.truth.beats) for clip in talking]
    own, other = mismatched(
        lambda p, b: beat_consistency(p, b, sigma=0.1, joints=(20, 21)), bodies, beats
    )
    assert own > 0.6
    assert own > other + 0.15


def test_the_voice_sets_in_where_the_truth_says(talking):
    for clip in talking[:4]:
        onsets = onset_times(clip.speech.wave)
        late = [np.abs(onsets - beat).min() for beat in clip.truth.beats]
        assert np.median(late) < 0.05


def test_only_the_arm_that_talks_strokes(talking):
    for clip in talking:
        speed = np.linalg.norm(np.diff(clip.motion.positions[:, [20, 21]], axis=0), axis=2)
        path = speed.sum(0)
        if clip.truth.side != "both":
            talks = ("left", "right").index(clip.truth.side)
            assert path[talks] > 2 * path[1 - talks], clip.name


def test_iconic_words_are_shown():
    clips = [c for s in range(40, 48) for c in [talker(s, 5, BODY)] if c.truth.iconic]
    assert len(clips) >= 3
    for clip in clips:
        for time, word in clip.truth.iconic:
            spoken = [w for w in clip.speech.words if w.text == word and w.start <= time + 1e-9]
            assert any(w.end > time for w in spoken)
            assert word in ICONIC
            assert time in clip.truth.beats


def test_a_voice_has_words_pauses_and_stress():
    utterance = speak(np.random.default_rng(2), 6)
    assert utterance.wave.shape == (96_000,)
    assert np.abs(utterance.wave).max() == pytest.approx(0.5)
    times = [(w.start, w.end) for w in utterance.words]
    assert all(a[1] <= b[0] for a, b in pairwise(times))
    inside = np.zeros(96_000, bool)
    for start, end in times:
        inside[int(start * 16_000) : int(end * 16_000)] = True
    energy = utterance.wave.astype(float) ** 2
    assert energy[inside].mean() > 25 * energy[~inside].mean()  # as in the real recording
    loud = forward_maximum(utterance.wave)
    stressed = [loud[int(t * 16_000) + 300] for t, _ in utterance.accents]
    assert np.median(stressed) > 2 * np.median(loud[inside])


def test_every_action_has_sentences_and_its_held_out_words_are_known():
    assert set(TEMPLATES) == set(ACTIONS) == {*LOWER, *UPPER, "stand"}
    words = re.compile(r"\w+|\{\w+\}")
    learned = {
        word
        for templates in TEMPLATES.values()
        for k, template in enumerate(templates)
        if k != HELD_OUT
        for word in words.findall(template)
    }
    for action, templates in TEMPLATES.items():
        assert len(templates) >= 4
        assert len(set(templates)) == len(templates)
        assert set(words.findall(templates[HELD_OUT])) <= learned, action
        assert all(("{side}" in t) == (action in SIDES) for t in templates), action


def test_sentences_say_side_and_pace():
    for pace, words in (("slow", "slow"), ("fast", "quickly|fast"), ("normal", "")):
        clip = mover(1, "wave", 4, pace=pace, side="left")
        for text in (*clip.captions, clip.unseen):
            assert "left" in text
            assert re.search(words, text)
            assert pace == "slow" or "slow" not in text


def test_bad_requests_are_refused():
    for call, message in [
        (lambda: mover(0, "fly"), "'fly'"),
        (lambda: mover(0, "walk", side="left"), "side is 'left' for 'walk'"),
        (lambda: mover(0, "walk", pace="brisk"), "brisk"),
        (lambda: talker(0, 1), "seconds is 1"),
        (lambda: movers(0, torch.Generator()), "count is 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
