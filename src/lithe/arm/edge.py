"""How much edge a patch holds: the score that routes it, and the alternatives to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["SCORES", "edge_score", "edge_scores", "gray"]

BATCH = 1024  # patches at a time: the int16 planes of a batch stay in the cache


def gray(image: np.ndarray) -> np.ndarray:
    """8-bit luma of RGB, in whole numbers.

    Source: ARM spec 4.1: ``(9798 R + 19235 G + 3735 B + 16384) >> 15``.

    Args:
        image: uint8 ``(..., 3)``, RGB.

    Returns:
        uint8 ``(...)``.
    """
    r, g, b = (image[..., k].astype(np.int32) for k in range(3))
    return ((9798 * r + 19235 * g + 3735 * b + 16384) >> 15).astype(np.uint8)


def edge_score(patch_uint8_rgb: np.ndarray, kind: str = "laplacian") -> float:
    """Edge score of one patch; see :func:`edge_scores`.

    Args:
        patch_uint8_rgb: uint8 ``(h, w, 3)``, RGB; the paper's is 32 x 32.
        kind: one of :data:`SCORES`.
    """
    if np.ndim(patch_uint8_rgb) != 3:
        raise ValueError(f"patch is of shape {np.shape(patch_uint8_rgb)}; give (h, w, 3)")
    return float(edge_scores(np.asarray(patch_uint8_rgb)[None], kind)[0])


def edge_scores(patches: np.ndarray, kind: str = "laplacian") -> np.ndarray:
    """Edge score of each patch, 0 to 255.

    Source: ARM spec 4.1. The paper's score is the mean over the patch of
    ``min(|L * gray|, 255)`` with the *diagonal* kernel ``[[2,0,2],[0,-8,0],[2,0,2]]`` and the
    border mirrored without repeating the edge pixel. A one-pixel checkerboard scores 0.

    Args:
        patches: uint8 ``(n, h, w, 3)``, RGB.
        kind: ``"laplacian"`` (the paper's), ``"laplacian4"`` (four neighbours, times 2),
            ``"sobel"`` (magnitude of the gradient), ``"variance"`` (standard deviation of
            gray, the square root of the variance) or ``"range"`` (largest minus smallest gray).

    Returns:
        float64 ``(n,)``.

    Raises:
        TypeError: the patches are not uint8.
        ValueError: the shape or the kind is wrong.
    """
    if kind not in SCORES:
        raise ValueError(f"kind is {kind!r}; known are {', '.join(map(repr, SCORES))}")
    if patches.dtype != np.uint8:
        raise TypeError(f"patches are {patches.dtype}; the score is defined on uint8 RGB, 0..255")
    if patches.ndim != 4 or patches.shape[-1] != 3 or 0 in patches.shape[1:]:
        raise ValueError(f"patches are of shape {patches.shape}; give (n, h, w, 3), RGB")
    score, result = SCORES[kind], np.empty(len(patches))
    for start in range(0, len(patches), BATCH):
        result[start : start + BATCH] = score(gray(patches[start : start + BATCH]))
    return result


def _laplacian(y: np.ndarray) -> np.ndarray:
    return _mean(np.minimum(np.abs(laplacian(y)), 255))


def laplacian(y: np.ndarray) -> np.ndarray:
    """The diagonal Laplacian of gray patches: uint8 ``(n, h, w)`` to int16 of that shape."""
    p = _mirrored(y)
    corners = p[:, :-2, :-2] + p[:, :-2, 2:] + p[:, 2:, :-2] + p[:, 2:, 2:]
    return 2 * corners - 8 * p[:, 1:-1, 1:-1]


def _laplacian4(y: np.ndarray) -> np.ndarray:
    p = _mirrored(y)
    sides = p[:, :-2, 1:-1] + p[:, 2:, 1:-1] + p[:, 1:-1, :-2] + p[:, 1:-1, 2:]
    return _mean(np.minimum(np.abs(2 * sides - 8 * p[:, 1:-1, 1:-1]), 255))


def _sobel(y: np.ndarray) -> np.ndarray:
    p = _mirrored(y)
    smooth_x = p[:, :, :-2] + 2 * p[:, :, 1:-1] + p[:, :, 2:]
    smooth_y = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    down = smooth_x[:, 2:] - smooth_x[:, :-2]
    across = smooth_y[:, :, 2:] - smooth_y[:, :, :-2]
    return _mean(np.minimum(np.hypot(down, across, dtype=np.float32), 255))


def _deviation(y: np.ndarray) -> np.ndarray:
    return y.std((1, 2), dtype=np.float64)


def _range(y: np.ndarray) -> np.ndarray:
    return y.max((1, 2)).astype(np.float64) - y.min((1, 2))


def _mirrored(y: np.ndarray) -> np.ndarray:
    """One pixel around, reflected; int16 holds every sum that follows."""
    return np.pad(y.astype(np.int16), ((0, 0), (1, 1), (1, 1)), mode="reflect")


def _mean(magnitude: np.ndarray) -> np.ndarray:
    return magnitude.mean((1, 2), dtype=np.float64)


#: Scores by name; each takes gray uint8 ``(n, h, w)``.
SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "laplacian": _laplacian,
    "laplacian4": _laplacian4,
    "sobel": _sobel,
    "variance": _deviation,
    "range": _range,
}
