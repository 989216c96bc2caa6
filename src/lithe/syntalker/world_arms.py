"""What arms do: key poses, and how a hand gets from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

__all__ = ["POSES", "glide", "minimum_jerk", "oscillate", "track"]

#: Rows of ten: wrist (out, up, forward) and elbow's pole in arm lengths from the shoulder, turn of
#: the palm (0 in, positive down), wrist bend, curl of index, curl of the others (radians).
_ROWS = {
    "hang": (0.10, -0.97, 0.05, 0.3, 0.0, -1.0, 0.3, 0.0, 0.25, 0.3),
    "ready": (-0.14, -0.56, 0.52, 0.5, -0.3, -0.8, 0.5, 0.0, 0.25, 0.35),
    "beat": (-0.04, -0.40, 0.62, 0.6, -0.5, -0.6, 0.2, -0.2, 0.15, 0.25),
    "raise": (0.10, 0.93, 0.16, 1.0, -0.3, 0.1, 0.0, 0.0, 0.05, 0.05),
    "wave": (0.34, 0.36, 0.28, 0.7, -0.9, 0.0, 0.0, -0.1, 0.05, 0.05),
    "point": (0.02, -0.06, 0.95, 0.7, -0.6, -0.2, 1.2, 0.0, 0.0, 1.3),
    "clap": (-0.17, -0.28, 0.62, 0.8, -0.6, -0.3, 0.0, 0.0, 0.05, 0.05),
    "thigh": (-0.06, -0.66, 0.52, 0.6, 0.0, -0.8, 1.2, 0.0, 0.2, 0.25),
    "hip": (0.16, -0.62, 0.05, 1.0, 0.0, -0.7, 0.2, 0.3, 0.4, 0.5),
    "front": (0.02, -0.16, 0.86, 0.7, -0.7, 0.0, 1.2, 0.0, 0.1, 0.15),
    "back": (0.14, -0.80, -0.42, 0.7, 0.0, -0.7, 0.3, 0.0, 0.2, 0.3),
    "wide": (0.42, -0.36, 0.56, 0.6, -0.6, -0.5, -0.3, -0.1, 0.1, 0.1),
    "close": (-0.26, -0.36, 0.56, 0.8, -0.5, -0.3, 0.0, 0.0, 0.2, 0.25),
    "high": (0.08, 0.24, 0.66, 0.8, -0.6, 0.0, 0.3, 0.0, 0.05, 0.1),
    "low": (0.02, -0.74, 0.46, 0.5, -0.2, -0.8, 1.4, 0.1, 0.1, 0.15),
    "offer": (0.10, -0.34, 0.74, 0.6, -0.6, -0.4, -1.1, 0.0, 0.1, 0.2),
    "chest": (-0.30, -0.34, 0.36, 0.9, -0.3, -0.1, -0.2, 0.3, 0.2, 0.25),
    "balance": (0.72, -0.52, 0.14, 0.2, -0.4, -0.8, 0.9, 0.0, 0.1, 0.15),
}
POSES = {name: np.array(row) for name, row in _ROWS.items()}
#: Where a hand swerves when the straight way leads through its own shoulder.
SWERVE = np.array([0.35, 0.0, 0.6])


def minimum_jerk(u: np.ndarray) -> np.ndarray:
    """``10 u³ - 15 u⁴ + 6 u⁵`` on 0..1: how a hand moves from rest to rest (Flash, Hogan 1985)."""
    u = np.clip(u, 0.0, 1.0)
    return u**3 * (10 - 15 * u + 6 * u**2)


def glide(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Arm numbers ``(t, 10)`` on the way from one pose to another.

    Args:
        start: pose ``(10,)``.
        end: pose ``(10,)``.
        share: of the way ``(t,)``, 0 to 1.
    """
    s = share[:, None]
    way = (1 - s) * start + s * end
    lengths = np.linalg.norm(start[:3]), np.linalg.norm(end[:3])
    lost = max(0.0, sum(lengths) / 2 - np.linalg.norm((start[:3] + end[:3]) / 2) - 0.05)
    way[:, :3] += 4 * s * (1 - s) * lost * SWERVE
    return way


def track(keys: Sequence[tuple[float, np.ndarray]], frames: int, fps: float) -> np.ndarray:
    """Arm numbers over a clip: still before the first key and after the last, gliding between.

    Args:
        keys: seconds and pose ``(10,)``, rising in time.
        frames: ``t``.
        fps: frames a second.

    Returns:
        ``(t, 10)``.
    """
    times = np.arange(frames) / fps
    result = np.tile(keys[0][1], (frames, 1)).astype(np.float64)
    for (start, a), (end, b) in pairwise(keys):
        inside = times >= start
        share = minimum_jerk((times[inside] - start) / max(end - start, 1e-6))
        result[inside] = glide(a, b, share)
    return result


def oscillate(
    frames: int, fps: float, start: float, end: float, rate: float, ease: float = 0.35
) -> np.ndarray:
    """A sine ``(t,)`` of ``rate`` Hz from ``start`` to ``end`` seconds, faded in and out."""
    times = np.arange(frames) / fps
    fade = minimum_jerk((times - start) / ease) * minimum_jerk((end - times) / ease)
    return fade * np.sin(2 * np.pi * rate * (times - start))
