"""A body told by a few curves: where the feet and hands are, how the trunk stands."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lithe.syntalker.ik import about, frame, reach_height, soft_minimum, two_bone, unit
from lithe.syntalker.skeleton import BODY_HANDS, Skeleton

__all__ = ["FLOOR", "Controls", "pose", "standing"]

#: Height of the ball of the foot when the sole is on the floor, metres.
FLOOR = 0.02
#: Distance of the ball of the foot in front of the ankle, metres; the heel's height hangs on it.
FOOT = 0.13
MIRROR = np.diag([-1.0, 1.0, 1.0])
LEFT, RIGHT = (1, 4, 7, 10), (2, 5, 8, 11)


@dataclass
class Controls:
    """The curves of a clip of ``t`` frames; metres, radians, y up, heading 0 is +z, left is +x.

    ``arms`` are rows of :mod:`lithe.syntalker.world_arms`: wrist (3) and pole (3) in arm lengths
    from the shoulder, x to the arm's own side; then turn of the palm, wrist bend, curl of the
    index and of the other fingers.
    """

    root: np.ndarray  # (t, 3) pelvis
    yaw: np.ndarray  # (t,) heading
    toes: np.ndarray  # (t, 2, 3) balls of the left and right foot
    foot_yaw: np.ndarray  # (t, 2)
    foot_pitch: np.ndarray  # (t, 2) positive: heel up
    arms: np.ndarray  # (t, 2, 10)
    planted: np.ndarray  # (t, 2) bool: the sole is on the floor and must not move
    pelvis: np.ndarray = field(default=None)  # (t, 3) pitch, twist, roll
    spine: np.ndarray = field(default=None)  # (t, 3) over three joints
    head: np.ndarray = field(default=None)  # (t, 3) over two joints

    def __post_init__(self) -> None:
        for name in ("pelvis", "spine", "head"):
            if getattr(self, name) is None:
                setattr(self, name, np.zeros((len(self.root), 3)))


def standing(frames: int, arms: np.ndarray, skeleton: Skeleton = BODY_HANDS) -> Controls:
    """Controls of a body that stands at the origin with slightly soft knees.

    Args:
        frames: how many.
        arms: one row ``(10,)`` of arm numbers for both arms.
        skeleton: gives height and stance.
    """
    rest = skeleton.rest()
    root = np.tile([0.0, FLOOR + skeleton.root_height - 0.012, 0.0], (frames, 1))
    toes = np.tile(rest[[10, 11]].astype(np.float64), (frames, 1, 1))
    toes[..., 1] = FLOOR
    turned_out = np.tile([0.12, -0.12], (frames, 1))
    return Controls(
        root=root,
        yaw=np.zeros(frames),
        toes=toes,
        foot_yaw=turned_out,
        foot_pitch=np.zeros((frames, 2)),
        arms=np.tile(arms, (frames, 2, 1)),
        planted=np.ones((frames, 2), bool),
    )


def _turn(angles: np.ndarray) -> np.ndarray:
    """``(t, 3)`` pitch, twist, roll to rotations: about y, then x, then z."""
    return about(1, angles[:, 1]) @ about(0, angles[:, 0]) @ about(2, angles[:, 2])


def pose(controls: Controls, skeleton: Skeleton = BODY_HANDS) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and root of a body that follows the curves.

    The root is let down, smoothly, wherever a leg would not reach its foot.

    Args:
        controls: curves of ``t`` frames.
        skeleton: with hands (52 joints) or without (22).

    Returns:
        Local rotations ``(t, j, 3, 3)`` and root positions ``(t, 3)``, float64.
    """
    t, j = len(controls.root), len(skeleton)
    world = np.tile(np.eye(3), (t, j, 1, 1))
    offsets = skeleton.offsets.astype(np.float64)
    heading = about(1, controls.yaw)
    world[:, 0] = heading @ _turn(controls.pelvis)
    _trunk(world, controls)
    root = _legs(world, controls, offsets)
    _arms(world, controls, offsets, heading)
    if j > 22:
        _fingers(world, controls, skeleton)
    parents = np.array(skeleton.parents)
    local = world.copy()
    local[:, 1:] = np.swapaxes(world[:, parents[1:]], -1, -2) @ world[:, 1:]
    return local, root


