"""Joints, the bones between them, and the two bodies that all motion here is told on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["BODY", "BODY_HANDS", "PART_JOINTS", "Skeleton", "skeleton_for"]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A tree of joints with a rest pose.

    Args:
        names: of the ``j`` joints, each once.
        parents: index of each joint's parent; -1 for the root, which comes first, and a smaller
            index than its own for every other joint.
        offsets: ``(j, 3)`` metres, rest position of each joint relative to its parent, y up.
        ends: tips beyond the last joints, as ``(joint, (x, y, z))``; files carry them, nothing
            here computes with them.

    Raises:
        ValueError: the lengths differ, a name comes twice, or parents are not a tree in order.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    ends: tuple[tuple[int, tuple[float, float, float]], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        object.__setattr__(self, "parents", tuple(int(parent) for parent in self.parents))
        offsets = np.array(self.offsets, dtype=np.float32)
        offsets.flags.writeable = False
        object.__setattr__(self, "offsets", offsets)
        self._check()

    def _check(self) -> None:
        count = len(self.names)
        if len(self.parents) != count or self.offsets.shape != (count, 3):
            raise ValueError(
                f"{count} names, {len(self.parents)} parents and offsets "
                f"{self.offsets.shape} do not belong together; offsets are (j, 3)"
            )
        if len(set(self.names)) != count:
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"joint names {twice} come more than once")
        if not count or self.parents[0] != -1:
            raise ValueError("the first joint is the root and has parent -1")
        for joint, parent in enumerate(self.parents[1:], start=1):
            if not 0 <= parent < joint:
                raise ValueError(f"joint {joint} has parent {parent}; parents come before children")
        if not np.isfinite(self.offsets).all():
            raise ValueError("offsets hold NaN or infinity")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of the joint ``name``.

        Raises:
            ValueError: there is none.
        """
        if name not in self.names:
            raise ValueError(f"no joint {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name)

    def children(self, joint: int) -> tuple[int, ...]:
        """Indices of the joints whose parent is ``joint``."""
        return tuple(k for k, parent in enumerate(self.parents) if parent == joint)

    @property
    def lengths(self) -> np.ndarray:
        """Bone lengths ``(j,)`` in metres; the root has none, so 0."""
        lengths = np.linalg.norm(self.offsets, axis=1)
        lengths[0] = 0.0
        return lengths

    def rest(self) -> np.ndarray:
        """Positions ``(j, 3)`` of the rest pose, the root at the origin."""
        places = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents[1:], start=1):
            places[joint] = places[parent] + self.offsets[joint]
        return places

    @property
    def root_height(self) -> float:
        """Height of the root above the lowest joint of the rest pose, metres."""
        return float(-self.rest()[:, 1].min())

    def scaled(self, factor: float) -> Skeleton:
        """The same tree, every offset times ``factor``."""
        ends = tuple((joint, tuple(factor * x for x in tip)) for joint, tip in self.ends)
        return Skeleton(self.names, self.parents, self.offsets * factor, ends)

    def with_offsets(self, offsets: np.ndarray) -> Skeleton:
        """The same tree with another rest pose ``(j, 3)``."""
        return Skeleton(self.names, self.parents, offsets, self.ends)


# Rest pose: arms out (T), palms down, the left side at +x, facing +z. Round numbers of an adult of
# 1.7 m, chosen here; no body model was measured.
_MIDDLE = {
    "pelvis": (None, (0.0, 0.0, 0.0)),
    "spine1": ("pelvis", (0.0, 0.12, -0.02)),
    "spine2": ("spine1", (0.0, 0.13, 0.02)),
    "spine3": ("spine2", (0.0, 0.06, 0.02)),
    "neck": ("spine3", (0.0, 0.21, -0.05)),
    "head": ("neck", (0.0, 0.09, 0.05)),
}
_LEFT = {
    "hip": ("pelvis", (0.07, -0.09, -0.01)),
    "knee": ("hip", (0.01, -0.38, 0.0)),
    "ankle": ("knee", (0.0, -0.40, -0.02)),
    "foot": ("ankle", (0.02, -0.06, 0.13)),
    "collar": ("spine3", (0.07, 0.12, -0.02)),
    "shoulder": ("collar", (0.11, 0.03, -0.01)),
    "elbow": ("shoulder", (0.26, -0.01, -0.02)),
    "wrist": ("elbow", (0.25, 0.0, 0.0)),
}
_LEFT_FINGERS = {
    "index": ((0.095, -0.005, 0.025), (0.033, 0.0, 0.0), (0.023, 0.0, 0.0)),
    "middle": ((0.1, 0.0, 0.003), (0.034, 0.0, 0.0), (0.025, 0.0, 0.0)),
    "pinky": ((0.08, -0.01, -0.04), (0.022, 0.0, 0.0), (0.018, 0.0, 0.0)),
    "ring": ((0.09, -0.003, -0.02), (0.031, 0.0, 0.0), (0.023, 0.0, 0.0)),
    "thumb": ((0.03, -0.015, 0.03), (0.025, -0.005, 0.025), (0.022, 0.0, 0.018)),
}
# fmt: off
_BODY_ORDER = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee",
    "spine2", "left_ankle", "right_ankle", "spine3",
    "left_foot", "right_foot", "neck", "left_collar",
    "right_collar", "head", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)
# fmt: on


def _sided() -> dict[str, tuple[str | None, tuple[float, float, float]]]:
    """Parent and offset of every joint by name, the right side mirrored from the left."""
    joints = dict(_MIDDLE)
    left = dict(_LEFT)
    for finger, offsets in _LEFT_FINGERS.items():
        for k, offset in enumerate(offsets, start=1):
            left[f"{finger}{k}"] = ("wrist" if k == 1 else f"{finger}{k - 1}", offset)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for name, (parent, (x, y, z)) in left.items():
            above = parent if parent in _MIDDLE else f"{side}_{parent}"
            joints[f"{side}_{name}"] = (above, (sign * x, y, z))
    return joints


def _build(names: Sequence[str]) -> Skeleton:
    joints = _sided()
    parents = [-1 if joints[n][0] is None else names.index(joints[n][0]) for n in names]
    return Skeleton(tuple(names), tuple(parents), np.array([joints[n][1] for n in names]))


_FINGER_ORDER = [
    f"{side}_{finger}{k}"
    for side in ("left", "right")
    for finger in _LEFT_FINGERS
    for k in (1, 2, 3)
]

#: 22 joints from pelvis to wrists, order of spec 2.1.
BODY = _build(_BODY_ORDER)
#: 52 joints: the body, then 15 of the left hand, then 15 of the right (spec 2.3).
BODY_HANDS = _build([*_BODY_ORDER, *_FINGER_ORDER])

#: Joints of each body part (spec 2.1); together all 52, each once.
PART_JOINTS: dict[str, tuple[int, ...]] = {
    "upper": (3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21),
    "hands": tuple(range(22, 52)),
    "lower": (0, 1, 2, 4, 5, 7, 8, 10, 11),
}


def skeleton_for(joints: int) -> Skeleton:
    """The canonical skeleton of 22 or 52 joints.

    Raises:
        ValueError: another number of joints.
    """
    known = {len(BODY): BODY, len(BODY_HANDS): BODY_HANDS}
    if joints not in known:
        raise ValueError(f"{joints} joints are no canonical skeleton: 22 (body) or 52 (with hands)")
    return known[joints]
