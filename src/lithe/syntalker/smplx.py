"""Poses of SMPL-X and SMPL-H files, on a skeleton of our own: no licensed body model is needed.

The rotations are the file's. Bone lengths are those of the canonical skeleton, so positions are
near those of the body model, not equal to them, and the height above the floor is found anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lithe.syntalker.kinematics import fk, grounded
from lithe.syntalker.motion import Motion
from lithe.syntalker.rotation import from_axis_angle, rotation_6d
from lithe.syntalker.skeleton import BODY, BODY_HANDS, Skeleton

__all__ = [
    "PART_CHANNELS",
    "decode_translation",
    "encode_rotations",
    "encode_translation",
    "motion",
]

#: Joints of SMPL-X, 55, that the canonical 52 keep: all but jaw and eyes (spec 2.1).
KEPT = (*range(22), *range(25, 55))
_LAYOUTS = {165: KEPT, 156: tuple(range(52)), 66: tuple(range(22))}

_PART_JOINTS = {
    "upper": (3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21),
    "hands": tuple(range(25, 55)),
    "lower": (0, 1, 2, 4, 5, 7, 8, 10, 11),
}
#: Channels of each body part among the 330 of :func:`encode_rotations`.
PART_CHANNELS: dict[str, np.ndarray] = {
    part: np.array([6 * joint + k for joint in joints for k in range(6)])
    for part, joints in _PART_JOINTS.items()
}


def motion(arrays: Mapping[str, np.ndarray], name: str = "the file", up: str = "y") -> Motion:
    """A motion from the arrays of an SMPL-X (55 joints) or SMPL-H (52, or 22) file.

    Args:
        arrays: ``poses`` ``(t, 165)``, ``(t, 156)`` or ``(t, 66)`` axis-angle, ``trans`` ``(t, 3)``
            metres, ``mocap_frame_rate`` (or ``mocap_framerate``) if it is not 30.
        name: for messages.
        up: axis that points up in the file: ``"y"`` (BEAT2) or ``"z"`` (AMASS).

    Returns:
        22 or 52 joints, y up, its lowest frames on the floor.

    Raises:
        ValueError: arrays are missing or do not fit each other.
    """
    poses, trans = _arrays(arrays, name)
    kept = _LAYOUTS[poses.shape[1]]
    rotations = from_axis_angle(poses.reshape(len(poses), -1, 3)[:, kept])
    if up == "z":
        upright = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=np.float32)
        rotations[:, 0] = upright @ rotations[:, 0]
        trans = trans @ upright.T
    elif up != "y":
        raise ValueError(f"up is {up!r}; 'y' or 'z' is needed")
    skeleton = BODY_HANDS if len(kept) == 52 else BODY
    return Motion.from_rotations(
        rotations, _on_floor(rotations, trans, skeleton), skeleton, _fps(arrays)
    )


def encode_rotations(poses: np.ndarray) -> np.ndarray:
    """The 330 rotation features of the co-speech variant: two rows of each of 55 rotations.

    Source: SynTalker spec 2.2.

    Args:
        poses: axis-angle ``(t, 165)``.

    Returns:
        ``(t, 330)``, not normalised.

    Raises:
        ValueError: another shape.
    """
    if poses.ndim != 2 or poses.shape[1] != 165:
        raise ValueError(f"poses {poses.shape} are not (t, 165)")
    matrices = from_axis_angle(poses.reshape(len(poses), 55, 3))
    return rotation_6d(matrices, "rows").reshape(len(poses), 330)


def encode_translation(trans: np.ndarray) -> np.ndarray:
    """Root translation as ``(dx, y, dz)`` a frame; the first frame repeats the second's steps.

    Source: SynTalker spec 2.2.

    Args:
        trans: ``(t, 3)`` metres, two frames or more.

    Returns:
        ``(t, 3)``.

    Raises:
        ValueError: another shape.
    """
    if trans.ndim != 2 or trans.shape[1] != 3 or len(trans) < 2:
        raise ValueError(f"trans {trans.shape} is not (t, 3) with t of 2 or more")
    code = np.diff(trans, axis=0, prepend=trans[:1])
    code[0] = code[1]
    code[:, 1] = trans[:, 1]
    return code


def decode_translation(code: np.ndarray, released: bool = True) -> np.ndarray:
    """Root translation ``(t, 3)`` from ``(dx, y, dz)``.

    Args:
        code: ``(t, 3)`` of :func:`encode_translation`.
        released: sum all steps, which leaves x and z off by the first; otherwise start at 0.
    """
    trans = np.cumsum(code, axis=0)
    if not released:
        trans -= code[:1]
    trans[:, 1] = code[:, 1]
    return trans


def _arrays(arrays: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    if "poses" not in arrays or "trans" not in arrays:
        raise ValueError(f"{name} has {', '.join(sorted(arrays))}; poses and trans are needed")
    poses = np.asarray(arrays["poses"], dtype=np.float32)
    trans = np.asarray(arrays["trans"], dtype=np.float32)
    if poses.ndim != 2 or poses.shape[1] not in _LAYOUTS:
        raise ValueError(f"{name}: poses {poses.shape} are not (t, 165), (t, 156) or (t, 66)")
    if trans.shape != (len(poses), 3):
        raise ValueError(f"{name}: trans {trans.shape} is not ({len(poses)}, 3)")
    if not (np.isfinite(poses).all() and np.isfinite(trans).all()):
        raise ValueError(f"{name}: poses or trans hold NaN or infinity")
    return poses, trans


def _fps(arrays: Mapping[str, np.ndarray]) -> float:
    rates = [arrays[key] for key in ("mocap_frame_rate", "mocap_framerate") if key in arrays]
    return float(rates[0]) if rates else 30.0


def _on_floor(rotations: np.ndarray, trans: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Root positions: the file's path, as high as puts the feet on the floor."""
    posed = fk(rotations, trans, skeleton)
    return grounded(posed)[:, 0]
