"""The loops that the roof is measured with do the work that is counted."""

from __future__ import annotations

import numpy as np
import pytest

from lithe.onexn.kernels.isa import named
from lithe.onexn.speed import limits
from lithe.onexn.speed.limits import Roof, roof

ISAS = ["sse2", "avx2", "avx512"]


def _unit(isa: str):
    try:
        return named(isa)
    except ValueError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("isa", ISAS)
def test_every_chain_adds_in_every_turn(isa: str) -> None:
    unit = _unit(isa)
    adds = limits._compiled(unit)[1]
    sink = np.zeros(64, dtype=np.float32)
    sink[24:] = 1.0  # the factor and the summand of every chain
    adds(sink.ctypes.data, 1000)
    assert np.array_equal(sink[: unit.lanes], np.full(unit.lanes, 1000.0 * limits._chains(unit)))


@pytest.mark.parametrize("isa", ISAS)
def test_every_byte_is_loaded_in_every_round(isa: str) -> None:
    unit = _unit(isa)
    loads = limits._compiled(unit)[2]
    data = np.arange(unit.lanes * 8 * 5, dtype=np.float32)
    sink = np.zeros(8 * unit.lanes, dtype=np.float32)
    loads(data.ctypes.data, 5, 3, sink.ctypes.data)
    assert np.array_equal(sink, data.reshape(5, -1).sum(0))


def test_a_roof_names_all_it_measured() -> None:
    found = roof((1, 2), seconds=0.02)
    assert set(found.gflops) == {1, 2}
    assert set(found.bandwidth) == set(limits.LEVELS)
    assert all(
        np.isfinite(x) and x > 0 for x in [*found.gflops.values(), *found.bandwidth.values()]
    )
    assert found.isa == named().name


def test_what_is_attainable_is_the_lower_line() -> None:
    own = Roof("avx2", {1: 100.0}, {"L1": 200.0, "L2": 50.0})
    assert own.attainable(1.0) == 50.0
    assert own.attainable(10.0) == 100.0
    assert own.attainable(0.25, "L1") == 50.0


@pytest.mark.parametrize("bad", [{"threads": ()}, {"threads": (0,)}, {"seconds": 0.0}])
def test_no_measurement_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        roof(**bad)


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match="mmx"):
        roof(isa="mmx")
