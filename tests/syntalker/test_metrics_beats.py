"""Beat consistency, as released to the digit and clean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lithe.syntalker.metrics import UPPER, beat_consistency, joint_beats, joint_speed, mismatched


@pytest.fixture(scope="module")
def bc(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "syntalker_bc.npz") as file:
        return dict(file)


def released(bc: dict[str, np.ndarray], pose: np.ndarray) -> float:
    onsets = bc["audio_onsets_s"] + 2  # golden onsets count from the start of the scored part
    return beat_consistency(
        pose.reshape(-1, 55, 3), onsets, mean_speed=bc["mean_vel"], released=True
    )


def test_released_value_is_golden(bc):
    assert tuple(bc["upper_body"]) == UPPER
    assert released(bc, bc["pose"]) == pytest.approx(float(bc["bc"]), rel=1e-12)


def test_released_value_on_positions_folded_by_the_diversity_metric_is_golden(bc):
    """G5: what the authors report is computed on ``|p - mean|``."""
    expected = float(bc["bc_computed_after_l1div"])
    assert released(bc, bc["pose_after_l1div"]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("pose", "beats"),
    [("pose", "pose_beats_padded"), ("pose_after_l1div", "pose_beats_after_l1div_padded")],
)
def test_released_beats_are_golden(bc, pose, beats):
    speed = joint_speed(bc[pose].reshape(-1, 55, 3)) / bc["mean_vel"]
    for found, padded in zip(joint_beats(speed, released=True), bc[beats], strict=True):
        assert found.tolist() == padded[padded >= 0].tolist()


def test_one_joint_with_given_beats_is_golden(bc):
    """A point that stops exactly at the golden's beats, scored against the golden's onsets."""
    stops, onsets = bc["gahr_pose_beats"], bc["gahr_audio_beats"]
    p = stopping(stops, 60)
    value = beat_consistency(p, onsets, joints=[0])
    assert value == pytest.approx(float(bc["gahr_value"]), rel=1e-9)
    still = beat_consistency(np.zeros((60, 1, 3)), onsets, joints=[0])
    assert still == float(bc["gahr_no_pose_beats"]) == 0


def stopping(stops: np.ndarray, frames: int) -> np.ndarray:
    """One joint whose speed is lowest at the given seconds."""
    between = (np.arange(frames - 1) + 0.5) / 30
    gap = np.abs(between[:, None] - np.asarray(stops)[None]).min(1)
    way = np.r_[0, np.cumsum(0.05 + gap**2)]
    return np.stack([way, 0 * way, 0 * way], 1)[:, None]


def test_the_clean_threshold_keeps_stops_of_what_moves(bc):
    """G4: at the right index the released rule leaves 10 of 13 joints without any beat."""
    speed = joint_speed(bc["pose"].reshape(-1, 55, 3)) / bc["mean_vel"]
    clean = joint_beats(speed)
    at_right_index = [b[speed[b, j] > 0.3] for j, b in enumerate(clean)]
    assert sum(not len(at_right_index[j]) for j in UPPER) == 10
    assert all(len(clean[j]) for j in UPPER)
    trembling = np.abs(np.sin(np.arange(200) / 3))[:, None]
    assert not len(joint_beats(0.2 * trembling)[0])
    assert len(joint_beats(2 * trembling)[0]) > 10


def test_perfect_and_shifted_beats_in_closed_form():
    stops = np.array([0.5, 1.5, 2.5])
    p = stopping(stops, 90)
    assert beat_consistency(p, stops, joints=[0]) == pytest.approx(1)
    shifted = beat_consistency(p, stops + 0.2, joints=[0], sigma=0.3)
    assert shifted == pytest.approx(np.exp(-(0.2**2) / (2 * 0.3**2)))


def test_direction_matters():
    """G6: one onset met by one of three stops is a full score of audio, a third of gestures."""
    p = stopping(np.array([0.5, 1.5, 2.5]), 90)
    assert beat_consistency(p, [1.5], joints=[0], sigma=0.05) == pytest.approx(1)
    gesture = beat_consistency(p, [1.5], joints=[0], sigma=0.05, toward="gesture")
    assert gesture == pytest.approx(1 / 3)


def test_mismatched_never_pairs_a_clip_with_its_own_audio():
    own, other = mismatched(lambda m, a: float(m == a), list("abcd"), list("abcd"), shifts=9)
    assert (own, other) == (1, 0)
    met = []
    mismatched(lambda m, a: met.append((m, a)) or 0.0, [0, 1, 2], [0, 1, 2], shifts=2)
    assert sorted(met) == [(m, a) for m in range(3) for a in range(3)]
    with pytest.raises(ValueError, match="1 motions"):
        mismatched(lambda m, a: 0.0, [1], [1])


def test_what_cannot_be_scored_is_refused():
    p = stopping(np.array([1.0]), 60)
    with pytest.raises(ValueError, match="silent audio"):
        beat_consistency(p, [], joints=[0])
    with pytest.raises(ValueError, match="none of 1 onsets"):
        beat_consistency(p, [9.0], joints=[0])
    with pytest.raises(ValueError, match="NaN"):
        beat_consistency(p, [np.nan], joints=[0])
    with pytest.raises(ValueError, match="t >= 123"):
        beat_consistency(p, [1.0], joints=[0], released=True)
    with pytest.raises(ValueError, match="'sound'"):
        beat_consistency(p, [1.0], joints=[0], toward="sound")
    with pytest.raises(ValueError, match="speeds to divide by"):
        beat_consistency(p, [1.0], joints=[0], mean_speed=[0.0])
    with pytest.raises(ValueError, match="order is 0"):
        joint_beats(np.ones((9, 1)), order=0)
