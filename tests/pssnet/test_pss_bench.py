"""The benchmark's parts at small size: what they compare, and what reaches the ledger."""

import pytest
import torch

from lithe import zoo
from lithe.pssnet import bench, readings
from lithe.pssnet.elastic import elastic
from lithe.pssnet.measure import Validation


@pytest.fixture(scope="module")
def day():
    return bench.deadline(frames=12, subnets=2)


def test_a_replayed_day_has_its_two_controls(day):
    assert list(day["missed"]) == ["chosen", "largest", "smallest"]
    assert day["work"]["largest"] == 1
    assert day["work"]["smallest"] < 0.5
    assert day["work"]["smallest"] <= day["work"]["chosen"] <= 1
    assert len(day["load"]) == len(day["elapsed_ms"]) == 12
    late = [ms > day["deadline_ms"] for ms in day["elapsed_ms"]]
    assert day["missed"]["chosen"] == sum(late) / 12


def test_every_switch_lands_on_a_retained_subnet():
    found = bench.switch(repeats=20, subnets=3)
    assert found["subnets"] == 5  # three drawn, the smallest and the largest
    assert 0 < found["median_ms"] <= found["p99_ms"]


def test_a_step_is_timed_on_both_sides():
    found = bench.step(repeats=1, batch=2, side=32)
    assert set(found["ms"]) == {"physical", "sliced"}
    assert found["ratio"] == pytest.approx(found["ms"]["sliced"] / found["ms"]["physical"])
    assert found["cpu_ratio"] > 0


def test_a_table_has_macs_alone_as_its_control(monkeypatch):
    network, space = elastic(
        zoo.small_cnn(widths=(8, 16), generator=torch.Generator().manual_seed(0)),
        torch.zeros(1, 3, 16, 16),
        (0.5, 1.0),
        (8, 16),
        divisor=4,
    )
    monkeypatch.setattr(bench, "_mobilenet", lambda generator: (network, space))

    def validated(table, space, subnets, **options):
        slow = tuple(100.0 + space.macs(s) / 1000 for s in subnets)  # a line through MACs is right
        return Validation(tuple(reversed(slow)), slow, tuple(subnets))

    monkeypatch.setattr(bench, "validate", validated)
    found = bench.table(held_out=12, repeats=1)
    assert found["macs_error"] == pytest.approx(0, abs=1e-9)
    assert found["macs_spearman"] == pytest.approx(1)
    assert found["spearman"] < 1
    assert bench.ratios({"table": found})["table_macs_spearman"] == pytest.approx(1)


def test_numbers_reach_the_record_with_their_units(day, monkeypatch):
    parts = {
        "load_average": 0.5,
        "deadline": day,
        "switch": {"subnets": 2, "median_ms": 0.25, "p99_ms": 0.5},
        "step": {"ratio": 1.5, "cpu_ratio": 1.25},
    }
    monkeypatch.setattr(bench, "bench", lambda: parts)
    metrics, curves = readings.speed()
    assert metrics["switch_median_ms"] == {"value": 0.25, "unit": "ms"}
    assert metrics["missed_chosen"] == {"value": 100 * day["missed"]["chosen"], "unit": "%"}
    assert metrics["step_cpu_ratio"] == 1.25
    assert curves == {"load": day["load"], "elapsed_ms": day["elapsed_ms"]}


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--parts", "warp"])
    assert "invalid choice: 'warp'" in capsys.readouterr().err


def test_the_benchmark_counts_one_thread_in_what_it_prints(capsys, monkeypatch):
    monkeypatch.setattr(
        bench, "switch", lambda: {"subnets": 1, "median_ms": 0.1, "p99_ms": 0.2, "target_ms": 1.0}
    )
    before = torch.get_num_threads()
    bench.main(["--parts", "switch"])
    torch.set_num_threads(before)
    said = capsys.readouterr()
    assert '"threads": 1' in said.out
    assert "switch: 0.1000 ms" in said.err
