"""The benchmark's command line, its JSON and its records, on measurements of a few layers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lithe import ledger
from lithe.onexn import bench
from lithe.onexn.networks import NETWORKS
from lithe.onexn.speed import recording, report
from lithe.onexn.speed.charts import BreakEven
from lithe.onexn.speed.layers import Layer
from lithe.onexn.speed.limits import Roof
from lithe.onexn.speed.race import Race, Runner
from lithe.onexn.speed.trial import NS, SPARSITIES, Trial, try_layer

ROOF = Roof("avx512", {1: 100.0, 2: 200.0}, {"L1": 200.0, "memory": 20.0})
LAYERS = (Layer(8, 16, 6), Layer(16, 8, 6))


def plan(*words: str) -> bench.Plan:
    return bench.plan_of(bench._parser().parse_args(words))


def race(name: str, pairs: object, *, threads: int = 1, **options: object) -> Race:
    rows = [
        Runner(n, p, tuned, 5.0, 4.0, 2.0, 2.0, 2.0, 1.5, {"onnxruntime": 1.4}, 1e-7, 0, "packed")
        for tuned in (False, True)
        for n, p in [(4, 0.0), *pairs]
    ]
    others = {"contiguous": 10.0, "channels_last": 11.0, "onnxruntime": 7.0}
    return Race(name, threads, 5, others, others, tuple(rows), ("openvino is not installed",))


def trial(
    layer: Layer, ns: object, sparsities: object, *, threads: int, **options: object
) -> Trial:
    """Measured with one thread, whatever is asked: two need a machine that is at rest."""
    found = try_layer(layer, ns, sparsities, seconds=0.0, csr=threads == 1)
    return replace(found, threads=threads)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real trials of two tiny layers; everything else is made up."""
    counts = {LAYERS[0]: 1, LAYERS[1]: 3}
    monkeypatch.setattr(bench, "skeleton", lambda name: None)
    monkeypatch.setattr(bench, "layers_of", lambda model: counts)
    monkeypatch.setattr(bench, "network", lambda name: None)
    monkeypatch.setattr(bench, "run_race", race)
    monkeypatch.setattr(bench.limits, "roof", lambda threads: ROOF)
    monkeypatch.setattr(bench, "measure_startup", lambda: {"cold_s": 2.0, "warm_s": 0.1})
    monkeypatch.setattr(bench, "try_layer", trial)


def test_the_whole_measurement_is_the_default() -> None:
    found = plan()
    assert found.models == tuple(NETWORKS)
    assert (found.ns, found.sparsities) == (NS, SPARSITIES)
    assert found.pairs == tuple((4, p) for p in SPARSITIES)
    assert set(found.more) == {(n, 0.5) for n in NS} - {(4, 0.5)}
    assert (found.layers, found.networks, found.startup, found.profile) == (
        True,
        True,
        True,
        "small",
    )


def test_a_single_setting_is_measured_as_asked() -> None:
    words = "--model mobilenet_v1 --n 4 --sparsity 0.5 --threads 1"
    found = plan(*words.split())
    assert (found.models, found.ns, found.sparsities) == (("mobilenet_v1",), (4,), (0.5,))
    assert (found.pairs, found.threads, found.profile) == (((4, 0.5),), (1,), "smoke")


def test_lists_of_settings_are_multiplied_out() -> None:
    found = plan("--n", "2", "4", "--sparsity", "0.5", "0.9", "--threads", "2")
    assert found.pairs == ((2, 0.5), (2, 0.9), (4, 0.5), (4, 0.9))


