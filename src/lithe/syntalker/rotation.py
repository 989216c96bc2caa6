"""Rotation matrices as six numbers, in the two conventions of the method, and as axis-angle."""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import roma
import torch
from torch import Tensor

__all__ = ["axis_angle", "from_axis_angle", "from_rotation_6d", "rotation_6d"]

Array = TypeVar("Array", np.ndarray, Tensor)
Convention = Literal["rows", "columns"]

#: Below this sine of the angle between the two vectors no third axis can be told from rounding.
PARALLEL = 1e-6


def rotation_6d(matrix: Array, convention: Convention = "rows") -> Array:
    """The first two rows, or columns, of rotation matrices.

    Source: SynTalker spec 2.2 (rows: 330-d variant) and 2.3 (columns: 623-d variant); the two are
    transposes of each other (G24).

    Args:
        matrix: rotations ``(..., 3, 3)``, array or tensor.
        convention: ``"rows"`` or ``"columns"``.

    Returns:
        ``(..., 6)`` of the same kind: first row (column), then second.

    Raises:
        ValueError: another shape or convention.
    """
    _check(matrix, (3, 3), convention)
    if convention == "columns":
        matrix = _transposed(matrix)
    return matrix[..., :2, :].reshape(*matrix.shape[:-2], 6)


def from_rotation_6d(six: Array, convention: Convention = "rows") -> Array:
    """Rotation matrices from six numbers, by Gram-Schmidt: any two independent vectors will do.

    Args:
        six: ``(..., 6)``, array or tensor; need not be normalised.
        convention: what the numbers are: two ``"rows"`` or two ``"columns"``.

    Returns:
        Rotations ``(..., 3, 3)`` of the same kind, determinant 1.

    Raises:
        ValueError: another shape or convention, not finite, or two vectors that are parallel.
    """
    _check(six, (6,), convention)
    vectors = torch.as_tensor(six).unflatten(-1, (2, 3))
    _check_independent(vectors.detach())
    matrix = roma.special_gramschmidt(vectors.mT)  # roma's vectors are columns
    return _like(matrix if convention == "columns" else matrix.mT, six)


def from_axis_angle(vectors: Array) -> Array:
    """Rotation matrices ``(..., 3, 3)`` of axis times angle ``(..., 3)``, radians.

    Raises:
        ValueError: another shape.
    """
    _check(vectors, (3,))
    return _like(roma.rotvec_to_rotmat(torch.as_tensor(vectors)), vectors)


def axis_angle(matrix: Array) -> Array:
    """Axis times angle ``(..., 3)``, radians up to pi, of rotation matrices ``(..., 3, 3)``.

    Raises:
        ValueError: another shape.
    """
    _check(matrix, (3, 3))
    return _like(roma.rotmat_to_rotvec(torch.as_tensor(matrix)), matrix)


def _transposed(matrix: Array) -> Array:
    return matrix.mT if isinstance(matrix, Tensor) else np.swapaxes(matrix, -1, -2)


def _like(tensor: Tensor, given: Array) -> Array:
    return tensor if isinstance(given, Tensor) else tensor.numpy()


def _check(values: Array, last: tuple[int, ...], convention: str = "rows") -> None:
    if tuple(values.shape[-len(last) :]) != last:
        wanted = ", ".join(map(str, last))
        raise ValueError(f"shape {tuple(values.shape)} does not end in ({wanted})")
    if convention not in ("rows", "columns"):
        raise ValueError(f"convention {convention!r} is neither 'rows' nor 'columns'")


def _check_independent(vectors: Tensor) -> None:
    first, second = vectors.unbind(-2)
    if not vectors.isfinite().all():
        raise ValueError("the six numbers of a rotation hold NaN or infinity")
    area = torch.linalg.cross(first, second).norm(dim=-1)
    flat = area <= PARALLEL * first.norm(dim=-1) * second.norm(dim=-1)
    if flat.any():
        raise ValueError(f"{int(flat.sum())} of {flat.numel()} pairs of vectors are parallel or 0")
