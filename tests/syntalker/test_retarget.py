"""Other skeletons onto the canonical joints."""

from __future__ import annotations

import numpy as np
import pytest

from lithe.syntalker import BODY, BODY_HANDS, Motion, Prompt, Skeleton
from lithe.syntalker.retarget import retarget, sources

MIXAMO = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "foot": "ToeBase",
    "collar": "Shoulder",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
}


def mixamo_name(name: str) -> str:
    side, _, joint = name.partition("_")
    if not joint:
        return f"mixamorig:{MIXAMO[name]}"
    if joint[-1].isdigit():
        return f"mixamorig:{side.title()}Hand{joint.title()}"
    return f"mixamorig:{side.title()}{MIXAMO[joint]}"


def renamed(skeleton: Skeleton, factor: float = 1.0) -> Skeleton:
    names = tuple(mixamo_name(name) for name in skeleton.names)
    return Skeleton(names, skeleton.parents, skeleton.offsets * factor)


def walking(skeleton: Skeleton, frames: int = 5) -> Motion:
    places = np.tile(skeleton.rest(), (frames, 1, 1))
    places += np.linspace(0, 1, frames)[:, None, None] * np.array([0.5, 0.0, 1.0])
    return Motion(places, 30.0, skeleton, prompts=[Prompt(0, 0.1, "walk")])


@pytest.mark.parametrize("target", [BODY, BODY_HANDS], ids=["22", "52"])
def test_a_larger_person_of_other_names_becomes_the_canonical_one(target: Skeleton) -> None:
    source = walking(renamed(BODY_HANDS, 1.25))
    motion = retarget(source, target)
    limbs = [
        joint
        for joint, name in enumerate(target.names)
        if "spine" not in name and "collar" not in name and name not in ("neck", "shoulder")
    ]
    expected = target.rest() - [0, target.rest()[:, 1].min(), 0]
    found = motion.positions[0] - motion.root[0] * (1, 0, 1)
    legs = [joint for joint in limbs if joint in (0, 1, 2, 4, 5, 7, 8, 10, 11)]
    np.testing.assert_allclose(found[legs], expected[legs], atol=1e-5)
    np.testing.assert_allclose(found[limbs], expected[limbs], atol=0.08)  # the trunk is resampled
    np.testing.assert_allclose(motion.root[-1] - motion.root[0], [0.4, 0, 0.8], atol=1e-5)
    assert motion.prompts == source.prompts


def test_bone_lengths_are_the_targets() -> None:
    motion = retarget(walking(renamed(BODY_HANDS, 0.8)))
    for joint, parent in enumerate(BODY.parents[1:], start=1):
        lengths = np.linalg.norm(motion.positions[:, joint] - motion.positions[:, parent], axis=1)
        np.testing.assert_allclose(lengths, BODY.lengths[joint], atol=1e-6)


def test_canonical_names_are_taken_as_they_are() -> None:
    weights = sources(BODY_HANDS, BODY)
    np.testing.assert_array_equal(weights, np.eye(22, 52))
    motion = retarget(walking(BODY_HANDS))
    expected = BODY.rest() - [0, BODY.rest()[:, 1].min(), 0]
    np.testing.assert_allclose(motion.positions[0], expected, atol=1e-6)


def test_sources_are_means() -> None:
    weights = sources(renamed(BODY_HANDS), BODY)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()


def test_a_cmu_walk_keeps_its_gait(shared) -> None:
    source = Motion.load(shared / "data" / "motion" / "cmu" / "cl_train_walking_2.bvh.gz")
    motion = retarget(source)
    speed = np.linalg.norm(np.diff(motion.root, axis=0)[:, [0, 2]], axis=1).mean() * 30
    assert 0.8 < speed < 1.7
    along = motion.root[-1] - motion.root[0]
    along /= np.linalg.norm(along)
    apart = (motion.positions[:, 7] - motion.positions[:, 8]) @ along
    assert apart.max() > 0.25  # one foot before the other, in turn
    assert apart.min() < -0.25
    left = motion.positions[:, 16] - motion.positions[:, 17]
    facing = np.cross(left, [0, 1, 0]) * (1, 0, 1)
    assert ((facing @ along) > 0).mean() > 0.95  # it walks forward, left is left
    shoulders = motion.positions[:, [16, 17], 1].min()
    assert shoulders > motion.positions[:, 0, 1].max()


def test_missing_joints_are_named_and_can_be_given() -> None:
    names = tuple("Zeh" if n == "mixamorig:LeftToeBase" else n for n in renamed(BODY).names)
    odd = Skeleton(names, BODY.parents, BODY.offsets)
    with pytest.raises(ValueError, match="no joint for 'left_foot'"):
        retarget(walking(odd))
    retarget(walking(odd), names={"left_foot": "Zeh"})
    with pytest.raises(ValueError, match="onto BODY"):
        retarget(walking(renamed(BODY)), BODY_HANDS)
    with pytest.raises(ValueError, match="no joint 'Toe'"):
        retarget(walking(odd), names={"left_foot": "Toe"})


def test_a_skeleton_without_legs_to_measure_is_refused() -> None:
    flat = renamed(BODY)
    with pytest.raises(ValueError, match="no length"):
        retarget(Motion(np.zeros((2, 22, 3)), 30.0, flat))
