"""From pruning rate to width: the released arithmetic, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import NamedTuple

__all__ = ["RoundingHazard", "kept", "rounding_hazards", "widths"]


class RoundingHazard(NamedTuple):
    """A layer whose width depends on how the rate is rounded."""

    name: str
    filters: int
    rate: float
    released: int
    exact: int


def kept(filters: int, rate: float, multiple_of: int | None = None) -> int:
    """How many of ``filters`` stay at pruning rate ``rate``.

    ``int(n * (1 - r))`` in double precision, truncated, the subtraction first. ``160`` at ``0.8``
    gives 31, not 32, because ``1 - 0.8`` is a little below ``0.2``.

    Source: DCFF spec 2.7 and 3.1.

    Args:
        filters: number of filters, at least 1.
        rate: share to remove, in [0, 1).
        multiple_of: round the width to the nearest multiple of this (at least one multiple, at
            most ``filters``); a rate of 0 keeps all filters as they are.

    Returns:
        The width, 1 to ``filters``.

    Raises:
        ValueError: an argument is out of range, or nothing would be left.
    """
    for name, value in (("filters", filters), ("multiple_of", multiple_of)):
        unset = name == "multiple_of" and value is None
        if not unset and (isinstance(value, bool) or not isinstance(value, Integral) or value < 1):
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
    if not isinstance(rate, Real) or not 0 <= rate < 1:
        raise ValueError(f"rate is {rate!r}; it must be a number in [0, 1)")
    width = int(filters * (1 - rate))
    if multiple_of is not None and rate:
        width = min(filters, max(multiple_of, round(width / multiple_of) * multiple_of))
    if width < 1:
        raise ValueError(
            f"rate {rate} leaves none of {filters} filters; give less than {1 - 1 / filters:.4g}"
        )
    return width


def widths(
    filters: Mapping[str, int], rates: Mapping[str, float], multiple_of: int | None = None
) -> dict[str, int]:
    """Width of every layer: ``filters`` and ``rates`` by layer name; see :func:`kept`.

    Raises:
        ValueError: a rate names no layer, or leaves a layer empty.
    """
    unknown = sorted(set(rates) - set(filters))
    if unknown:
        raise ValueError(f"rates name {', '.join(unknown)}; layers are {', '.join(filters)}")
    result = {}
    for name, number in filters.items():
        try:
            result[name] = kept(number, rates.get(name, 0.0), multiple_of)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return result


def rounding_hazards(
    filters: Mapping[str, int], rates: Mapping[str, float]
) -> list[RoundingHazard]:
    """Layers where exact decimals would give another width than double precision does."""
    hazards = []
    for name, number in filters.items():
        rate = rates.get(name, 0.0)
        released = kept(number, rate)
        exact = int(number * (1 - Decimal(str(rate))))
        if released != exact:
            hazards.append(RoundingHazard(name, number, rate, released, exact))
    return hazards
