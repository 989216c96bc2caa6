"""Numbers of the chapter's pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lithe.onexn.kernels.isa import aarch64, named
from lithe.onexn.speed import charts
from lithe.onexn.speed.charts import (
    BreakEven,
    break_even,
    intensity,
    ladder,
    loads_per_fma,
    roofline,
)
from lithe.onexn.speed.layers import Layer
from lithe.onexn.speed.limits import Roof
from lithe.onexn.speed.trial import Entry, Trial

NAN = float("nan")


def curve(speedups: tuple[float, ...], csr: tuple[float, ...] = (NAN, 0.5, 0.8)) -> BreakEven:
    return BreakEven(Layer(4, 4, 4), (0.0, 0.5, 1.0), {4: speedups}, {4: speedups}, csr)


@pytest.mark.parametrize(
    ("speedups", "point"),
    [
        ((0.5, 1.5, 3.0), 0.25),
        ((0.9, 0.8, 1.0), 1.0),
        ((1.2, 1.5, 2.0), 0.0),
        ((1.0, 0.9, 1.1), 0.75),
        ((1.2, 0.8, 1.6), 0.625),
    ],
)
def test_break_even_is_where_the_curve_stays_above_one(
    speedups: tuple[float, ...], point: float
) -> None:
    assert curve(speedups).point(4) == pytest.approx(point)


def test_what_never_gets_there_has_no_point() -> None:
    assert math.isnan(curve((0.1, 0.2, 0.3)).point(4))
    assert math.isnan(curve((1.0, 1.0, 1.0)).point())
    assert curve((1.0, 1.0, 1.0), (NAN, 0.9, 1.1)).point() == pytest.approx(0.75)
    assert curve((1.0, 1.0, 1.0), (NAN, 1.9, 2.1)).point() == pytest.approx(0.5)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list:
    """``try_layer`` that takes ``(1 - p) / n`` milliseconds and notes what it was asked."""
    asked = []

    def stub(layer: object, ns: object, sparsities: object, **options: object) -> Trial:
        asked.append((layer, tuple(ns), tuple(sparsities), options))
        rows = []
        for n in ns:
            for p in sorted({0.0, *sparsities}):
                ms = (1 - p) / n
                rows.append(
                    Entry(n, p, 1, ms, ms, 2 / ms, 2 / ms, 2 / ms, 1 / (1 - p), 7.0, 7.0, 0)
                )
        return Trial(Layer.parse(layer), 1, 9, {}, 2.0, 2.0, {0.5: 4.0}, tuple(rows))

    monkeypatch.setattr(charts, "try_layer", stub)
    return asked


def test_break_even_holds_a_curve_for_each_n(measured: list) -> None:
    found = break_even("512-512@14", ns=(1, 4), sparsities=(0.5, 0.9), seconds=0.5)
    assert measured[0][1:3] == ((1, 4), (0.0, 0.5, 0.9))
    assert found.speedups[4] == pytest.approx((8.0, 16.0, 80.0))
    assert found.earned[1] == pytest.approx((1.0, 2.0, 10.0))
    assert np.array_equal(found.csr, (NAN, 0.5, NAN), equal_nan=True)


def test_the_ladder_goes_from_dense_to_wide_blocks(measured: list) -> None:
    rungs = ladder("512-512@14", 0.5, ns=(1, 8))
    assert [rung.ms for rung in rungs] == [2.0, 4.0, 0.5, 0.0625]
    assert [rung.speedup for rung in rungs] == [1.0, 0.5, 4.0, 32.0]
    assert "CSR" in rungs[1].name
    assert "N=8" in rungs[-1].name
    dense = 2 * 512 * 512 * 14 * 14 / 2e-3 / 1e9
    assert rungs[0].gflops == pytest.approx(dense)
    assert rungs[1].gflops == pytest.approx(dense / 4)


@pytest.mark.parametrize("unit", [aarch64(), named("sse2")])
def test_operations_per_byte_rise_with_n(unit: object) -> None:
    values = [intensity(n, unit) for n in (1, 2, 4)]
    assert values == sorted(values)
    assert values[0] < 0.5
    assert intensity(64, unit) == intensity(unit.most_rows, unit)


def test_loads_and_bytes_of_a_register_tile_by_hand() -> None:
    unit = aarch64()  # 4 lanes; 6 vectors beside 4 filters
    assert unit.vectors(4) == 6
    assert loads_per_fma(4, unit) == pytest.approx(10 / 24)
    assert intensity(4, unit) == pytest.approx(2 * 4 * 24 / (4 * (24 + 4)))


def test_a_roofline_rises_and_then_stays() -> None:
    own = Roof("avx2", {1: 100.0}, {"L2": 50.0})
    assert roofline(own, [0.5, 1.0, 2.0, 4.0]) == [25.0, 50.0, 100.0, 100.0]


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_impossible_blocks_are_refused(n: object) -> None:
    with pytest.raises(ValueError, match="whole number"):
        intensity(n)
