"""Antialiased bicubic resizing by MATLAB's convention, which made the published images."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["imresize"]


def imresize(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize by one factor, as MATLAB's ``imresize(image, scale, "bicubic")``.

    Source: ARM spec 9.16. Cubic kernel with a = -0.5, widened by ``1 / scale`` when shrinking;
    the border is mirrored with the edge pixel repeated; rows first, then columns. Sums are taken
    in float64, one channel at a time, so that an exact half rounds as it does in MATLAB (up).
    torch's bicubic (a = -0.75, no antialiasing) is another function.

    Args:
        image: ``(h, w)`` or ``(h, w, c)``; an integer type, or float of any range.
        scale: output size over input size, above 0; sizes are rounded up.

    Returns:
        ``(ceil(h scale), ceil(w scale)[, c])``: an integer image rounded and clipped to its
        type, a float image as float32, not clipped.

    Raises:
        TypeError: the image is neither integer nor float.
        ValueError: the shape or the scale is wrong.
    """
    image = np.asarray(image)
    if image.dtype.kind not in "uif":
        raise TypeError(f"image is {image.dtype}; give an integer or float array")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image is of shape {image.shape}; give (h, w) or (h, w, c), not empty")
    if isinstance(scale, bool) or not 0 < scale < math.inf:
        raise ValueError(f"scale is {scale!r}; it is a finite factor above 0")
    taps = [contributions(n, float(scale)) for n in image.shape[:2]]
    if image.ndim == 2:
        return _plane(image, taps)
    planes = [_plane(image[..., k], taps) for k in range(image.shape[2])]
    return np.stack(planes, 2)


def _plane(plane: np.ndarray, taps: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """One channel ``(h, w)``, resized along both axes and brought back to its type."""
    out = plane.astype(np.float64)
    for axis, (weights, places) in enumerate(taps):
        out = _resample(out, axis, weights, places)
    if plane.dtype.kind == "f":
        return out.astype(np.float32)
    limits = np.iinfo(plane.dtype)
    return np.clip(np.floor(out + 0.5), limits.min, limits.max).astype(plane.dtype)


def _resample(plane: np.ndarray, axis: int, weights: np.ndarray, places: np.ndarray) -> np.ndarray:
    shape = (-1, 1) if axis == 0 else (1, -1)
    out = 0.0
    for weight, place in zip(weights.T, places.T):  # one tap of every output at a time
        out = out + weight.reshape(shape) * np.take(plane, place, axis)
    return out


def contributions(n: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Which inputs make each output along one axis.

    Args:
        n: input length.
        scale: output length over input length.

    Returns:
        Weights float64 ``(outputs, taps)``, rows sum to 1, and input positions of that shape.
    """
    outputs = math.ceil(round(n * scale, 9))  # 0.1 * 30 is a hair above 3
    shrink = min(scale, 1.0)
    width = 4 / shrink
    u = np.arange(1, outputs + 1) / scale + 0.5 * (1 - 1 / scale)  # centres, counted from 1
    left = np.floor(u - width / 2)
    taps = left[:, None] + np.arange(math.ceil(width) + 2)
    weights = shrink * _cubic(shrink * (u[:, None] - taps))
    weights /= weights.sum(1, keepdims=True)
    mirror = np.concatenate([np.arange(n), np.arange(n)[::-1]])
    places = mirror[(taps.astype(np.int64) - 1) % (2 * n)]
    used = (weights != 0).any(0)
    return weights[:, used], places[:, used]


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
