"""The 623 and the 263 features, against the original's numbers and real files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker import BODY, BODY_HANDS, h3d

#: The original computes in float32; a finger of 3 cm turns by 1e-5 of rounding.
GOLDEN = 1e-5
#: Frames that the smoothing of the heading reaches: 4 standard deviations.
REACH = 81


@pytest.fixture(scope="module")
def numbers(golden):
    return dict(np.load(golden / "syntalker_h3d623.npz"))


def turning(frames: int, step: float, joints: int = 52) -> np.ndarray:
    """A stiff body that walks in a circle, turning by ``step`` radians a frame."""
    skeleton = BODY if joints == 22 else BODY_HANDS
    angle = step * np.arange(frames)
    c, s, o = np.cos(angle), np.sin(angle), np.zeros(frames)
    turn = np.stack([c, o, s, o, o + 1, o, -s, o, c], axis=1).reshape(-1, 3, 3)
    return np.einsum("tab,jb->tja", turn, skeleton.rest() + np.array([0.0, 1.0, 2.0]))


def test_features_equal_the_original(numbers) -> None:
    features = h3d.encode(numbers["joints52"], numbers["target_offsets"])
    assert features.shape == (39, 623)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, numbers["features623"], atol=GOLDEN)


def test_canonical_positions_equal_the_original(numbers) -> None:
    canonical = h3d.canonical(numbers["joints52"], numbers["target_offsets"])
    np.testing.assert_allclose(canonical, numbers["global_positions_canonical"], atol=GOLDEN)
    np.testing.assert_allclose(
        h3d.target(numbers["joints52"]), numbers["target_offsets"], atol=GOLDEN
    )


def test_recovery_equals_the_original(numbers) -> None:
    recovered = h3d.recover(numbers["features623"])
    np.testing.assert_allclose(recovered, numbers["recovered_from_ric"], atol=1e-6)


def test_parts_equal_the_original_and_partition_all_channels(numbers) -> None:
    assert list(h3d.PARTS) == ["upper", "hands", "lower"]
    for part, channels in h3d.PARTS.items():
        np.testing.assert_array_equal(channels, numbers[f"idx_{part}"])
    together = np.sort(np.concatenate(list(h3d.PARTS.values())))
    np.testing.assert_array_equal(together, np.arange(623))


def test_parts_of_the_body_without_hands_partition_263() -> None:
    chosen = h3d.parts(22)
    assert {part: len(channels) for part, channels in chosen.items()} == {
        "upper": 156,
        "lower": 107,
    }
    assert sorted(np.concatenate(list(chosen.values()))) == list(range(263))


@pytest.mark.parametrize("name", ["000000", "012314"])
def test_real_humanml3d_clips_recover_to_their_joints(shared, name: str) -> None:
    folder = shared / "data" / "motion" / "humanml3d"
    joints = np.load(folder / f"{name}_joints.npy")
    recovered = h3d.recover(np.load(folder / f"{name}_vec.npy"))
    np.testing.assert_allclose(recovered, joints, atol=1e-6)


@pytest.mark.parametrize("name", ["000000", "012314"])
def test_real_humanml3d_joints_encode_to_their_features(shared, name: str) -> None:
    """The file's last frame was dropped before this test could see it, which moves the heading
    of the last 80 frames; all others are the original's."""
    folder = shared / "data" / "motion" / "humanml3d"
    features = h3d.encode(np.load(folder / f"{name}_joints.npy"), fps=20)
    kept = len(features) - REACH
    assert kept > 30
    expected = np.load(folder / f"{name}_vec.npy")[:kept]
    np.testing.assert_allclose(features[:kept], expected, atol=GOLDEN)


@settings(deadline=None, max_examples=15)
@given(st.floats(-3.0, 3.0), st.floats(-5.0, 5.0), st.floats(-5.0, 5.0), st.sampled_from([22, 52]))
def test_features_do_not_depend_on_where_and_which_way(
    angle: float, x: float, z: float, joints: int
) -> None:
    body = turning(30, 0.01, joints)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    moved = body @ turn.T + (x, 0.7, z)
    np.testing.assert_allclose(h3d.encode(moved), h3d.encode(body), atol=2e-5)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([22, 52]))
