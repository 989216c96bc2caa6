"""The Fréchet distance of two clouds of features, each taken for a Gaussian."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lithe.syntalker.metrics.checks import finite_features

__all__ = ["Gaussian", "fit_gaussian", "frechet_distance"]

#: Eigenvalues of a covariance may lie this far below 0, relative to the largest, by rounding.
ROUNDING = 1e-8


class Gaussian(NamedTuple):
    """A mean ``(d,)`` and a covariance ``(d, d)``."""

    mean: np.ndarray
    covariance: np.ndarray


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """Mean and covariance (``ddof`` 1) of features ``(n, d)``, in float64.

    Raises:
        ValueError: fewer than two rows, or values that are not finite.
    """
    x = finite_features(features, "features", at_least=2)
    return Gaussian(x.mean(0), np.atleast_2d(np.cov(x, rowvar=False)))


def frechet_distance(a: np.ndarray | Gaussian, b: np.ndarray | Gaussian) -> float:
    """``|m_a - m_b|² + tr(S_a + S_b - 2 (S_a S_b)^½)``.

    The trace of the root is taken from the eigenvalues of ``S_a^½ S_b S_a^½``, which is symmetric:
    no complex numbers and no jitter on singular covariances, unlike a general matrix root.

    Source: SynTalker spec 8.1, 8.2. Numbers are comparable only where the features come from the
    same network (G9).

    Args:
        a: features ``(n, d)``, or a :class:`Gaussian` (mean, covariance).
        b: of the same ``d``; ``n`` may differ.

    Returns:
        A distance squared, in units of the features squared; at least 0.

    Raises:
        ValueError: widths differ, a covariance is not symmetric positive semidefinite, or
            values are not finite.
    """
    a, b = _gaussian(a, "a"), _gaussian(b, "b")
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features are {len(a.mean)} and {len(b.mean)} wide; give equal widths")
    root = _root(a.covariance, "a")
    _root(b.covariance, "b")  # refuses what is no covariance
    eigenvalues = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    means = ((a.mean - b.mean) ** 2).sum()
    return max(0.0, float(means + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross))


def _gaussian(value: np.ndarray | Gaussian, name: str) -> Gaussian:
    if not isinstance(value, tuple):
        return fit_gaussian(value)
    mean, covariance = (np.asarray(part, np.float64) for part in value)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            f"{name}: mean {mean.shape} with covariance {covariance.shape}; (d,) and (d, d) belong"
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(f"{name}: mean or covariance holds NaN or infinity")
    return Gaussian(mean, covariance)


def _root(covariance: np.ndarray, name: str) -> np.ndarray:
    """The symmetric square root."""
    scale = np.abs(covariance).max()
    if not np.allclose(covariance, covariance.T, atol=ROUNDING * scale):
        raise ValueError(f"covariance of {name} is not symmetric")
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -ROUNDING * max(values[-1], 0) - 1e-300:
        raise ValueError(f"covariance of {name} has eigenvalue {values[0]:.3g}; none is below 0")
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
