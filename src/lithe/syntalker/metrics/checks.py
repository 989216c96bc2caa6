"""The doors of the metrics: what an array must be before anything is measured on it."""

from __future__ import annotations

import numpy as np

__all__ = ["finite_features", "finite_positions"]


def finite_features(features: np.ndarray, name: str, at_least: int = 1) -> np.ndarray:
    """``features`` as float64 ``(n, d)``.

    Raises:
        ValueError: another number of dimensions, fewer than ``at_least`` rows, or values that
            are not finite.
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or len(x) < at_least or not x.shape[1]:
        raise ValueError(f"{name} has shape {x.shape}; (n, d) with n >= {at_least} is needed")
    return _finite(x, name)


def finite_positions(positions: np.ndarray, fps: float, at_least: int = 1) -> np.ndarray:
    """``positions`` as float64 ``(t, j, 3)``.

    Raises:
        ValueError: another shape, fewer than ``at_least`` frames, values that are not finite, or
            a frame rate that is not positive.
    """
    p = np.asarray(positions, np.float64)
    if p.ndim != 3 or p.shape[2] != 3 or len(p) < at_least:
        raise ValueError(f"positions are {p.shape}; (t, j, 3) with t >= {at_least} is needed")
    if not 0 < fps < np.inf:
        raise ValueError(f"fps is {fps}; a frame rate is positive")
    return _finite(p, "positions")


def _finite(x: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(x).all():
        raise ValueError(f"{name}: {int((~np.isfinite(x)).sum())} values are NaN or infinite")
    return x
