"""From joint rotations to joint positions, and back."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import roma
import torch
from torch import Tensor

from lithe.syntalker.skeleton import Skeleton

__all__ = [
    "bone_directions",
    "fit_skeleton",
    "fk",
    "grounded",
    "relengthen",
    "rotations_from",
    "shortest_arc",
    "world_rotations",
]

Array = TypeVar("Array", np.ndarray, Tensor)

#: A bone shorter than this (metres) has no direction; its rest direction is taken.
TINY = 1e-6
#: Frames, evenly spread, that a skeleton is fitted to.
FITTED_FRAMES = 300


def fk(rotations: Array, root: Array, skeleton: Skeleton) -> Array:
    """Forward kinematics: where the joints are.

    ``p_j = p_parent + R_parent o_j`` with ``R_j = R_parent r_j`` down the tree.

    Args:
        rotations: local rotations ``(t, j, 3, 3)``, array or tensor.
        root: root positions ``(t, 3)`` in metres, of the same kind.
        skeleton: the ``j`` joints.

    Returns:
        Positions ``(t, j, 3)`` in metres, of the same kind and type.

    Raises:
        ValueError: shapes that do not fit the skeleton or each other.
    """
    _check_rotations(rotations, skeleton)
    if tuple(root.shape) != (rotations.shape[0], 3):
        raise ValueError(f"root {tuple(root.shape)} is not ({rotations.shape[0]}, 3)")
    world = _world(rotations, skeleton)
    offsets = _offsets(rotations, skeleton)
    places = [root]
    for joint, parent in enumerate(skeleton.parents[1:], start=1):
        places.append(places[parent] + world[parent] @ offsets[joint])
    return _stack(places)


def world_rotations(rotations: Array, skeleton: Skeleton) -> Array:
    """Rotation of every joint in the world ``(t, j, 3, 3)``, from local ones of that shape.

    Raises:
        ValueError: the shape does not fit the skeleton.
    """
    _check_rotations(rotations, skeleton)
    return _stack(_world(rotations, skeleton))


def shortest_arc(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes one direction to another.

    ``R = c I + [w] + w wᵀ / (1 + c)``, ``w = start x end``, ``c = start · end``. Opposite
    directions turn by pi about some axis at right angles.

    Args:
        start: unit vectors ``(..., 3)``.
        end: unit vectors that broadcast against ``start``.

    Returns:
        Rotations ``(..., 3, 3)``.
    """
    start, end = np.broadcast_arrays(start, end)
    c = np.einsum("...x,...x->...", start, end)
    w = _cross(start, end)
    share = 1.0 / np.maximum(1.0 + c, np.finfo(c.dtype).tiny)
    rotation = w[..., :, None] * (w * share[..., None])[..., None, :]
    for axis in range(3):
        rotation[..., axis, axis] += c
    for row, column, k in ((2, 1, 0), (0, 2, 1), (1, 0, 2)):
        rotation[..., row, column] += w[..., k]
        rotation[..., column, row] -= w[..., k]
    opposite = c < -1.0 + 4 * np.finfo(c.dtype).eps
    if opposite.any():
        rotation[opposite] = _half_turn(start[opposite])
    return rotation


def relengthen(positions: np.ndarray, parents: tuple[int, ...], lengths: np.ndarray) -> np.ndarray:
    """Keep every bone's direction, give it another length; the root stays where it is.

    Args:
        positions: ``(t, j, 3)`` metres.
        parents: parent of each joint, the root's is -1.
        lengths: new bone lengths ``(j,)`` in metres; the root's is ignored.

    Returns:
        Positions ``(t, j, 3)``.
    """
    directions = bone_directions(positions, parents)
    moved = positions.copy()
    for joint, parent in enumerate(parents[1:], start=1):
        moved[:, joint] = moved[:, parent] + lengths[joint] * directions[:, joint]
    return moved


def bone_directions(positions: np.ndarray, parents: tuple[int, ...]) -> np.ndarray:
    """Unit vector from each joint's parent to it ``(t, j, 3)``; 0 for the root and empty bones."""
    above = np.array([0, *parents[1:]])
    bones = positions - positions[:, above]
    lengths = np.sqrt(np.einsum("tjx,tjx->tj", bones, bones))
    bones *= np.where(lengths > TINY, 1.0 / np.maximum(lengths, TINY), 0.0)[..., None]
    return bones


def grounded(positions: np.ndarray, share: float = 1.0) -> np.ndarray:
    """Shift a motion up or down until its lowest joint stands on y = 0.

    Args:
        positions: ``(t, j, 3)`` metres, y up.
        share: percentage of frames that may lie below; a glitch does not lift the rest.
    """
    floor = np.percentile(positions[..., 1].min(axis=1), share)
    return positions - np.array([0.0, floor, 0.0], dtype=positions.dtype)


