"""One layer, timed: what is computed is right, and ratios are those of the times."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lithe.onexn.speed import trial
from lithe.onexn.speed.layers import Layer
from lithe.onexn.speed.rivals import convolve, csr_layer, dense_layer
from lithe.onexn.speed.timing import Times
from lithe.onexn.speed.trial import Trial, try_layer


@pytest.fixture
def set_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times by name of the way: dense 8 and 10 ms, packed 2 ms times what is kept."""

    def stub(ways: dict, **options: object) -> dict[str, Times]:
        found = {}
        for name, way in ways.items():
            way.call()
            kind, *rest = name.split()
            ms = {"dense": 8.0, "csr": 32.0}.get(kind) or 2.0 * (1 - float(rest[1]))
            ms += 2.0 * (rest[0] == "channels_last")
            found[name] = Times(np.array([ms, 2 * ms, 3 * ms]))
        return found

    monkeypatch.setattr(trial, "in_turn", stub)


@pytest.mark.usefixtures("set_times")
def test_ratios_are_those_of_the_times() -> None:
    found = try_layer("16-8@6", ns=(1, 4), sparsities=(0.5,))
    assert found.dense == {"contiguous": 16.0, "channels_last": 20.0}
    assert (found.dense_ms, found.csr) == (16.0, {0.5: 64.0})
    entry = found.entry(4, 0.5)
    assert (entry.median_ms, entry.ratio, entry.ratio_paired, entry.earned) == (2.0, 8.0, 8.0, 2.0)
    assert entry.nonzeros == 8 * 16 // 2
    assert entry.gflops == pytest.approx(2 * 64 * 36 / 2e-3 / 1e9)
    assert entry.ratio_low == pytest.approx(8.0)
    assert entry.low_ms == pytest.approx(1.2)
    with pytest.raises(KeyError, match="n=2"):
        found.entry(2, 0.5)


@pytest.mark.usefixtures("set_times")
def test_with_more_threads_the_shortest_round_is_the_low_one() -> None:
    found = try_layer("16-8@6", ns=(4,), sparsities=(0.5,), threads=2, csr=False)
    assert found.entry(4, 0.5).low_ms == 1.0
    assert found.csr == {}


@pytest.mark.usefixtures("set_times")
@pytest.mark.parametrize("name", ["16-8@6", "3x3 5-7@9", "3x3 8-6@4s2", "8-12@5s2", "5-9@1"])
def test_packed_results_are_checked_and_right(name: str) -> None:
    found = try_layer(name, ns=(1, 3, 4, 16), sparsities=(0.5, 0.9))
    assert len(found.entries) == 12
    assert max(entry.error for entry in found.entries) <= 1e-5


@pytest.mark.usefixtures("set_times")
def test_a_wrong_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "convolve", lambda *given: 1.01 * convolve(*given))
    with pytest.raises(ArithmeticError, match="16-8@6, n=4"):
        try_layer("16-8@6", ns=(4,), sparsities=(0.5,))


def test_what_is_timed_computes_the_layer_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    build = trial.NativeProgram
    monkeypatch.setattr(
        trial, "NativeProgram", lambda *a, **k: made.append(build(*a, **k)) or made[-1]
    )
    try_layer("3x3 5-7@9", ns=(4,), sparsities=(), seconds=0.0)
    (native,) = made
    out = native._view(native.program.outputs[0])
    right = out.clone()
    out.fill_(float("nan"))
    trial.bare_call(native)()
    assert torch.equal(native._view(native.program.outputs[0]), right)


def test_rivals_compute_the_same_layer() -> None:
    layer = Layer(6, 5, 7)
    x, weight, bias = trial._stuff(layer, None)
    expected = convolve(layer, x, weight, bias)
    for way in dense_layer(layer, x, weight, bias).values():
        assert torch.allclose(way.call(), expected, atol=1e-5)
    rows = csr_layer(layer, x, weight, bias).call()
    assert torch.allclose(rows.reshape(expected.shape), expected, atol=1e-5)
    assert csr_layer(Layer(6, 5, 7, 3), x, weight, bias) is None


def test_a_measurement_is_whole() -> None:
    found = try_layer("16-8@6", ns=(4,), sparsities=(0.5,), seconds=0.0)
    assert isinstance(found, Trial)
    assert found.rounds >= 5
    assert [(entry.n, entry.sparsity) for entry in found.entries] == [(4, 0.0), (4, 0.5)]


@pytest.mark.parametrize("bad", [{"ns": (0,)}, {"sparsities": (1.0,)}, {"threads": 0}])
def test_bad_requests_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        try_layer("16-8@6", **({"ns": (4,), "sparsities": (0.5,)} | bad))