def test_recover_undoes_encode(seed: int, released: bool, joints: int) -> None:
    rng = np.random.default_rng(seed)
    positions = turning(40, 0.02, joints) + 0.02 * rng.normal(size=(40, joints, 3))
    recovered = h3d.recover(h3d.encode(positions, released=released))
    np.testing.assert_allclose(recovered, h3d.canonical(positions)[:-1], atol=1e-4)


def test_a_full_turn_recovers_only_without_the_released_sign_error() -> None:
    """At half a turn the released code stores one small step with the wrong sign."""
    positions = turning(300, 0.05)
    canonical = h3d.canonical(positions)[:-1]
    corrected = h3d.recover(h3d.encode(positions, released=False))
    np.testing.assert_allclose(corrected, canonical, atol=1e-3)
    released = h3d.recover(h3d.encode(positions, released=True))
    assert np.abs(released - canonical).max() > 0.1


def test_yaw_is_half_the_turn_between_frames() -> None:
    features = h3d.encode(turning(200, 0.04), released=False)
    middle = features[90:110, h3d.channels()["yaw"]]
    np.testing.assert_allclose(middle, -0.02, atol=1e-5)


def test_heading_of_the_released_code_is_that_of_the_difference() -> None:
    """Where the hips are wider than the shoulders, the released heading looks backwards (G23)."""
    wide = turning(30, 0.0)
    wide[:, [1, 2], 0] *= 8.0
    facing = h3d.encode(wide, released=False)
    backwards = h3d.encode(wide, released=True)
    side = h3d.channels()["ric"].start  # x of the left hip
    assert facing[5, side] > 0 > backwards[5, side]


def test_contact_threshold_follows_the_frame_rate_when_corrected() -> None:
    still = turning(20, 0.0)
    still[:, :, 2] += 0.035 * np.arange(20)[:, None]  # 1.05 m/s at 30 fps: no foot stands
    contacts = h3d.channels()["contact"]
    assert h3d.encode(still, fps=30, released=True)[:, contacts].all()
    assert not h3d.encode(still, fps=30, released=False)[:, contacts].any()
    at_tuned_rate = h3d.encode(still, fps=20, released=False)[:, contacts]
    np.testing.assert_array_equal(at_tuned_rate, h3d.encode(still)[:, contacts])


def test_another_skeleton_takes_over_lengths_and_scales_the_path() -> None:
    positions = turning(20, 0.02)
    offsets = 1.5 * h3d.target(positions)
    moved = h3d.canonical(positions, offsets)
    lengths = np.linalg.norm(moved[3, 1:] - moved[3, list(BODY_HANDS.parents[1:])], axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(offsets, axis=1)[1:], rtol=1e-5)
    way = np.ptp(h3d.canonical(positions)[:, 0, 0])
    assert np.ptp(moved[:, 0, 0]) == pytest.approx(1.5 * way, rel=1e-4)


def test_batches_recover_like_their_members(numbers) -> None:
    features = numbers["features623"]
    batch = h3d.recover(np.stack([features, features[::-1]]))
    np.testing.assert_array_equal(batch[1], h3d.recover(features[::-1]))


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (np.zeros((5, 21, 3)), r"\(5, 21, 3\)"),
        (np.zeros((1, 22, 3)), "1 frames"),
        (np.full((5, 22, 3), np.nan), "NaN"),
        (np.zeros((5, 22, 3)), "leg has no length"),
    ],
)
def test_what_is_no_motion_is_refused(positions: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        h3d.encode(positions)


def test_other_widths_and_offsets_are_refused() -> None:
    with pytest.raises(ValueError, match="width 620"):
        h3d.recover(np.zeros((4, 620)))
    with pytest.raises(ValueError, match="NaN"):
        h3d.recover(np.full((4, 623), np.nan))
    with pytest.raises(ValueError, match="offsets"):
        h3d.encode(turning(5, 0.0), offsets=np.zeros((22, 3)))
