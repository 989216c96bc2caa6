"""The benchmark: its images, its arithmetic, its bounds, and that its output can be read."""

import json
from itertools import chain, product

import numpy as np
import pytest

from lithe import ledger
from lithe.arm import Upscaler, bench
from lithe.arm import upscaler as upscaler_module
from lithe.arm.blocks import Blocks
from lithe.arm.executors import executor
from lithe.arm.speed import recording
from lithe.arm.speed.aims import Aim, aims, line
from lithe.arm.speed.bounds import cell_errors, least_cost
from lithe.arm.speed.clock import timed
from lithe.arm.speed.curves import blind, curve, leads, soonest, speedups
from lithe.arm.speed.pictures import mosaic, official, smooth, tables
from lithe.arm.speed.promises import deadlines, paces, throughput


def points(*pairs):
    return [{"asked": ms, "ms": ms, "psnr": db} for ms, db in pairs]


@pytest.fixture
def drawn():
    whole = {"ms": 100.0, "psnr": 30.0}
    return {
        "fixed": {"a": {"ms": 10.0, "psnr": 28.0}, "b": whole},
        "fixed_last": whole,
        "fixed_executor": whole,
        "routed": {
            "mse": points((20.0, 29.0), (50.0, 29.95), (80.0, 29.985)),
            "psnr": points((20.0, 28.9), (50.0, 29.97)),
        },
        "tiled": {"ms": 90.0, "psnr": 30.0},
        "released": [{"ms": 200.0, "psnr": 29.5, "k": 1.5}, {"ms": 280.0, "psnr": 29.95, "k": 4}],
        "released_bounds": [5.5, 6.5],
        "bounds": {
            "0.02_db": {"routing": 1.1, "tiles": 1.3},
            "0.1_db": {"routing": 1.2, "tiles": 1.4},
        },
    }


@pytest.fixture
def result(drawn):
    return {
        "plan": {"profile": "smoke", "backbones": ["carn"]},
        "curves": {1: {"carn": {"mosaic": drawn, "smooth": drawn}}},
        "paces": {"median_off": 0.03, "worst_off": 0.1, "took": [1.0, 2.0]},
        "deadlines": {"missed": 1, "runs": 20, "median_share_used": 0.9},
        "throughput": {
            "spread": {"full": 0.2, "routed": 0.3},
            "megapixels_per_second": {"full": {0.1: 1.0, 2: 1.2}, "routed": {0.1: 1.0, 2: 1.3}},
        },
    }


def test_speedups_are_read_off_the_curve(drawn):
    assert speedups(drawn) == {
        "whole_at_0.02_db": pytest.approx(100 / (50 + 30 * 0.03 / 0.035)),
        "whole_at_0.1_db": pytest.approx(100 / (20 + 30 * 0.9 / 0.95)),
        "released_at_equal": pytest.approx(200 / (20 + 30 * 0.5 / 0.95)),
    }
    assert leads(drawn) == [pytest.approx(0.1), pytest.approx(-0.02)]
    drawn["released"][1]["psnr"] = 31.0
    assert speedups(drawn)["released_at_equal"] is None


def test_a_curve_is_read_between_its_points():
    drawn = points((10.0, 20.0), (20.0, 19.0), (30.0, 22.0))
    assert soonest(drawn, 19.5) == 10
    assert soonest(drawn, 21.0) == 20  # half way from the first, which the second does not better
    assert soonest(drawn, 22.0) == 30
    assert soonest(drawn, 22.1) is None


def test_goals_say_what_is_met_and_what_is_out_of_reach(result):
    found = {aim.id: aim for aim in aims(result)}
    assert {name: aim.met for name, aim in found.items()} == {
        "carn_t1_released": True,
        "carn_t1_whole_002": True,
        "carn_t1_whole_01": True,
        "carn_t1_smooth": True,
        "carn_t1_mse_over_psnr": False,
        "ms_median_off": True,
        "deadlines_missed": False,
        "size_spread": False,
    }
    assert not found["carn_t1_smooth"].within_reach
    assert line(found["deadlines_missed"]) == "MISS deadlines missed: 1 (<= 0)"
    never = Aim("x", "speed", None, least=2.0, bound=1.25)
    assert line(never) == ("MISS speed: never (>= 2; at most 1.25× by any routing: out of reach)")