def test_quick_leaves_out_what_is_slow() -> None:
    found = plan("--quick")
    assert found.models == bench.LAYERED
    assert (found.pairs, found.startup, found.profile) == (((4, 0.5),), False, "smoke")
    assert plan("--quick", "--model", "mobilenet_v3_small").models == ("mobilenet_v3_small",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--n", "0"], "whole number"),
        (["--n", "2.5"], "whole number"),
        (["--sparsity", "1.0"], "share"),
        (["--sparsity", "half"], "share"),
        (["--seconds", "-1"], "seconds"),
        (["--seconds", "nan"], "seconds"),
        (["--model", "lenet"], "invalid choice"),
        (["--threads", "3"], "invalid choice"),
        (["--layers-only", "--networks-only"], "nothing to measure"),
        (["--layers-only", "--model", "mobilenet_v3_small"], "not of mobilenet_v3_small"),
    ],
)
def test_bad_words_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench.main(words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_stdout_is_json_and_the_report_goes_to_stderr(capsys: pytest.CaptureFixture) -> None:
    words = "--model mobilenet_v1 --n 4 --sparsity 0.5 --threads 1"
    bench.main(words.split())
    out, err = capsys.readouterr()
    found = json.loads(out, parse_constant=pytest.fail)
    assert found["groups"] == {"mobilenet_v1 1x1": {"8-16@6": 1, "16-8@6": 3}}
    assert [row["layer"] for row in found["layers"]] == ["8-16@6", "16-8@6"]
    cell = found["layers"][0]["packed"][1]
    assert (cell["n"], cell["sparsity"]) == (4, 0.5)
    assert cell["roof_share"] == pytest.approx(cell["gflops"] / 100)
    assert found["networks"][0]["runners"][-1]["runtimes"] == {"onnxruntime": 1.4}
    assert "mobilenet_v1_1x1_n4_p50_t1" in {bar["id"] for bar in found["bars"]}
    assert all(isinstance(bar["met"], bool) for bar in found["bars"])
    for line in ("layer 2 of 2: 16-8@6", "openvino is not installed", "bars (by medians"):
        assert line in err


@pytest.mark.usefixtures("quick")
def test_records_are_what_was_measured(tmp_path: Path) -> None:
    settings = plan("--model", "mobilenet_v1", "--n", "4", "--sparsity", "0.5")
    result = bench.bench(settings)
    curve = BreakEven(LAYERS[0], (0.0, 0.5), {4: (0.8, 1.6)}, {4: (1.0, 2.0)}, (float("nan"), 0.4))
    result = bench.Result(**(vars(result) | {"break_even": curve, "startup": {"cold_s": 2.0}}))
    paths = recording.record(result, ledger.code_state(recording.SOURCES), root=tmp_path)
    assert [path.parent.parent.name for path in paths] == [
        "roof",
        "speed-layers",
        "speed-networks",
        "break-even",
        "speed-bars",
    ]
    layers = ledger.read("onexn/speed-layers/smoke/0", root=tmp_path)
    total = result.sums[1]
    assert layers.metrics["mobilenet_v1_1x1_n4_p50_t1_ratio"].value == total.ratio
    assert layers.params["layers"] == ["8-16@6", "16-8@6"]
    curves = ledger.curves(layers, root=tmp_path)
    assert curves["ms_n4_p50_t1"].tolist() == [
        trial.entry(4, 0.5).median_ms for trial in result.trials if trial.threads == 1
    ]
    networks = ledger.read("onexn/speed-networks/smoke/0", root=tmp_path)
    assert networks.metrics["mobilenet_v1_n4_p50_t1_onnxruntime"].value == 1.4
    assert networks.metrics["startup_cold_s"].unit == "s"
    even = ledger.read("onexn/break-even/smoke/0", root=tmp_path)
    assert even.metrics["break_even_n4"].value == pytest.approx(12.5)
    assert "break_even_csr" not in even.metrics
    held = ledger.read("onexn/speed-bars/smoke/0", root=tmp_path)
    assert held.metrics["error"].unit == ""
    assert held.metrics["bars_met"].value == sum(bar.met for bar in result.bars)


@pytest.mark.usefixtures("quick")
def test_the_report_tells_of_all_parts() -> None:
    text = report.text(bench.bench(plan("--quick", "--n", "4", "--sparsity", "0.5")))
    for part in ("multiply-add roof", "layers, 2 threads", "count-weighted sums", "resnet50"):
        assert part in text


@pytest.mark.usefixtures("quick")
def test_further_settings_are_for_one_thread_of_the_layered_networks() -> None:
    result = bench.bench(
        bench.Plan(
            models=("resnet50", "mobilenet_v3_small"),
            more=((8, 0.5),),
            layers=False,
            startup=False,
        )
    )
    eights = [any(x.n == 8 for x in found.runners) for found in result.races]
    assert [(found.network, found.threads) for found in result.races] == [
        ("resnet50", 1),
        ("resnet50", 2),
        ("mobilenet_v3_small", 1),
        ("mobilenet_v3_small", 2),
    ]
    assert eights == [True, False, False, False]


@pytest.mark.usefixtures("quick")
def test_parts_can_be_left_out() -> None:
    only_layers = bench.bench(plan("--quick", "--layers-only", "--threads", "1"))
    assert (len(only_layers.trials), only_layers.races) == (2, ())
    only_networks = bench.bench(plan("--quick", "--networks-only", "--threads", "1"))
    assert (only_networks.trials, len(only_networks.races)) == ((), 3)
