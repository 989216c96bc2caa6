"""Six numbers and axis-angle, against the original's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker import axis_angle, from_axis_angle, from_rotation_6d, rotation_6d

EXACT = 1e-6
#: A float32 rotation by 3.1 radians gives its axis back to 5e-6 only, in the original too.
ROUND_TRIP = 1e-5


@pytest.fixture(scope="module")
def numbers(golden):
    return np.load(golden / "syntalker_rot6d.npz")


def test_axis_angle_equals_the_original(numbers) -> None:
    matrix = from_axis_angle(numbers["axis_angle"])
    np.testing.assert_allclose(matrix, numbers["matrix"], atol=EXACT)
    back = axis_angle(numbers["matrix"])
    np.testing.assert_allclose(back, numbers["axis_angle_roundtrip"], atol=ROUND_TRIP)


@pytest.mark.parametrize(
    ("convention", "six"), [("rows", "rot6d_rows"), ("columns", "cont6d_columns")]
)
def test_both_conventions_equal_the_original(numbers, convention: str, six: str) -> None:
    np.testing.assert_allclose(rotation_6d(numbers["matrix"], convention), numbers[six], atol=EXACT)
    matrix = "matrix_from_rot6d" if convention == "rows" else "matrix_from_cont6d"
    np.testing.assert_allclose(
        from_rotation_6d(numbers[six], convention), numbers[matrix], atol=EXACT
    )
    raw = from_rotation_6d(numbers["raw6d"], convention)
    np.testing.assert_allclose(raw, numbers[f"raw6d_to_matrix_{convention}"], atol=EXACT)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(["rows", "columns"]), st.floats(0.01, 100.0))
def test_round_trip_whatever_the_scale(seed: int, convention: str, scale: float) -> None:
    matrix = roma.random_rotmat(6, dtype=torch.float64)
    six = scale * rotation_6d(matrix, convention)
    assert isinstance(six, torch.Tensor)
    torch.testing.assert_close(from_rotation_6d(six, convention), matrix)


def test_the_conventions_are_transposes_of_each_other() -> None:
    matrix = roma.random_rotmat(4).numpy()
    transposed = np.swapaxes(matrix, -1, -2)
    np.testing.assert_array_equal(rotation_6d(matrix), rotation_6d(transposed, "columns"))


def test_gradients_pass_through() -> None:
    six = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    from_rotation_6d(six).square()[..., 0].sum().backward()
    assert torch.isfinite(six.grad).all()


@pytest.mark.parametrize(
    ("six", "message"),
    [
        (np.zeros(6), "parallel or 0"),
        (np.array([1.0, 2, 3, 2, 4, 6]), "parallel"),
        (np.array([np.nan, 0, 0, 0, 1, 0]), "NaN"),
        (np.zeros(5), r"does not end in \(6\)"),
    ],
)
def test_what_is_no_rotation_is_refused(six: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_rotation_6d(six)


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="neither 'rows' nor 'columns'"):
        rotation_6d(np.eye(3), "both")
