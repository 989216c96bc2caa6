"""Real motion as clips of the same kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lithe.data import DataError
from lithe.syntalker.corpora import beat2, cmu, speech_alone
from lithe.syntalker.metrics.attributes import lower_action, measure


def test_cmu_clips_have_captions_and_no_sound(shared: Path):
    clips = cmu(shared, limit=5)
    assert [clip.name for clip in clips] == ["01_01", "01_06", "01_08", "01_13", "02_01"]
    walks = measure(clips[-1].motion.positions)
    assert lower_action(walks) == ("walk", None)
    assert walks.forward == pytest.approx(1.2, abs=0.3)  # captions.csv has 1.18 m/s
    assert lower_action(measure(clips[0].motion.positions)) == ("jump", None)
    for clip in clips:
        assert clip.motion.positions.shape[1:] == (22, 3)
        assert clip.motion.fps == 30
        assert clip.captions[0].startswith("a person")
        assert clip.speech is None
        assert 0.6 < np.median(clip.motion.root[:, 1]) < 1.8


def test_beat2_clips_have_speech_that_fits(shared: Path):
    clips = beat2(shared, seconds=20)
    assert len(clips) == 3
    for clip in clips:
        assert clip.motion.positions.shape == (600, 52, 3)
        assert clip.speech.seconds == pytest.approx(20) == clip.motion.seconds
        assert len(clip.motion.audio[0]) == 20 * 16_000
        assert clip.captions == ()
    words = [word.text for clip in clips for word in clip.speech.words]
    assert words[:3] == ["the", "first", "thing"]
    assert len(words) >= 193


def test_utterances_without_motion(shared: Path):
    found = speech_alone(shared)
    assert len(found) == 14
    assert [w.text for w in found["jfk.flac"].words][:4] == ["and", "so", "my", "fellow"]
    assert found["libri_198-209-0000.flac"].words == ()
    assert all(speech.wave.dtype == np.float32 for speech in found.values())


def test_what_is_missing_is_named(tmp_path: Path, shared: Path):
    (tmp_path / "data" / "motion").mkdir(parents=True)
    with pytest.raises(DataError, match=r"captions\.csv is missing"):
        cmu(tmp_path)
    with pytest.raises(ValueError, match="seconds is 90"):
        beat2(shared, seconds=90)
