"""Numbers as the book prints them: rounded by unit and by what their sample can resolve."""

from __future__ import annotations

import math

__all__ = ["count", "number", "plus_minus", "with_unit"]

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"
COUNTS = {"MACs", "FLOPs", "params", "filters", "layers", "images", "epochs", "changes"}
GLUED = {"%", "×"}
SCALES = {"k": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}


def number(value: float, unit: str = "", items: int | None = None, spec: str | None = None) -> str:
    """``value`` without its unit, with a true minus sign.

    Args:
        value: the number.
        unit: decides the rounding: integers and counts are printed whole with thousands marks,
            percentages with two decimals, times and factors with three significant digits, all
            else with four.
        items: how many items a percentage is over. Below ten thousand of them the second decimal
            means nothing, and is left out.
        spec: a format specification that overrides the rules: one of Python's (``.2f``), or one of
            ``k M G B T`` to print in thousands, millions, billions, trillions with two decimals.

    Raises:
        ValueError: ``spec`` is not a format specification for numbers.
    """
    if spec in SCALES:
        text = f"{value / SCALES[spec]:.2f}{THIN}{spec}"
    elif spec is not None:
        text = format(value if spec.endswith("d") is False else round(value), spec)
    elif unit in COUNTS or (float(value).is_integer() and unit not in ("%", "points", "×")):
        text = f"{round(value):,}"
    elif unit in ("%", "points"):
        text = f"{value:.{2 if items is None or items >= 10_000 else 1}f}"
    else:
        text = significant(value, 3 if unit in ("s", "ms", "×") else 4)
    return _zero_unsigned(text).replace("-", MINUS) if "e" not in text else text


def significant(value: float, digits: int) -> str:
    """``value`` with so many significant digits, never in exponent form below a million."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if not -4 <= power < 6:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - power)}f}"


def with_unit(text: str, unit: str) -> str:
    """Text and unit, joined so that no line breaks between them."""
    if not unit:
        return text
    return f"{text}{unit}" if unit in GLUED else f"{text}{THIN}{unit}"


def plus_minus(mean: float, half: float, unit: str = "", spec: str | None = None) -> str:
    """``mean ± half`` with as many decimals as the half width has meaning: two digits of it."""
    if spec is None:
        none = half <= 1e-9 * abs(mean)  # all the same but for rounding
        decimals = 2 if none else min(6, max(0, 1 - math.floor(math.log10(half))))
        spec = f",.{decimals}f"
    both = f"{number(mean, spec=spec)}{THIN}±{THIN}{number(half, spec=spec)}"
    return with_unit(both, unit)


def count(n: int, word: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def _zero_unsigned(text: str) -> str:
    """A negative number that rounds to zero is printed as zero."""
    return text.lstrip("-") if text.startswith("-") and not text.strip("-0.,") else text
