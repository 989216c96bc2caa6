"""Sums and bars are computed from what was measured, by hand here."""

from __future__ import annotations

import pytest

from lithe.onexn.speed.aims import Bar, bars, sums
from lithe.onexn.speed.layers import Layer
from lithe.onexn.speed.race import Race, Runner
from lithe.onexn.speed.report import bar_lines
from lithe.onexn.speed.trial import Entry, Trial

SMALL, LARGE = Layer(8, 16, 7), Layer(16, 32, 14)


def entry(n: int, sparsity: float, ms: float, dense: float, **more: float) -> Entry:
    about = {
        "nonzeros": 100,
        "median_ms": ms,
        "low_ms": ms / 2,
        "ratio": dense / ms,
        "ratio_low": dense / ms,
        "ratio_paired": dense / ms,
        "earned": 1.0,
        "gflops": 50.0,
        "gflops_low": 60.0,
        "error": 1e-6,
    }
    return Entry(n, sparsity, **(about | more))


def trial(
    layer: Layer, dense: float, ms: dict[tuple[int, float], float], threads: int = 1
) -> Trial:
    rows = tuple(entry(n, p, value, dense) for (n, p), value in ms.items())
    return Trial(layer, threads, 9, {"contiguous": dense}, dense, dense / 2, {}, rows)


def runner(n: int, sparsity: float, ratio: float, tuned: bool = True, **more: object) -> Runner:
    about = {
        "median_ms": 5.0,
        "low_ms": 4.0,
        "ratio": ratio,
        "ratio_low": ratio,
        "ratio_paired": ratio,
        "earned": 2.0,
        "runtimes": {"onnxruntime": 1.3},
        "error": 2e-6,
        "dense_layers": 0,
        "runs": "packed",
    }
    return Runner(n, sparsity, tuned, **(about | more))


def race(name: str, *runners: Runner, threads: int = 1) -> Race:
    return Race(name, threads, 9, {"onnxruntime": 6.5}, {"onnxruntime": 6.0}, runners, ())


@pytest.fixture
def two() -> list[Trial]:
    return [
        trial(SMALL, 1.0, {(4, 0.0): 0.8, (4, 0.5): 0.5}),
        trial(LARGE, 3.0, {(4, 0.0): 3.2, (4, 0.5): 1.0}),
    ]


def test_a_sum_weighs_layers_by_their_count(two: list[Trial]) -> None:
    (zero, half) = sums({"some 1x1": {SMALL: 2, LARGE: 5}}, two)
    assert (zero.sparsity, half.sparsity) == (0.0, 0.5)
    assert half.dense_ms == pytest.approx(2 * 1.0 + 5 * 3.0)
    assert half.packed_ms == pytest.approx(2 * 0.5 + 5 * 1.0)
    assert half.ratio == pytest.approx(17 / 6)
    assert half.ratio_low == pytest.approx(17 / 6)
    assert half.earned == pytest.approx((2 * 0.8 + 5 * 3.2) / 6)
    work = 2 * 100 * (2 * 49 + 5 * 196)
    assert half.gflops == pytest.approx(work / 6e-3 / 1e9)


def test_a_group_with_a_layer_missing_has_no_sum(two: list[Trial]) -> None:
    assert sums({"some 1x1": {SMALL: 1, Layer(1, 1, 1): 1}}, two) == []
    assert sums({"empty": {}}, two) == []


@pytest.mark.parametrize(("isa", "bar"), [("avx512", 2.1), ("avx2", 1.8), ("neon", 2.1)])
def test_the_bar_of_a_sum_knows_the_instruction_set(two: list[Trial], isa: str, bar: float) -> None:
    table = sums({"mobilenet_v1 1x1": {SMALL: 1, LARGE: 0}}, two)
    found = {x.id: x for x in bars(table, [], [], {1: 100.0}, isa)}
    own = found["mobilenet_v1_1x1_n4_p50_t1"]
    assert (own.bar, own.measured, own.met) == (bar, pytest.approx(2.0), bar < 2)


def test_square_kernels_and_two_threads_have_bars_of_their_own() -> None:
    layer = Layer(8, 8, 7, 3)
    measured = [trial(layer, 2.9, {(8, 0.0): 3.0, (8, 0.75): 1.0}, threads=2)]
    table = sums({"resnet50 3x3": {layer: 3}}, measured)
    (own,) = [x for x in bars(table, measured, [], {1: 100.0}, "avx512") if "3x3" in x.id]
    assert (own.id, own.bar, own.met) == ("resnet50_3x3_n8_p75_t2", 2.7, True)


def test_the_worst_layer_is_named(two: list[Trial]) -> None:
    found = {x.id: x for x in bars([], two, [], {1: 100.0}, "avx512")}
    worst = found["worst_1x1_n4_p50_t1"]
    assert worst.measured == pytest.approx(2.0)
    assert SMALL.name in worst.what
    assert "worst_1x1_n4_p50_t2" not in found


def test_the_share_of_the_roof_is_of_large_layers_alone(two: list[Trial]) -> None:
    found = {x.id: x for x in bars([], two, [], {1: 100.0}, "avx512")}
    share = found["roof_share_worst"]
    assert (share.measured, share.low, share.met) == (0.5, 0.6, False)
    assert LARGE.name in share.what
    assert SMALL.name not in share.what


def test_networks_are_held_to_torch_and_onnxruntime() -> None:
    races = [race("mobilenet_v2", runner(4, 0.0, 0.9, tuned=False), runner(4, 0.5, 1.95))]
    found = {x.id: x for x in bars([], [], races, {1: 100.0}, "avx512")}
    assert found["mobilenet_v2_n4_p50_t1_torch"].met
    against = found["mobilenet_v2_n4_p50_t1_onnxruntime"]
    assert (against.bar, against.measured, against.low) == (1.2, 1.3, 1.5)
    assert found["worst_network"].measured == 1.95


def test_a_network_slower_than_dense_shows() -> None:
    races = [race("mobilenet_v3_small", runner(4, 0.0, 0.97), threads=2)]
    worst = {x.id: x for x in bars([], [], races, {1: 100.0}, "avx512")}["worst_network"]
    assert not worst.met
    assert "mobilenet_v3_small, N=4, 0%, 2 threads" in worst.what


def test_the_largest_error_of_all_counts(two: list[Trial]) -> None:
    races = [race("resnet50", runner(8, 0.5, 2.0, error=3e-5))]
    error = {x.id: x for x in bars([], two, races, {1: 100.0}, "avx512")}["error"]
    assert (error.measured, error.met, error.at_most) == (3e-5, False, True)


def test_starts_are_held_to_seconds() -> None:
    startup = {"cold_s": 15.0, "warm_s": 1.2}
    found = {x.id: x.met for x in bars([], [], [], {1: 100.0}, "avx512", startup)}
    assert found == {"cold_start": True, "warm_start": False}


def test_a_bar_is_met_at_its_number_and_printed_as_such() -> None:
    over, under = Bar("a", "up", 2.0, 2.0), Bar("b", "down", 2.0, 2.1, 1.9, at_most=True)
    assert (over.met, under.met) == (True, False)
    text = list(bar_lines([over, under]))
    assert text[1].split() == ["met", "2", ">=", "2", "up"]
    assert text[2].split() == ["NOT", "MET", "2.1", "(1.9)", "<=", "2", "down"]
