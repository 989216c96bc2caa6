from __future__ import annotations

import pytest

from lithe.ledger.formatting import number, plus_minus, with_unit


@pytest.mark.parametrize(
    ("value", "unit", "items", "spec", "text"),
    [
        (1071248, "params", None, None, "1,071,248"),
        (72771956.0, "FLOPs", None, None, "72,771,956"),
        (91.5412, "%", 1017, None, "91.5"),
        (91.5412, "%", 10000, None, "91.54"),
        (91.5412, "%", None, None, "91.54"),
        (-0.391, "points", None, None, "−0.39"),
        (-0.001, "points", None, None, "0.00"),
        (90.0, "×", None, None, "90.0"),
        (0.2634, "s", None, None, "0.263"),
        (4621.7134, "", None, None, "4,622"),
        (0.000123456, "", None, None, "0.0001235"),
        (0, "", None, None, "0"),
        (72771956, "", None, "M", "72.77\N{NARROW NO-BREAK SPACE}M"),
        (0.9834, "", None, ".2f", "0.98"),
        (12.0, "", None, "d", "12"),
    ],
)
def test_numbers_are_rounded_by_unit(value, unit, items, spec, text) -> None:
    assert number(value, unit, items, spec) == text


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (71.234, 0.416, "71.23 ± 0.42"),
        (71.234, 4.16, "71.2 ± 4.2"),
        (5.0, 0.0, "5.00 ± 0.00"),
        (7.407407, 1e-15, "7.41 ± 0.00"),
    ],
)
def test_a_half_width_has_two_digits(mean, half, text) -> None:
    assert plus_minus(mean, half).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


def test_units_are_joined_so_that_no_line_breaks_between() -> None:
    assert with_unit("3", "%") == "3%"
    assert with_unit("3", "ms") == "3\N{NARROW NO-BREAK SPACE}ms"
    assert plus_minus(1.0, 0.5, "%").endswith("0.50%")


@pytest.mark.parametrize("spec", ["x2", "%%", ".2q"])
def test_an_unknown_specification_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"[Ff]ormat|specifier"):
        number(1.5, spec=spec)
