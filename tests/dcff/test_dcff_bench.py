"""The benchmark: that both sides compute the same, and that its output can be read."""

import json

import pytest
import torch

from lithe import dcff
from lithe.dcff import bench


def test_both_ways_of_scoring_agree():
    weight = 0.2 * torch.randn(16, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    slow = bench.broadcast_scores(weight, 1.0)
    released = dcff.released_scores(dcff.released_proxy(dcff.pairwise_distance(weight), 1.0))
    torch.testing.assert_close(slow, released)
    # eps = 1e-7 against proxies of about 0.05, and float32
    torch.testing.assert_close(bench.fast_scores(weight, 1.0).float(), slow, rtol=1e-4, atol=1e-6)


def test_memory_grows_as_the_square():
    growth = bench.memory_growth(sizes=(512, 1024))  # below, the filters themselves weigh more
    assert growth["exponent"] == pytest.approx(2, abs=0.1)
    assert growth["in_float64_squares"][1024] < 6


def test_ratios_are_numbers_of_both_parts():
    scoring = bench.scoring(1, "resnet56")
    assert scoring["layers"] == 55
    assert scoring["max_relative_difference"] < 0.02
    row = bench.steps(1, (2,), "resnet56")[2]
    assert set(row["ms"]) == {"compact", "mixing", "onehot"}
    assert row["mixing_ratio"] > 0
    assert row["target"] is None


def test_command_prints_json_and_a_table(monkeypatch, capsys):
    parts = {"scoring": bench.scoring(1, "resnet56"), "step": bench.steps(1, (2,), "resnet56")}
    monkeypatch.setattr(bench, "bench", lambda repeats: {"load_average": 0.5, **parts})
    bench.main(["--repeats", "1"])
    out, table = capsys.readouterr()
    assert json.loads(out)["scoring"]["layers"] == 55
    assert "scoring 55 layers" in table
    assert "step, batch 2" in table
    assert set(bench.ratios(1)) == {"scoring_speedup", "step_ratio_2", "step_ratio_mixing_2"}


def test_repeats_below_one_are_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--repeats", "0"])
    assert "--repeats is 0" in capsys.readouterr().err