def fit_skeleton(positions: np.ndarray, skeleton: Skeleton) -> Skeleton:
    """The skeleton with the bone lengths, and the shape of its forks, that a motion has on average.

    Args:
        positions: ``(t, j, 3)`` metres.
        skeleton: gives names, parents and the directions of the rest pose.

    Returns:
        A skeleton that a rigid body's motion can be posed on exactly.
    """
    seen = positions[:: max(1, len(positions) // FITTED_FRAMES)].astype(np.float64)
    world = _aligned(seen, skeleton)
    offsets = skeleton.offsets.astype(np.float64)
    for joint, parent in enumerate(skeleton.parents[1:], start=1):
        bones = seen[:, joint] - seen[:, parent]
        offsets[joint] = np.einsum("tab,ta->tb", world[parent], bones).mean(axis=0)
    return skeleton.with_offsets(offsets)


def rotations_from(positions: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Local rotations that pose a skeleton like given positions.

    A joint with one child takes the shortest arc from its parent's frame (no twist can be seen);
    a joint with several takes their best common rotation; a last joint follows its parent.

    Args:
        positions: ``(t, j, 3)`` metres.
        skeleton: the same joints; where its bone lengths or forks differ from those of the
            positions, only directions are met. :func:`fit_skeleton` removes the difference.

    Returns:
        Rotations ``(t, j, 3, 3)`` of the type of the positions.
    """
    world = _aligned(positions.astype(np.float64), skeleton)
    local = [world[0]]
    for joint, parent in enumerate(skeleton.parents[1:], start=1):
        local.append(np.swapaxes(world[parent], -1, -2) @ world[joint])
    return np.stack(local, axis=1).astype(positions.dtype)


def _aligned(positions: np.ndarray, skeleton: Skeleton) -> list[np.ndarray]:
    """World rotation of every joint, each ``(t, 3, 3)``."""
    world: list[np.ndarray] = []
    for joint, parent in enumerate(skeleton.parents):
        before = world[parent] if joint else np.broadcast_to(np.eye(3), (len(positions), 3, 3))
        children = list(skeleton.children(joint))
        rest = skeleton.offsets[children].astype(np.float64)
        seen = positions[:, children] - positions[:, joint, None]
        world.append(_toward(before, rest, seen))
    return world


def _toward(before: np.ndarray, rest: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Turn ``before`` so that the rest bones ``(c, 3)`` point like the seen ones ``(t, c, 3)``."""
    usable = np.linalg.norm(rest, axis=1) > TINY
    rest, seen = rest[usable], seen[:, usable]
    if not len(rest):
        return before
    if np.linalg.matrix_rank(rest, tol=TINY) == 1:
        pointing = before @ rest[0]
        return shortest_arc(_unit(pointing, pointing), _unit(seen[:, 0], pointing)) @ before
    spread = np.einsum("tca,cb->tab", seen, rest)
    return roma.special_procrustes(torch.from_numpy(spread)).numpy()


def _unit(vectors: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Vectors ``(t, 3)`` of length 1; those too short to have a direction take ``instead``'s."""
    short = np.linalg.norm(vectors, axis=-1, keepdims=True) <= TINY
    vectors = np.where(short, instead, vectors)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _half_turn(directions: np.ndarray) -> np.ndarray:
    """Rotations by pi about an axis at right angles to unit vectors ``(n, 3)``."""
    helper = np.eye(3)[np.abs(directions).argmin(axis=1)]
    axis = np.cross(directions, helper)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    return 2.0 * axis[:, :, None] * axis[:, None, :] - np.eye(3)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``np.cross`` for (..., 3), several times faster."""
    product = np.empty(a.shape, np.result_type(a, b))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        product[..., k] = a[..., i] * b[..., j] - a[..., j] * b[..., i]
    return product


def _world(rotations: Array, skeleton: Skeleton) -> list[Array]:
    world = [rotations[:, 0]]
    for joint, parent in enumerate(skeleton.parents[1:], start=1):
        world.append(world[parent] @ rotations[:, joint])
    return world


def _offsets(like: Array, skeleton: Skeleton) -> Array:
    if isinstance(like, Tensor):
        return torch.tensor(skeleton.offsets, dtype=like.dtype, device=like.device)
    return skeleton.offsets.astype(like.dtype)


def _stack(parts: list[Array]) -> Array:
    return torch.stack(parts, 1) if isinstance(parts[0], Tensor) else np.stack(parts, axis=1)


def _check_rotations(rotations: Array, skeleton: Skeleton) -> None:
    if rotations.ndim != 4 or tuple(rotations.shape[1:]) != (len(skeleton), 3, 3):
        raise ValueError(
            f"rotations {tuple(rotations.shape)} are not (t, {len(skeleton)}, 3, 3) for this "
            "skeleton"
        )
