"""Slow random curves: what keeps a generated body from standing like a statue."""

from __future__ import annotations

import numpy as np

__all__ = ["slow_noise"]


def slow_noise(
    rng: np.random.Generator, frames: int, channels: int, period: float, fps: float
) -> np.ndarray:
    """Smooth noise of variance 1: Gaussian noise, low-passed by a Gaussian.

    Args:
        rng: draws it.
        frames: ``t``.
        channels: independent curves.
        period: seconds over which a curve changes its mind, about.
        fps: frames a second.

    Returns:
        float64 ``(t, channels)``.
    """
    from scipy.ndimage import gaussian_filter1d

    width = period * fps / 4
    margin = int(4 * width) + 1
    white = rng.standard_normal((frames + 2 * margin, channels))
    smooth = gaussian_filter1d(white, width, axis=0)[margin : margin + frames]
    return smooth * np.sqrt(2 * np.sqrt(np.pi) * width)  # the filter leaves 1 / (2 sqrt(pi) width)
