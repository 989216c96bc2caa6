"""The benchmark: its images, its arithmetic, and that its output can be read."""

import json

import numpy as np
import pytest

from lithe.arm import Upscaler, bench


def points(*pairs):
    return [{"asked": ms, "ms": ms, "psnr": db} for ms, db in pairs]


@pytest.fixture
def curve():
    return {
        "fixed": {"a": {"ms": 10.0, "psnr": 28.0}, "b": {"ms": 100.0, "psnr": 30.0}},
        "routed": {
            "mse": points((20.0, 29.0), (50.0, 29.95), (80.0, 29.985)),
            "psnr": points((20.0, 28.9), (50.0, 29.97)),
        },
        "tiled_throughout": {"ms": 90.0, "psnr": 30.0},
        "released": {"ms": 200.0, "psnr": 29.5, "k": 1.5, "rows": 4},
    }


def test_speedups_are_read_off_the_curve(curve):
    assert bench.speedups(curve) == {
        "whole_at_0.02_db": 100 / 80,
        "whole_at_0.1_db": 2.0,
        "released_at_equal": 4.0,
    }
    curve["released"]["psnr"] = 31.0
    assert bench.speedups(curve)["released_at_equal"] is None


def test_goals_say_what_is_met_and_what_is_not(curve):
    result = {
        "curves": {1: {"carn": {"mosaic": curve, "smooth": curve}}},
        "paces": {"median_off": 0.03},
        "deadlines": {"missed": 1},
        "throughput": {"spread": 0.2},
    }
    found = bench.goals(result)
    met = {name: row["met"] for name, row in found.items()}
    assert met == {
        "carn, 1 threads: times the released loop at equal PSNR": True,
        "carn, 1 threads: times the whole pass at 0.02 dB": True,
        "carn, 1 threads: times the whole pass at 0.1 dB": True,
        "carn, 1 threads: the same, smooth image": True,
        "carn, 1 threads: least lead of the mse table, dB": False,
        "median miss of a budget in ms": True,
        "deadlines missed": False,
        "spread of MP/s over sizes": False,
    }


@pytest.fixture(scope="module")
def model(golden):
    net = bench.official("fsrcnn")
    return net, bench.tables(net, "fsrcnn", 1)


def test_a_curve_of_a_small_image(model, monkeypatch):
    monkeypatch.setattr(bench, "SHARES", (10.0, 0.0001))  # plenty, and not enough for anything
    found = bench.curve(*model, bench.mosaic(160, 192))
    assert set(found["fixed"]) == set(model[0].names)
    assert [len(found["routed"][name]) for name in ("psnr", "mse", "random")] == [1, 1, 1]
    whole = found["fixed"]["fsrcnn-56"]["psnr"]
    assert found["tiled_throughout"]["psnr"] == pytest.approx(whole, abs=0.005)


def test_the_blind_router_gets_the_same_gains_in_another_order(model):
    net, known = model
    small = bench.mosaic(512, 768)[::4, ::4]
    seen, blind = (kind(net, known["mse"]).gains(small) for kind in (Upscaler, bench._Blind))
    assert not np.array_equal(seen, blind)
    np.testing.assert_array_equal(np.sort(seen, None), np.sort(blind, None))


def test_paces_deadlines_and_throughput_have_their_numbers(model):
    net, known = model
    up = Upscaler(net, known["mse"], largest=32)
    small = bench.mosaic(256, 256)[::4, ::4]
    assert len(bench.paces(up, small, 2)["took"]) == 2
    assert bench.deadlines(up, small, 2)["runs"] == 2
    assert set(bench.throughput(up, (0.01, 0.02), 1)["megapixels_per_second"]) == {0.01, 0.02}


def test_the_images_are_large_enough():
    assert bench.mosaic(1280, 1600).shape == (1280, 1600, 3)
    assert bench.mosaic(1280, 1600).any(-1).mean() > 0.9  # next to nothing left black
    assert np.prod(bench.smooth().shape[:2]) > 2e6


def test_the_command_prints_json_and_the_goals(monkeypatch, capsys, tmp_path):
    goals = {"speed": {"value": 1.25, "goal": ">= 1", "met": True}}
    never = {"more": {"value": None, "goal": ">= 2", "met": False}}
    monkeypatch.setattr(bench, "bench", lambda *given: {"goals": goals | never})
    bench.main(["--quick", "--out", str(tmp_path / "b.json")])
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "b.json").read_text())
    assert err == "met  speed: 1.250 (>= 1)\nMISS more: never (>= 2)\n"
    with pytest.raises(SystemExit):
        bench.main(["--repeats", "0"])
