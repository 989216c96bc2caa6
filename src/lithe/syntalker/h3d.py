"""Motion features in the layout of HumanML3D: 623 numbers a frame for 52 joints, 263 for 22.

Per frame of ``j`` joints, ``12 j - 1`` numbers: yaw velocity (half angle), root velocity in x and
z, root height, positions of joints 1.. (``ric``), rotations of joints 1.. (two columns), velocities
of all joints, four foot contacts.

Source: SynTalker spec 2.3. The released arithmetic has quirks that models trained on such features
have seen; ``released=True`` keeps them, ``released=False`` puts them right:

- the heading is taken from the *difference* of hip and shoulder widths (G23), instead of their sum;
- the contact threshold is tuned at 20 fps and used at any rate (G25), instead of scaled;
- a heading that passes half a turn stores its small yaw step with the wrong sign, instead of the
  step itself.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from lithe.syntalker.kinematics import bone_directions, relengthen, shortest_arc
from lithe.syntalker.skeleton import BODY_HANDS, PART_JOINTS, skeleton_for

__all__ = ["PARTS", "canonical", "channels", "encode", "joints_of", "parts", "recover", "target"]

#: Squared displacement between frames, m², below which a foot counts as standing, at 20 fps.
CONTACT = 0.002
CONTACT_FPS = 20.0
#: Left ankle, left foot, right ankle, right foot.
FEET = (7, 10, 8, 11)
#: Standard deviation of the heading's smoothing, frames.
SMOOTHING = 20.0
_LEFT_HIP, _RIGHT_HIP, _LEFT_SHOULDER, _RIGHT_SHOULDER = 1, 2, 16, 17
_KNEE, _ANKLE = 5, 8

#: Unit direction of each bone in the pose from which rotations are counted (spec 2.3).
RAW_OFFSETS = np.zeros((52, 3))
RAW_OFFSETS[1:, 1] = -1.0
RAW_OFFSETS[[3, 6, 9, 12]] = (0.0, 1.0, 0.0)
RAW_OFFSETS[[10, 11, 15]] = (0.0, 0.0, 1.0)
RAW_OFFSETS[[1, 13]] = (1.0, 0.0, 0.0)
RAW_OFFSETS[[2, 14]] = (-1.0, 0.0, 0.0)

#: Joint before each one on its kinematic chain; arms and fingers start anew from the root.
_CHAIN_STARTS = (1, 2, 3, 13, 14, *range(22, 52, 3))
BEFORE = np.array([0 if j in _CHAIN_STARTS else p for j, p in enumerate(BODY_HANDS.parents)])
BEFORE[0] = 0


def encode(
    positions: np.ndarray,
    offsets: np.ndarray | None = None,
    fps: float = 30.0,
    released: bool = True,
) -> np.ndarray:
    """Features of a motion.

    Args:
        positions: ``(t, j, 3)`` metres, y up, ``j`` of 22 or 52, two frames or more.
        offsets: bone offsets ``(j, 3)`` of the skeleton that all motions are brought to, see
            :func:`target`; by default the bone lengths of this motion's own first frame.
        fps: frame rate; only ``released=False`` looks at it.
        released: keep the released quirks, named at the head of this module.

    Returns:
        float32 ``(t - 1, 12 j - 1)``; (t - 1, 623) for 52 joints.

    Raises:
        ValueError: wrong shape, one frame, NaN or infinity.
    """
    p = canonical(positions, offsets)
    yaw = _yaw(p, released)
    step = np.diff(p, axis=0)
    root = _turn(yaw[1:], step[:, :1])[:, 0]
    ric = p - p[:, :1] * (1.0, 0.0, 1.0)
    frames, joints = p.shape[:2]
    features = np.empty((frames - 1, 12 * joints - 1), dtype=np.float32)
    at = channels(joints)
    features[:, at["yaw"]] = _yaw_velocity(yaw, released)[:, None]
    features[:, at["root"]] = root[:, [0, 2]]
    features[:, at["height"]] = p[:-1, 0, 1:2]
    features[:, at["ric"]] = _turn(yaw, ric)[:-1, 1:].reshape(frames - 1, -1)
    features[:, at["rotation"]] = _rotations(p[:-1], yaw[:-1]).reshape(frames - 1, -1)
    features[:, at["velocity"]] = _turn(yaw[:-1], step).reshape(frames - 1, -1)
    features[:, at["contact"]] = _contacts(step, fps, released)
    return features


def recover(features: np.ndarray) -> np.ndarray:
    """Positions from features: the heading and the root by summing their velocities.

    Rotation, velocity and contact channels are not looked at (spec 2.3, "recover from ric").

    Args:
        features: ``(t, 12 j - 1)``; also with leading batch dimensions.

    Returns:
        float32 positions ``(t, j, 3)`` in metres, starting at x = z = 0 and heading +z.

    Raises:
        ValueError: a width that is no layout of 22 or 52 joints, NaN or infinity.
    """
    features = np.asarray(features)
    at = channels(joints_of(features.shape[-1]))
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinity; did the model diverge?")
    yaw = 2.0 * _before(features[..., at["yaw"]])[..., 0]
    planar = np.zeros((*features.shape[:-1], 1, 3))
    planar[..., 1:, 0, 0::2] = features[..., :-1, at["root"]]
    root = np.cumsum(_turn(-yaw, planar), axis=-3)
    ric = features[..., at["ric"]].astype(np.float64)
    places = _turn(-yaw, ric.reshape(*features.shape[:-1], -1, 3)) + root
    root[..., 0, 1] = features[..., at["height"]][..., 0]
    return np.concatenate([root, places], axis=-2).astype(np.float32)


def canonical(positions: np.ndarray, offsets: np.ndarray | None = None) -> np.ndarray:
    """Bring a motion to one skeleton, onto the floor, to the origin, and to face +z at its start.

    Steps 1 to 4 of spec 2.3.

    Args:
        positions: ``(t, j, 3)`` metres.
        offsets: bone offsets of the target skeleton ``(j, 3)``; see :func:`encode`.

    Returns:
        float64 ``(t, j, 3)``.

    Raises:
        ValueError: as :func:`encode`.
    """
    p = _checked(positions)
    p = _uniform(p, _lengths(p[0]) if offsets is None else _target_lengths(offsets, p))
    p[..., 1] -= p[..., 1].min()
    p -= p[:1, :1] * (1.0, 0.0, 1.0)
    across = p[0, _RIGHT_HIP] - p[0, _LEFT_HIP] + p[0, _RIGHT_SHOULDER] - p[0, _LEFT_SHOULDER]
    return _turn(np.broadcast_to(_angle(_forward(across)), len(p)), p)


def target(positions: np.ndarray) -> np.ndarray:
    """Bone offsets ``(j, 3)`` of a reference motion ``(t, j, 3)``: its first frame's lengths.

    Raises:
        ValueError: as :func:`encode`.
    """
    p = _checked(positions)
    return (RAW_OFFSETS[: p.shape[1]] * _lengths(p[0])[:, None]).astype(np.float32)


def channels(joints: int = 52) -> dict[str, slice]:
    """Which of the ``12 j - 1`` channels hold what.

    Returns:
        Slices named yaw, root, height, ric, rotation, velocity and contact.

    Raises:
        ValueError: neither 22 nor 52 joints.
    """
    skeleton_for(joints)
    sizes = {"yaw": 1, "root": 2, "height": 1, "ric": 3 * (joints - 1)}
    sizes |= {"rotation": 6 * (joints - 1), "velocity": 3 * joints, "contact": 4}
    ends = np.cumsum([0, *sizes.values()]).tolist()
    return {name: slice(a, b) for name, a, b in zip(sizes, ends, ends[1:])}


def joints_of(width: int) -> int:
    """Number of joints of features of a width: 52 for 623, 22 for 263.

    Raises:
        ValueError: another width.
    """
    known = {12 * joints - 1: joints for joints in (22, 52)}
    if width not in known:
        raise ValueError(f"features of width {width}; 623 (52 joints) or 263 (22) are known")
    return known[width]


def parts(joints: int = 52) -> dict[str, np.ndarray]:
    """Channels of each body part, joint by joint as position, rotation, velocity.

    The lower part begins with the root's four channels and the four contacts; its pelvis has a
    velocity only. A body of 22 joints has no hands.

    Returns:
        Index arrays that together are all channels, each once: (156,), (360,) and (107,) for 52.

    Raises:
        ValueError: neither 22 nor 52 joints.
    """
    at = channels(joints)
    start = {name: piece.start for name, piece in at.items()}

    def of(joint: int) -> list[int]:
        pose = [start["ric"] + 3 * (joint - 1) + k for k in range(3)]
        pose += [start["rotation"] + 6 * (joint - 1) + k for k in range(6)]
        return (pose if joint else []) + [start["velocity"] + 3 * joint + k for k in range(3)]

    chosen = {
        part: [k for joint in members if joint < joints for k in of(joint)]
        for part, members in PART_JOINTS.items()
    }
    contacts = list(range(at["contact"].start, at["contact"].stop))
    chosen["lower"] = [0, 1, 2, 3, *contacts, *chosen["lower"]]
    return {part: np.array(indices) for part, indices in chosen.items() if indices}


#: Channels of the upper body (156), the hands (360) and the lower body (107), of 623.
PARTS: dict[str, np.ndarray] = parts(52)


def _checked(positions: np.ndarray) -> np.ndarray:
    p = np.array(positions, dtype=np.float64)
    if p.ndim != 3 or p.shape[2] != 3 or p.shape[1] not in (22, 52):
        raise ValueError(f"positions {p.shape} are not (t, 22, 3) or (t, 52, 3)")
    if len(p) < 2:
        raise ValueError(f"{len(p)} frames; velocities need two or more")
    if not np.isfinite(p).all():
        raise ValueError("positions hold NaN or infinity")
    return p


def _lengths(frame: np.ndarray) -> np.ndarray:
    parents = np.array([0, *BODY_HANDS.parents[1 : len(frame)]])
    return np.linalg.norm(frame - frame[parents], axis=1)


def _target_lengths(offsets: np.ndarray, p: np.ndarray) -> np.ndarray:
    offsets = np.asarray(offsets, dtype=np.float64)
    if offsets.shape != p.shape[1:]:
        raise ValueError(f"target offsets {offsets.shape} are not {p.shape[1:]}")
    return np.linalg.norm(offsets, axis=1)


def _uniform(p: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Step 1: bones as long as the target's, the root's path scaled by the ratio of the legs."""
    own = _lengths(p[0])
    legs = own[_KNEE] + own[_ANKLE]
    if not legs > 0:
        raise ValueError("the right leg has no length in the first frame")
    moved = relengthen(p, BODY_HANDS.parents[: p.shape[1]], lengths)
    return moved + (p[:, :1] * ((lengths[_KNEE] + lengths[_ANKLE]) / legs - 1.0))


