"""Inverse kinematics of a limb of two bones, in closed form for all frames at once."""

from __future__ import annotations

import numpy as np

__all__ = ["about", "frame", "reach_height", "soft_minimum", "two_bone", "unit"]

#: A limb is stretched to this share of its length at most: at 1 the bend has no direction.
STRETCH = 0.985


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors ``(..., 3)`` at length 1; those of no length stay 0."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def about(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotations ``(..., 3, 3)`` about a coordinate axis, right-handed, radians."""
    angle = np.asarray(angle, np.float64)
    c, s = np.cos(angle), np.sin(angle)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    r = np.zeros((*angle.shape, 3, 3))
    r[..., axis, axis] = 1
    r[..., first, first] = r[..., second, second] = c
    r[..., second, first], r[..., first, second] = s, -s
    return r


def frame(direction: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """Right-handed frames ``(..., 3, 3)`` whose columns are a bone, its hinge and their product.

    Args:
        direction: along the bone ``(..., 3)``.
        hinge: axis of the joint; what is along the bone is taken out.
    """
    a = unit(direction)
    h = unit(hinge - (hinge * a).sum(-1, keepdims=True) * a)
    return np.stack([a, h, np.cross(a, h)], axis=-1)


def two_bone(
    start: np.ndarray, target: np.ndarray, pole: np.ndarray, lengths: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions of two bones that reach from a joint to a target, and the hinge between them.

    The law of cosines gives the angle at the first joint; the pole says to which side the middle
    joint bends. A target out of reach is approached, so that nothing breaks or jumps.

    Args:
        start: first joint ``(t, 3)``, metres.
        target: last joint ``(t, 3)``.
        pole: direction ``(t, 3)`` in which the middle joint should stand out.
        lengths: of the two bones, metres.

    Returns:
        Unit vectors ``(t, 3)``: first bone, second bone, hinge (first x second).
    """
    first, second = lengths
    line = target - start
    reach = np.linalg.norm(line, axis=-1, keepdims=True)
    distance = np.clip(reach, abs(first - second) + 1e-3, STRETCH * (first + second))
    along = unit(line)
    aside = unit(pole - (pole * along).sum(-1, keepdims=True) * along)
    cosine = (first**2 + distance**2 - second**2) / (2 * first * distance)
    sine = np.sqrt(np.clip(1 - cosine**2, 0, 1))
    a = cosine * along + sine * aside
    b = unit(distance * along - first * a)
    return a, b, np.cross(aside, along)


def soft_minimum(*values: np.ndarray, width: float = 0.015) -> np.ndarray:
    """A smooth function below all of the values, and within ``width · ln n`` of the least."""
    stacked = np.stack(np.broadcast_arrays(*values))
    least = stacked.min(0)
    return least - width * np.log(np.exp(-(stacked - least) / width).sum(0))


def reach_height(ankle: np.ndarray, hip: np.ndarray, length: float) -> np.ndarray:
    """Highest root from which a leg still reaches its ankle.

    Args:
        ankle: ``(t, 3)`` metres.
        hip: ``(t, 3)``, where the hip would be if the root were at height 0.
        length: of the leg.

    Returns:
        ``(t,)`` metres.
    """
    flat = ((ankle - hip)[:, [0, 2]] ** 2).sum(1)
    return ankle[:, 1] - hip[:, 1] + np.sqrt(np.maximum((STRETCH * length) ** 2 - flat, 1e-4))