def test_a_measurement_becomes_records(result, tmp_path):
    code = ledger.code_state(recording.SOURCES)
    paths = recording.record(result, aims(result), code, {"wall_s": 1.0}, tmp_path)
    kept = [json.loads(path.read_text()) for path in paths]
    curves, promises, goals = ({k: v["value"] for k, v in r["metrics"].items()} for r in kept)
    assert curves["carn_smooth_t1_mse_whole_at_0.1_db"] == pytest.approx(2.0652, abs=1e-4)
    assert curves["carn_mosaic_t1_mse_over_psnr"] == pytest.approx(-0.02)
    assert curves["carn_mosaic_t1_bound_tiles_0.1_db"] == 1.4
    assert curves["carn_mosaic_t1_bound_released_k4"] == 6.5
    assert promises["deadlines_missed"] == 1
    assert goals["aims_met"] == 5
    assert goals["carn_t1_smooth_bound"] == 1.4


def every_tiling(blocks, level, row, column):
    """All ways to cover one square with tiles: lists of (level, row, column)."""
    yield [(level, row, column)]
    if level:
        quarters = product((2 * row, 2 * row + 1), (2 * column, 2 * column + 1))
        parts = [list(every_tiling(blocks, level - 1, r, c)) for r, c in quarters]
        for chosen in product(*parts):
            yield list(chain.from_iterable(chosen))


@pytest.mark.parametrize("seed", range(6))
def test_no_routing_is_below_the_bound_and_some_is_close(seed):
    rng = np.random.default_rng(seed)
    blocks = Blocks(64, 64, cell=32, largest=64)
    errors = np.sort(rng.random((2, 2, 2)), -1)[..., ::-1]  # the second branch errs less
    costs = [np.array([0.3, 1.5]), np.array([1.0, 4.0])]
    spent = []
    for tiling in every_tiling(blocks, 1, 0, 0):
        for branches in product(range(2), repeat=len(tiling)):
            error = cost = 0.0
            for (level, row, column), j in zip(tiling, branches):
                span = 1 << level
                rows = slice(row * span, (row + 1) * span)
                columns = slice(column * span, (column + 1) * span)
                error += errors[rows, columns, j].sum()
                cost += costs[level][j]
            spent.append((error, cost))
    for allowed in (errors[..., 1].sum(), errors.sum() / 2, errors[..., 0].sum()):
        best = min(cost for error, cost in spent if error <= allowed + 1e-12)
        bound = least_cost(blocks, errors, costs, allowed)
        assert bound <= best + 1e-6
        assert bound >= best - 1.5  # the hull's steps are no larger than the dearest small tile
    assert least_cost(blocks, errors, costs, errors[..., 0].sum()) == pytest.approx(1.0)


def test_errors_of_cells_add_up_to_the_image():
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (160, 200, 3), dtype=np.uint8)
    made = [rng.integers(0, 256, sharp.shape, dtype=np.uint8) for _ in range(2)]
    found = cell_errors(made, sharp, 4)
    assert found.shape == (2, 2, 2)
    for j in range(2):
        whole = ((made[j].astype(float) - sharp)[4:-4, 4:-4] ** 2).sum()
        assert found[..., j].sum() == pytest.approx(whole)


@pytest.fixture(scope="module")
def model(golden):
    net = official("fsrcnn")
    return net, tables(net, "fsrcnn", 2)


@pytest.fixture(autouse=True)
def without_a_race(monkeypatch):
    """Which executor is faster here and now is not what these tests are about."""
    monkeypatch.setattr(upscaler_module, "fastest", lambda net, size: executor(net, "torch"))


