"""Positions of joints from features that arrive piece by piece."""

from __future__ import annotations

import numpy as np

from lithe.syntalker import h3d

__all__ = ["Tracker"]


class Tracker:
    """Where the body is, carried from one piece of motion to the next.

    :func:`lithe.syntalker.h3d.recover` sums velocities from the first frame on; here heading, place
    and the last frame are remembered, and pieces join to what it gives for the whole.
    """

    def __init__(self) -> None:
        self._yaw, self._place = 0.0, np.zeros(3)
        self._last: np.ndarray | None = None

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Positions ``(t, j, 3)`` in metres of the next features ``(t, 12 j - 1)``.

        Raises:
            ValueError: as :func:`lithe.syntalker.h3d.recover`, or no frame.
        """
        features = np.asarray(features)
        if features.ndim != 2 or not len(features):
            raise ValueError(f"features are (t, d) with at least one frame, got {features.shape}")
        begun = self._last is not None
        joined = np.concatenate([self._last, features]) if begun else features
        at = h3d.channels(h3d.joints_of(joined.shape[-1]))
        placed = _turned(-self._yaw, h3d.recover(joined).astype(np.float64)) + self._place
        self._yaw += 2.0 * float(joined[:-1, at["yaw"]].sum(dtype=np.float64))
        self._place = placed[-1, 0] * (1.0, 0.0, 1.0)
        self._last = joined[-1:].copy()
        return placed[begun:].astype(np.float32)


def _turned(angle: float, vectors: np.ndarray) -> np.ndarray:
    """Vectors ``(..., 3)`` turned about y."""
    c, s = np.cos(angle), np.sin(angle)
    return vectors @ np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
