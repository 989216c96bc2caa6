"""Rounding: ratios to channels, pixels to resolutions, resources to the grid of budgets."""

from __future__ import annotations

import math
from numbers import Real

__all__ = ["make_divisible", "round_to_grid", "snap_resolution"]

#: Smallest resolution of the paper's spaces, pixels.
SMALLEST_RESOLUTION = 128


def make_divisible(value: float, minimum: int = 8, divisor: int = 8) -> int:
    """The multiple of ``divisor`` near ``value``, never more than 10 % below it.

    ``D(v) = max(minimum, d * floor(int(v + d/2) / d))``, one ``d`` more if that is below
    ``0.9 v``. Source: PSS-Net spec 2.1.

    Args:
        value: wanted channels (or pixels), positive.
        minimum: the least result.
        divisor: ``d``, a positive whole number.

    Raises:
        ValueError: ``value`` is not positive and finite, or ``divisor`` is not positive.
    """
    if not isinstance(value, Real) or not (value > 0 and math.isfinite(value)):
        raise ValueError(f"value is {value!r}; it must be a positive, finite number")
    if divisor < 1 or minimum < 1:
        raise ValueError(f"divisor {divisor!r} and minimum {minimum!r} must be at least 1")
    rounded = max(minimum, divisor * (int(value + divisor / 2) // divisor))
    return rounded + divisor if rounded < 0.9 * value else rounded


def snap_resolution(pixels: float, minimum: int = SMALLEST_RESOLUTION) -> int:
    """The resolution that a uniform draw of pixels stands for. Source: PSS-Net spec 2.1."""
    return make_divisible(pixels, minimum)


def round_to_grid(value: float, step: float, offset: float = 0.0) -> float:
    """The budget of the grid ``offset + k * step`` nearest to ``value``; halves go to even ``k``.

    Source: PSS-Net spec 3.1.

    Args:
        value: a resource, in the grid's unit.
        step: distance of neighbouring budgets, positive.
        offset: where the grid is anchored.

    Raises:
        ValueError: ``value`` is not finite or ``step`` is not positive.
    """
    if not math.isfinite(value) or not step > 0:
        raise ValueError(f"value {value!r} must be finite and step {step!r} positive")
    return int(round((value - offset) / step) * step + offset)