def _forward(across: np.ndarray) -> np.ndarray:
    """y-axis x ``across`` ``(..., 3)`` made a unit vector, as ``(..., 2)`` in x and z.

    Shorter than 1 where ``across`` is not level: such a frame counts less in the smoothing.
    """
    across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
    return np.stack([across[..., 2], -across[..., 0]], axis=-1)


def _angle(forward: np.ndarray) -> np.ndarray:
    """Turn about y that brings ``forward`` (x, z) to +z, in (-pi, pi]."""
    return np.arctan2(-forward[..., 0], forward[..., 1])


def _yaw(p: np.ndarray, released: bool) -> np.ndarray:
    """Turn per frame ``(t,)`` that brings the smoothed heading to +z; 0 in the first frame."""
    hips = p[:, _RIGHT_HIP] - p[:, _LEFT_HIP]
    shoulders = p[:, _RIGHT_SHOULDER] - p[:, _LEFT_SHOULDER]
    across = shoulders - hips if released else shoulders + hips  # G23
    forward = gaussian_filter1d(_forward(across), SMOOTHING, axis=0, mode="nearest")
    yaw = _angle(forward)
    yaw[0] = 0.0
    return yaw


def _yaw_velocity(yaw: np.ndarray, released: bool) -> np.ndarray:
    """Half the turn between frames ``(t - 1,)``, as arcsin of the quaternion's y."""
    half = np.diff(yaw) / 2.0
    if not released:
        half = (half + np.pi / 2) % np.pi - np.pi / 2
    return np.arcsin(np.sin(half))


