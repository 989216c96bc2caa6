"""Bring a motion of any human skeleton onto the canonical joints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lithe.syntalker.kinematics import grounded, relengthen
from lithe.syntalker.motion import Motion
from lithe.syntalker.skeleton import BODY, Skeleton

__all__ = ["retarget", "sources"]

# Names by which other skeletons call a joint, without prefix, case and punctuation; "left" stands
# for either side. The trunk is not here: it is placed along the line from pelvis to head.
_ALIASES = {
    "pelvis": ("hips", "hip", "pelvis", "root"),
    "head": ("head",),
    "left_hip": ("leftupleg", "leftupperleg", "leftthigh", "lefthip", "lthigh", "lhip"),
    "left_knee": (
        *("leftleg", "leftlowerleg", "leftshin", "leftcalf", "leftknee"),
        *("lshin", "lcalf", "lknee"),
    ),
    "left_ankle": ("leftfoot", "leftankle", "lfoot", "lankle"),
    "left_foot": ("lefttoebase", "lefttoe", "lefttoes", "ltoe", "ltoes", "ltoe0", "lball"),
    "left_shoulder": ("leftarm", "leftuparm", "leftupperarm", "lupperarm", "larm"),
    "left_elbow": ("leftforearm", "leftlowerarm", "leftelbow", "lforearm", "llowerarm", "lelbow"),
    "left_wrist": ("lefthand", "leftwrist", "lhand", "lwrist"),
}
_TRUNK = ("spine1", "spine2", "spine3", "neck")
#: A collar lies this far along the way from the trunk to the shoulder.
COLLAR = 0.4


def retarget(
    motion: Motion, skeleton: Skeleton = BODY, names: Mapping[str, str] | None = None
) -> Motion:
    """The same motion on the canonical joints.

    Joints are found by name (CMU, Mixamo, BEAT and canonical names are known), the trunk by where
    it lies between pelvis and head. Directions of bones are kept, lengths are the target's, the
    path of the root is scaled by the ratio of the legs, and the feet are put on the floor.

    Args:
        motion: on a skeleton of its own, y up.
        skeleton: :data:`~lithe.syntalker.BODY`, or ``BODY_HANDS`` if the motion has fingers.
        names: for joints that are not found, ``{canonical name: the motion's name}``.

    Returns:
        Positions on ``skeleton``; sound and prompts stay.

    Raises:
        ValueError: a joint is not found; the message names it.
    """
    weights = sources(motion.skeleton, skeleton, names)
    placed = np.einsum("kj,tjx->tkx", weights, motion.positions.astype(np.float64))
    legs = [skeleton.index(name) for name in ("right_knee", "right_ankle")]
    ratio = skeleton.lengths[legs].sum() / _length(placed, skeleton, legs)
    moved = relengthen(placed, skeleton.parents, skeleton.lengths)
    moved += (ratio - 1.0) * placed[:, :1]
    return replace(motion, positions=grounded(moved), skeleton=skeleton, rotations=None)


def sources(
    source: Skeleton, target: Skeleton = BODY, names: Mapping[str, str] | None = None
) -> np.ndarray:
    """Weights ``(k, j)``: each of ``k`` target joints as a mean of ``j`` source joints.

    Raises:
        ValueError: a joint is not found.
    """
    weights = np.zeros((len(target), len(source)))
    given = dict(names or {})
    if set(target.names) <= set(source.names):
        given = {name: name for name in target.names} | given
    for name, other in given.items():
        weights[target.index(name), source.index(other)] = 1.0
    plain = {name: k for k, name in reversed(list(enumerate(_plain(source.names))))}
    for k, name in enumerate(target.names):
        if not weights[k].any() and name not in _TRUNK and not name.endswith("collar"):
            weights[k, _found(name, plain, source)] = 1.0
    _place_trunk(weights, source, target)
    return weights


def _plain(names: Sequence[str]) -> list[str]:
    """Names without what all of them begin with ("mixamorig"), and with the side first."""
    lower = [name.rpartition(":")[2].lower() for name in names]
    sided = [re.sub(r"^(.+)[._ ]([lr])$", r"\2\1", name) for name in lower]
    bare = [re.sub(r"[^a-z0-9]", "", name) for name in sided]
    same = [len(set(letters)) == 1 for letters in zip(*bare)]
    shared = [*same, False].index(False) if len(bare) > 1 else 0
    return [name[shared:] for name in bare]


def _aliases(name: str) -> tuple[str, ...]:
    side, _, rest = name.partition("_")
    if side == "right":
        found = _aliases(f"left_{rest}")
        return tuple("r" + a[1:] if a[:4] != "left" else "right" + a[4:] for a in found)
    if name in _ALIASES:
        return _ALIASES[name]
    return (f"{side}hand{rest}", f"{side}{rest}", f"{side[:1]}hand{rest}")


def _found(name: str, plain: Mapping[str, int], source: Skeleton) -> int:
    for alias in _aliases(name):
        if alias in plain:
            return plain[alias]
    raise ValueError(
        f"no joint for {name!r} among {', '.join(source.names)}; "
        f"name it: names={{{name!r}: ...}}, or retarget onto BODY if only fingers are missing"
    )


def _place_trunk(weights: np.ndarray, source: Skeleton, target: Skeleton) -> None:
    """Spine, neck and collars: points along the source's own bones."""
    at = {name: int(weights[k].argmax()) for k, name in enumerate(target.names) if weights[k].any()}
    trunk = _path(source, at["head"], at["pelvis"])
    ways = np.cumsum([target.lengths[target.index(name)] for name in (*_TRUNK, "head")])
    for name, way in zip(_TRUNK, ways / ways[-1]):
        if name not in at:
            weights[target.index(name)] = _along(source, trunk, way)
    for side in ("left", "right"):
        name = f"{side}_collar"
        if name not in at:
            arm = _path(source, at[f"{side}_shoulder"], at["pelvis"])
            fork = max(k for k, joint in enumerate(arm) if joint in trunk)
            weights[target.index(name)] = _along(source, arm[fork:], COLLAR)


def _path(source: Skeleton, end: int, start: int) -> list[int]:
    """Joints from ``start`` down to ``end``."""
    path = [end]
    while path[-1] not in (start, -1):
        path.append(source.parents[path[-1]])
    if path[-1] == -1:
        raise ValueError(f"{source.names[end]!r} does not hang from {source.names[start]!r}")
    return path[::-1]


def _along(source: Skeleton, path: list[int], share: float) -> np.ndarray:
    """Weights ``(j,)`` of the point ``share`` of the way along a path, by rest lengths."""
    ways = np.cumsum([0.0, *source.lengths[path[1:]]])
    if ways[-1] == 0:
        raise ValueError(f"the bones from {source.names[path[0]]!r} on have no length")
    weights = np.zeros(len(source))
    for joint in range(len(path)):
        hat = np.interp(share * ways[-1], ways, np.eye(len(path))[joint])
        weights[path[joint]] += hat
    return weights / weights.sum()


def _length(positions: np.ndarray, skeleton: Skeleton, joints: list[int]) -> float:
    """Summed bone lengths of ``joints`` in the first frame, metres."""
    parents = [skeleton.parents[joint] for joint in joints]
    length = np.linalg.norm(positions[0, joints] - positions[0, parents], axis=1).sum()
    if not length > 0:
        raise ValueError("the right leg has no length in the first frame")
    return float(length)
