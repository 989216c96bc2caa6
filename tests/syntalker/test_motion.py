"""Motions: what they refuse, cutting, resampling, npz, and SMPL-X files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lithe.syntalker import BODY, BODY_HANDS, Motion, Prompt, fk, from_axis_angle, smplx


def swinging(frames: int = 31, fps: float = 30.0, joints: int = 22) -> Motion:
    """A body that walks along x and swings its left arm at a steady rate."""
    skeleton = BODY if joints == 22 else BODY_HANDS
    vectors = np.zeros((frames, joints, 3), dtype=np.float32)
    vectors[:, 16, 2] = np.linspace(0, 1.5, frames)
    root = np.zeros((frames, 3), dtype=np.float32)
    root[:, 0] = np.linspace(0, 1, frames)
    root[:, 1] = 0.93
    sound = (np.linspace(-1, 1, round(frames / fps * 8000), dtype=np.float32), 8000)
    return Motion.from_rotations(from_axis_angle(vectors), root, skeleton, fps, sound)


def test_from_rotations_is_forward_kinematics() -> None:
    motion = swinging()
    np.testing.assert_array_equal(
        motion.positions, fk(motion.rotations, motion.root.copy(), motion.skeleton)
    )
    assert motion.positions.dtype == np.float32
    assert motion.seconds == pytest.approx(31 / 30)
    assert repr(motion) == "Motion(31 frames, 22 joints, 30 fps, sound at 8000 Hz)"


def test_tensors_are_taken_and_the_skeleton_is_found() -> None:
    motion = Motion(torch.zeros(2, 52, 3, dtype=torch.float64, requires_grad=True))
    assert motion.skeleton is BODY_HANDS
    assert motion.positions.dtype == np.float32


def test_cut_takes_sound_and_prompts_along() -> None:
    motion = swinging(60)
    asked = (Prompt(0.0, 1.0, "swing", "upper"), Prompt(1.5, 2.0, "stop"))
    motion = Motion(motion.positions, 30, BODY, motion.rotations, motion.audio, asked)
    part = motion.cut(15, 45)
    np.testing.assert_array_equal(part.positions, motion.positions[15:45])
    np.testing.assert_array_equal(part.rotations, motion.rotations[15:45])
    np.testing.assert_array_equal(part.audio[0], motion.audio[0][4000:12000])
    assert part.prompts == (Prompt(0.0, 0.5, "swing", "upper"),)
    assert len(motion.cut(-10)) == 10


@pytest.mark.parametrize("rigid", [True, False])
def test_resampling_keeps_a_steady_motion(rigid: bool) -> None:
    fast = swinging(61, 60.0)
    given = fast if rigid else Motion(fast.positions, 60.0)
    slow = given.resampled(20.0)
    assert (len(slow), slow.fps) == (21, 20.0)
    np.testing.assert_allclose(slow.positions, fast.positions[::3], atol=1e-5)
    up = given.resampled(120.0)
    assert len(up) == 121
    np.testing.assert_allclose(up.positions[::2], fast.positions, atol=1e-5)
    if rigid:  # between two frames the arm keeps its length
        arm = np.linalg.norm(up.positions[:, 18] - up.positions[:, 16], axis=1)
        np.testing.assert_allclose(arm, BODY.lengths[18], atol=1e-6)


def test_posed_finds_rotations_that_give_the_positions() -> None:
    motion = swinging()
    posed = Motion(motion.positions).posed()
    np.testing.assert_allclose(posed.positions, motion.positions, atol=1e-5)
    assert motion.posed() is motion


def test_npz_keeps_everything(tmp_path) -> None:
    motion = swinging(12, 24.0, joints=52)
    asked = [Prompt(0.1, 0.4, "schwing — <b>", "upper")]
    motion = Motion(motion.positions, 24.0, BODY_HANDS, motion.rotations, motion.audio, asked)
    again = Motion.load(motion.save(tmp_path / "a.npz"))
    np.testing.assert_array_equal(again.positions, motion.positions)
    np.testing.assert_array_equal(again.rotations, motion.rotations)
    np.testing.assert_array_equal(again.audio[0], motion.audio[0])
    assert (again.audio[1], again.fps, again.prompts) == (8000, 24.0, tuple(asked))
    assert again.skeleton.names == BODY_HANDS.names
    np.testing.assert_array_equal(again.skeleton.offsets, BODY_HANDS.offsets)


def test_npz_of_positions_alone(tmp_path) -> None:
    again = Motion.load(Motion(swinging().positions).save(tmp_path / "a.npz"))
    assert again.rotations is None
    assert again.audio is None
    assert again.prompts == ()


def test_pickled_arrays_are_not_loaded(tmp_path) -> None:
    np.savez(tmp_path / "bad.npz", positions=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"bad\.npz is no npz of plain arrays"):
        Motion.load(tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="has no fps, names, offsets, parents, positions"):
        Motion.load(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match=r"text\.npz"):
        Motion.load(tmp_path / "text.npz")


CONTENT = {
    "positions": np.zeros((2, 2, 3)),
    "fps": np.array(30.0),
    "names": np.array(["a", "b"]),
    "parents": np.array([-1, 0]),
    "offsets": np.zeros((2, 3)),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": np.array([1, 0])}, "first joint is the root"),
        ({"parents": np.array(3)}, "not a motion"),
        ({"fps": np.array([30.0, 24.0])}, "not a motion"),
        ({"fps": np.array("x")}, "not a motion"),
        ({"audio": np.zeros(5)}, "audio_rate"),
        ({"prompt_times": np.zeros(3), "prompt_words": np.array(["a"])}, "not a motion"),
        ({"end_joints": np.array([9]), "end_offsets": np.zeros((1, 3))}, "ends"),
        ({"end_joints": np.array([0]), "end_offsets": np.zeros((1, 2))}, "ends"),
    ],
)
def test_npz_with_arrays_that_do_not_fit_is_refused(tmp_path, change: dict, message: str) -> None:
    np.savez(tmp_path / "odd.npz", **CONTENT)
    assert len(Motion.load(tmp_path / "odd.npz")) == 2
    np.savez(tmp_path / "odd.npz", **CONTENT | change)
    with pytest.raises(ValueError, match=rf"odd\.npz.*{message}"):
        Motion.load(tmp_path / "odd.npz")


def test_a_damaged_npz_is_refused_by_name(tmp_path) -> None:
    whole = swinging().save(tmp_path / "a.npz").read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    altered = bytearray(whole)
    altered[150:200] = bytes(50)  # inside the compressed stream
    cut, single = whole[: len(whole) // 2], (tmp_path / "one.npy").read_bytes()
    for damage in (b"", cut, bytes(altered), single):
        (tmp_path / "bad.npz").write_bytes(damage)
        with pytest.raises(ValueError, match=r"bad\.npz is no npz of plain arrays"):
            Motion.load(tmp_path / "bad.npz")


def test_amass_files_are_z_up_and_may_wrap_their_rate(tmp_path) -> None:
    """In AMASS a person who stands is turned by a quarter about x."""
    poses = np.zeros((2, 156))
    poses[:, 0] = np.pi / 2
    arrays = {"poses": poses, "trans": np.array([[0.0, 0.0, 0.9]] * 2)}
    arrays |= {"mocap_framerate": np.array([120.0]), "dmpls": np.zeros((2, 8))}
    np.savez(tmp_path / "amass.npz", **arrays)
    motion = Motion.load(tmp_path / "amass.npz")
    assert motion.fps == 120
    head, foot = motion.positions[0, 15], motion.positions[0, 10]
    assert head[1] - foot[1] > 1.3
    np.savez(tmp_path / "none.npz", poses=np.zeros((0, 165)), trans=np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"none\.npz: poses .* hold no frame"):
        Motion.load(tmp_path / "none.npz")


def test_the_beat2_sample_stands_and_talks(shared) -> None:
    motion = Motion.load(shared / "data" / "motion" / "beat2" / "2_scott_0_1_1_60s.npz")
    assert (len(motion), motion.fps, motion.skeleton) == (1800, 30.0, BODY_HANDS)
    assert np.ptp(motion.root[:, [0, 2]], axis=0).max() < 1.5  # it stays where it is
    feet = motion.positions[:, [7, 8, 10, 11], 1]
    assert -0.05 < feet.min() < 0.05
    assert np.median(feet.max(axis=1)) < 0.2
    assert 1.4 < np.median(motion.positions[:, 15, 1]) < 1.7  # upright
    toward = motion.positions[:, 10] - motion.positions[:, 7]  # a toe lies before its ankle
    assert np.median(np.linalg.norm(toward[:, [0, 2]], axis=1)) > 0.08


def test_z_up_files_are_turned_upright() -> None:
    poses = np.zeros((2, 156), dtype=np.float32)
    trans = np.array([[0, 0, 1], [1, 2, 1]], dtype=np.float32)
    poses[:, 0] = np.pi / 2  # y-up body standing in a z-up world
    motion = smplx.motion({"poses": poses, "trans": trans, "mocap_framerate": 60}, up="z")
    assert motion.fps == 60.0
    np.testing.assert_allclose(motion.root[1] - motion.root[0], [1, 0, -2], atol=1e-6)
    expected = BODY_HANDS.rest()
    np.testing.assert_allclose(motion.positions[0] - motion.root[0], expected, atol=1e-5)


def test_rotation_features_equal_the_original(golden) -> None:
    numbers = np.load(golden / "syntalker_demo330.npz")
    features = smplx.encode_rotations(numbers["axis_angle"])
    np.testing.assert_allclose(features, numbers["rot6d"], atol=1e-6)
    parts = smplx.PART_CHANNELS
    for part in ("upper", "hands", "lower"):
        np.testing.assert_array_equal(parts[part], numbers[f"idx_{part}"])


def test_translation_code_equals_the_original(shared, golden) -> None:
    numbers = np.load(golden / "syntalker_demo330.npz")
    start = int(numbers["frame_start"])
    sample = np.load(shared / "data" / "motion" / "beat2" / "2_scott_0_1_1_60s.npz")
    code = smplx.encode_translation(sample["trans"])
    np.testing.assert_allclose(code[start : start + 8], numbers["trans_v"], atol=1e-6)


def test_translation_decodes_with_and_without_the_released_offset() -> None:
    trans = np.cumsum(np.random.default_rng(0).normal(size=(12, 3)), axis=0)
    code = smplx.encode_translation(trans)
    released = smplx.decode_translation(code)
    offset = released - (trans - trans[0] * (1, 0, 1))
    np.testing.assert_allclose(offset, np.tile(code[0] * (1, 0, 1), (12, 1)), atol=1e-12)
    clean = smplx.decode_translation(code, released=False)
    np.testing.assert_allclose(clean, trans - trans[0] * (1, 0, 1), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": np.zeros((2, 72))}, r"poses \(2, 72\)"),
        ({"trans": np.zeros((3, 3))}, r"trans \(3, 3\)"),
        ({"trans": np.full((2, 3), np.inf)}, "infinity"),
    ],
)
def test_smplx_files_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    arrays = {"poses": np.zeros((2, 165)), "trans": np.zeros((2, 3))}
    smplx.motion(arrays)
    with pytest.raises(ValueError, match=message):
        smplx.motion(arrays | change)
    with pytest.raises(ValueError, match="up is 'x'"):
        smplx.motion(arrays, up="x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": np.zeros((0, 22, 3))}, "t of 1 or more"),
        ({"positions": np.zeros((2, 22, 2))}, r"\(2, 22, 2\)"),
        ({"positions": np.zeros((2, 23, 3))}, "23 joints"),
        ({"positions": np.full((2, 22, 3), np.nan)}, "132 of the positions"),
        ({"skeleton": BODY_HANDS}, "skeleton of 52"),
        ({"fps": 0.0}, "fps is 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"rotations": np.zeros((2, 22, 3))}, "rotations"),
        ({"audio": (np.zeros((2, 2, 2)), 8000)}, "sound"),
        ({"audio": (np.zeros(5), 0)}, "sound"),
    ],
)
def test_what_is_no_motion_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Motion(**{"positions": np.zeros((2, 22, 3))} | arguments)


def test_unknown_files_and_empty_cuts_are_refused(tmp_path) -> None:
    motion = swinging()
    with pytest.raises(ValueError, match=r"\.bvh, \.npz, \.glb, \.mp4"):
        motion.save(tmp_path / "a.fbx")
    with pytest.raises(ValueError, match=r"\.bvh\.gz"):
        Motion.load(tmp_path / "a.glb")
    with pytest.raises(FileNotFoundError):
        Motion.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="are none"):
        motion.cut(20, 10)
    with pytest.raises(ValueError, match="fps is -1"):
        motion.resampled(-1)
    with pytest.raises(ValueError, match="runs from 2"):
        Prompt(2.0, 1.0, "backwards")