def _turn(angle: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Turn vectors ``(..., t, j, 3)`` about y by angles ``(..., t)``."""
    c, s = np.cos(angle)[..., None], np.sin(angle)[..., None]
    turned = np.empty(vectors.shape)
    x, z = vectors[..., 0], vectors[..., 2]
    turned[..., 0] = c * x + s * z
    turned[..., 1] = vectors[..., 1]
    turned[..., 2] = c * z - s * x
    return turned


def _rotations(p: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Step 6: rotation of each bone relative to the one before on its chain, two columns."""
    joints = p.shape[1]
    # Directions in float64, since fingers are short; the rest in float32, twice as fast.
    directions = bone_directions(p, BODY_HANDS.parents[:joints]).astype(np.float32)
    raw = RAW_OFFSETS[:joints].astype(np.float32)
    world = shortest_arc(np.broadcast_to(raw, p.shape), directions)
    c, s = np.cos(yaw), np.sin(yaw)
    world[:, 0] = 0.0
    world[:, 0, 0, 0], world[:, 0, 0, 2] = c, s
    world[:, 0, 2, 0], world[:, 0, 2, 2] = -s, c
    world[:, 0, 1, 1] = 1.0
    columns = np.swapaxes(world[:, BEFORE[1:joints]], -1, -2) @ world[:, 1:, :, :2]
    return np.swapaxes(columns, -1, -2)


def _contacts(step: np.ndarray, fps: float, released: bool) -> np.ndarray:
    threshold = CONTACT if released else CONTACT * (CONTACT_FPS / fps) ** 2  # G25
    moved = step[:, FEET]
    return np.einsum("tjx,tjx->tj", moved, moved) < threshold


def _before(values: np.ndarray) -> np.ndarray:
    """Sum of all earlier frames of ``(..., t, d)``; 0 in the first."""
    summed = np.cumsum(values, axis=-2, dtype=np.float64)
    return np.concatenate([np.zeros_like(summed[..., :1, :]), summed[..., :-1, :]], axis=-2)
