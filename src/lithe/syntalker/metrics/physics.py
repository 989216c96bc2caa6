"""What a body cannot hide: trembling, and feet that slide on the floor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lithe.syntalker.metrics.checks import finite_positions

__all__ = ["TOES", "foot_skate", "jitter", "longest_slide"]

#: Left and right foot joint (the ball of the foot) in both skeletons.
TOES = (10, 11)


def jitter(positions: np.ndarray, fps: float = 30.0) -> float:
    """Mean size of the third derivative of joint positions, in m/s³.

    Third differences: exact on cubic motion. White noise of σ metres on every coordinate gives
    about ``σ fps³ √20 √(8/π)``.

    Args:
        positions: ``(t, j, 3)`` metres, at least 4 frames.
        fps: frames a second.
    """
    p = finite_positions(positions, fps, at_least=4)
    return float(np.linalg.norm(np.diff(p, 3, axis=0), axis=2).mean() * fps**3)


def foot_skate(
    positions: np.ndarray,
    fps: float = 30.0,
    feet: Sequence[int] = TOES,
    height: float = 0.025,
    floor: float | None = None,
) -> float:
    """Mean horizontal speed of the feet, weighted by how near the floor they are, in m/s.

    ``v (2 - 2^(h/H))`` for ``0 <= h <= H``, nothing above: a foot on the floor counts with its
    whole speed, a foot in the air not at all, and nothing hangs on one threshold.

    Source: the measure of Mode-Adaptive Neural Networks (Zhang et al. 2018), here divided by the
    summed weights: standing longer beside a slide does not dilute it away in the air.

    Args:
        positions: ``(t, j, 3)`` metres, y up, at least 2 frames.
        fps: frames a second.
        feet: joints that touch the floor.
        height: ``H`` in metres above the floor.
        floor: height of these joints when planted; by default their lowest in the clip.

    Returns:
        m/s; 0 where no foot is near the floor.

    Raises:
        ValueError: a joint that is not there, or ``height`` not positive.
    """
    p = finite_positions(positions, fps, at_least=2)
    if not height > 0:
        raise ValueError(f"height is {height}; metres above the floor, positive")
    p = p[:, _joints(feet, p.shape[1])]
    middle = (p[1:, :, 1] + p[:-1, :, 1]) / 2
    h = middle - (p[..., 1].min() if floor is None else floor)
    weight = np.clip(2 - 2 ** (np.clip(h, 0, None) / height), 0, 1)
    speed = np.linalg.norm(np.diff(p[..., [0, 2]], axis=0), axis=2) * fps
    total = weight.sum()
    return float((speed * weight).sum() / total) if total else 0.0


def longest_slide(positions: np.ndarray, planted: np.ndarray, feet: Sequence[int] = TOES) -> float:
    """How far, in metres, a planted foot strays in the plane: the worst foot of the worst plant.

    Args:
        positions: ``(t, j, 3)`` metres, y up.
        planted: bool ``(t, f)``: the foot stands. A plant is a run of frames without a gap.
        feet: the ``f`` joints.

    Returns:
        Largest distance of a plant's frames from the plant's mean place; 0 if nothing stands.
    """
    p = finite_positions(positions, fps=1)[:, _joints(feet, np.shape(positions)[1])]
    stands = np.asarray(planted, bool)
    if stands.shape != p.shape[:2]:
        raise ValueError(f"planted is {stands.shape}; (t, f) = {p.shape[:2]} is needed")
    worst = 0.0
    for foot in range(p.shape[1]):
        edges = np.flatnonzero(np.diff(np.r_[False, stands[:, foot], False].astype(int)))
        for start, stop in edges.reshape(-1, 2):
            place = p[start:stop, foot][:, [0, 2]]
            worst = max(worst, float(np.linalg.norm(place - place.mean(0), axis=1).max()))
    return worst


def _joints(joints: Sequence[int], available: int) -> list[int]:
    wrong = [j for j in joints if not 0 <= j < available]
    if wrong or not len(joints):
        raise ValueError(f"joints {wrong or 'none'}: the skeleton has 0 to {available - 1}")
    return list(joints)