def _trunk(world: np.ndarray, controls: Controls) -> None:
    """Spine bends in three equal parts, the head in two; collars follow the chest."""
    third, half = _turn(controls.spine / 3), _turn(controls.head / 2)
    for joint, parent, turn in (
        (3, 0, third), (6, 3, third), (9, 6, third), (12, 9, half), (15, 12, half)
    ):  # fmt: skip
        world[:, joint] = world[:, parent] @ turn
    world[:, 13] = world[:, 14] = world[:, 9]


def _legs(world: np.ndarray, controls: Controls, offsets: np.ndarray) -> np.ndarray:
    """Set the rotations of both legs; return the root, let down to where both feet are reached."""
    soles = about(1, controls.foot_yaw) @ about(0, controls.foot_pitch)  # (t, 2, 3, 3)
    ankles, hips, heights = [], [], []
    for side, (hip, knee, ankle, foot) in enumerate((LEFT, RIGHT)):
        length = np.linalg.norm(offsets[knee]) + np.linalg.norm(offsets[ankle])
        ankles.append(controls.toes[:, side] - soles[:, side] @ offsets[foot])
        flat = controls.root * [1, 0, 1]
        hips.append(flat + world[:, 0] @ offsets[hip])
        heights.append(reach_height(ankles[side], hips[side], length))
    root = controls.root.copy()
    root[:, 1] = soft_minimum(root[:, 1], *heights)
    for side, (hip, knee, ankle, foot) in enumerate((LEFT, RIGHT)):
        lengths = np.linalg.norm(offsets[knee]), np.linalg.norm(offsets[ankle])
        forward = unit(world[:, 0, :, 2] + soles[:, side, :, 2] * [1, 0, 1])
        start = hips[side] + root * [0, 1, 0]
        a, b, hinge = two_bone(start, ankles[side], forward, lengths)
        # a knee folds backward, an elbow forward: its hinge at rest is +x
        world[:, hip] = frame(a, hinge) @ frame(offsets[knee], np.array([1.0, 0, 0])).T
        world[:, knee] = frame(b, hinge) @ frame(offsets[ankle], np.array([1.0, 0, 0])).T
        world[:, ankle] = world[:, foot] = soles[:, side]
    return root


def _arms(world: np.ndarray, controls: Controls, offsets: np.ndarray, heading: np.ndarray) -> None:
    """Set shoulders, elbows and wrists, each arm told in its own mirror.

    The numbers of an arm are read in the heading of the chest and not in its tilt, so that arms
    hang straight down from a bowed body.
    """
    twist = controls.pelvis[:, 1] + controls.spine[:, 1]
    chest = heading @ about(1, twist)
    bones = offsets[[18, 20]]
    lengths = tuple(np.linalg.norm(bones, axis=1))
    rest = [frame(bone, np.array([0.0, -1, 0])).T for bone in bones]
    for side, joints in enumerate(((16, 18, 20), (17, 19, 21))):
        arm = controls.arms[:, side]
        wrist = _within(arm[:, :3]) * sum(lengths)
        a, b, hinge = two_bone(np.zeros_like(wrist), wrist, arm[:, 3:6], lengths)
        palm = about(0, arm[:, 6])
        upper = frame(a, hinge) @ rest[0]
        lower = frame(b, hinge) @ rest[1] @ palm
        hand = lower @ about(2, -arm[:, 7])
        for joint, turn in zip(joints, (upper, lower, hand), strict=True):
            world[:, joint] = chest @ (turn if side == 0 else MIRROR @ turn @ MIRROR)


def _within(wrist: np.ndarray, most: float = 0.985, least: float = 0.25) -> np.ndarray:
    """Wrists ``(t, 3)`` in arm lengths, drawn smoothly inside what an arm can reach."""
    reach = np.linalg.norm(wrist, axis=1)
    inside = soft_minimum(reach, np.full_like(reach, most), width=0.02)
    inside = np.where(inside < least, least, inside)
    return unit(wrist) * inside[:, None]


def _fingers(world: np.ndarray, controls: Controls, skeleton: Skeleton) -> None:
    """Fingers curl alike at their three joints; the thumb half as much, about its own axis."""
    for joint in range(22, len(skeleton)):
        name = skeleton.names[joint]
        left = name.startswith("left")
        curl = controls.arms[:, 0 if left else 1, 8 if "index" in name else 9]
        sign = -1 if left else 1
        turn = about(1, -sign * 0.4 * curl) if "thumb" in name else about(2, sign * curl)
        world[:, joint] = world[:, skeleton.parents[joint]] @ turn