def test_a_curve_of_a_small_image(model):
    found = curve(*model, mosaic(160, 192), shares=(10.0, 1e-6))
    assert list(found["fixed"]) == list(model[0].names)
    assert {name: len(found["routed"][name]) for name in found["routed"]} == {
        **dict.fromkeys(("mse", "psnr", "psnr_released", "random"), 1)  # the other is too little
    }
    whole = found["fixed"]["fsrcnn-56"]["psnr"]
    for name in ("tiled", "fixed_last", "fixed_executor"):
        assert found[name]["psnr"] == pytest.approx(whole, abs=0.005)
    assert found["bounds"]["0.02_db"]["routing"] >= 1 - 1e-9
    assert found["bounds"]["0.1_db"]["tiles"] >= found["bounds"]["0.02_db"]["tiles"]


def test_the_blind_router_gets_the_same_gains_in_another_order(model):
    net, known = model
    small = mosaic(512, 768)[::4, ::4]
    up = Upscaler(net, known["mse"])
    seen, dealt = up.gains(small), blind(up).gains(small)
    assert not np.array_equal(seen, dealt)
    np.testing.assert_array_equal(np.sort(seen, None), np.sort(dealt, None))
    routes = [one(small, macs=3e8).routes for one in (up, blind(up))]
    assert not np.array_equal(*routes)


def test_promises_have_their_numbers(model):
    net, known = model
    up = Upscaler(net, known["mse"], largest=32)
    small = mosaic(256, 256)[::4, ::4]
    assert len(paces(up, small, 2)["took"]) == 2
    assert deadlines(up, small, 2)["runs"] == 2
    rates = throughput(up, (0.01, 0.02), 1)["megapixels_per_second"]
    assert {name: set(one) for name, one in rates.items()} == {
        "full": {0.01, 0.02},
        "routed": {0.01, 0.02},
    }


def test_the_images_are_large_enough():
    assert mosaic(1280, 1600).shape == (1280, 1600, 3)
    assert mosaic(1280, 1600).any(-1).mean() > 0.9  # next to nothing left black
    assert np.prod(smooth().shape[:2]) > 2e6
    middle = bench._cropped(np.arange(600).reshape(20, 30, 1), 150 / 1e6)
    np.testing.assert_array_equal(middle[..., 0], np.arange(600).reshape(20, 30)[5:15, 7:22])


def test_what_is_long_is_not_run_again(monkeypatch):
    calls = []
    monkeypatch.setattr("lithe.arm.speed.clock.LONG", -1.0)
    timed(lambda: calls.append(1), 3)
    monkeypatch.setattr("lithe.arm.speed.clock.LONG", float("inf"))
    assert timed(lambda: calls.append(1) or "made", 3)[1] == "made"
    assert len(calls) == 1 + 3


def test_the_command_prints_json_and_the_goals(monkeypatch, capsys, tmp_path, result):
    monkeypatch.setattr(bench, "bench", lambda *given: result)
    bench.main(["--quick", "--out", str(tmp_path / "b.json")])
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "b.json").read_text())
    assert json.loads(out)["aims"][0]["met"]
    assert "met  carn, 1 threads: the released loop at equal PSNR: 5.59× (>= 3; at most" in err
    with pytest.raises(SystemExit):
        bench.main(["--repeats", "0"])


def test_the_whole_of_it_on_stamps(monkeypatch, tmp_path):
    stamps = {"mosaic": mosaic(160, 192), "smooth": mosaic(192, 160)}
    monkeypatch.setattr(bench, "_pictures", lambda quick: stamps)
    monkeypatch.setattr(bench, "SIZES", (0.01, 0.02))
    monkeypatch.setattr(bench, "deadlines", lambda up, small, runs: deadlines(up, small, 2))
    monkeypatch.setattr(bench, "paces", lambda up, small: paces(up, small, 2))
    said = []
    found = bench.bench(True, ("fsrcnn",), 1, said.append)
    assert said[-1] == "sizes"
    assert {"fsrcnn_t1_released", "size_spread"} <= {aim.id for aim in aims(found)}
    code = ledger.code_state(recording.SOURCES)
    assert len(recording.record(found, aims(found), code, {"wall_s": 1.0}, tmp_path)) == 3
    json.dumps(found)
