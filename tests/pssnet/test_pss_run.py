"""The runner: jobs become records once, and what is trained alone waits for what it needs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from pydantic import ValidationError

from lithe import data, ledger
from lithe.pssnet import Subnet, charts, mobilenet_v2_space, readings, recipes
from lithe.pssnet import run as runner
from lithe.pssnet.block import Block
from lithe.pssnet.translated import stage_widths

TINY = runner.Config(
    train_images=48,
    held_out_images=16,
    test_images=16,
    widths=(4, 8),
    resolutions=(8, 16),
    divisor=2,
    ratios=(0.5, 1.0),
    targets=3,
    capacity=2,
    draws=500,
    epochs=2,
    batch_size=16,
    variants=("alone", "effective"),
)


def test_run_writes_one_record_per_job_and_alone_trains_what_was_retained(tmp_path, monkeypatch):
    ids = runner.run(TINY, root=tmp_path)
    assert ids == ["pssnet/digits-effective/smoke/0", "pssnet/digits-alone/smoke/0"]
    effective, alone = (ledger.read(name, root=tmp_path) for name in ids)
    assert effective.metric("curve_pool").n == 16
    assert [d.name.split()[2] for d in effective.data] == ["train,", "train,", "test,"]
    curves = ledger.curves(ids[0], root=tmp_path)
    kept = [
        [int(curves[name][k]) for name in ("chosen_resolution", "chosen_width_0", "chosen_width_1")]
        for k in range(3)
    ]
    assert alone.params["subnets"] == kept
    assert [alone.metric(f"macs_{k}").value for k in range(3)] == list(curves["macs_chosen"])
    monkeypatch.setattr(runner.EXPERIMENTS, "measure", lambda *_: pytest.fail("ran again"))
    assert runner.run(TINY, root=tmp_path) == ids


@pytest.mark.parametrize(("kind", "start"), [("CONTEST", "contest"), ("TIMED", "bench")])
def test_a_record_carries_the_hash_of_all_that_it_runs(kind, start):
    """Every module of the room that is imported on the way, but for what waits in a function."""
    named = {name.rpartition(".")[2] for name in getattr(runner, kind) if ".pssnet." in name}
    folder, seen, left = Path(runner.__file__).parent, set(), [start]
    while left:
        seen.add(name := left.pop())
        for line in (folder / f"{name}.py").read_text().splitlines():
            found = re.match(r"from lithe\.pssnet(?:\.(\w+))? import (.*)", line)
            if found:
                given = [found[1]] if found[1] else re.findall(r"\w+", found[2])
                left += [n for n in given if n not in seen and (folder / f"{n}.py").is_file()]
    assert len(seen) > 20
    assert seen <= named


def test_changed_parameters_run_again(tmp_path):
    only = TINY.model_copy(update={"variants": ("uniform",)})
    runner.run(only, root=tmp_path)
    runner.run(only.model_copy(update={"epochs": 1}), root=tmp_path)
    assert ledger.read("pssnet/digits-uniform/smoke/0", root=tmp_path).params["epochs"] == 1


def test_two_workers_write_what_one_writes(tmp_path):
    both = TINY.model_copy(update={"variants": ("uniform",), "seeds": (0, 1)})
    runner.run(both, root=tmp_path / "one")
    runner.run(both.model_copy(update={"workers": 2}), root=tmp_path / "two")
    for seed in (0, 1):
        one, two = (
            ledger.read(f"pssnet/digits-uniform/smoke/{seed}", root=tmp_path / place)
            for place in ("one", "two")
        )
        assert one.metrics == two.metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": ["fancy"]}, "no variant 'fancy'"),
        ({"variants": ["alone"]}, "name both as variants"),
        ({"exhibits": ["fancy"]}, "no exhibit 'fancy'"),
        ({"seeds": [0, 0]}, "holds an entry twice"),
        ({"data": ["digits", "digits"]}, "holds an entry twice"),
        ({"epochs": 0}, "epochs"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_bad_configs_are_refused_by_name(change, message):
    with pytest.raises(ValidationError, match=message):
        runner.Config.model_validate(change)


def test_more_images_than_there_are_is_refused(shared):
    config = TINY.model_copy(update={"train_images": 6000})
    with pytest.raises(data.DataError, match="6016 are asked for"):
        runner.split("cifar", config)


def test_held_out_images_are_trained_on_by_nobody():
    train, held_out, test = runner.split("digits", TINY)
    assert (len(train), len(held_out), len(test)) == (48, 16, 16)
    assert train.shape == held_out.shape == test.shape == (3, 16, 16)
    rows = {image.numpy().tobytes() for image in train.pixels}
    assert not any(image.numpy().tobytes() in rows for image in held_out.pixels)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "config file, --profile or --key"),
        (["--key", "mobilenet_v1-F", "--profile", "small"], "--key trains at full length"),
        (["--key", "mobilenet_v1-F", "--seed", "-1"], "'-1' is no seed"),
    ],
)
def test_the_command_line_refuses_what_makes_no_sense(arguments, says, capsys):
    with pytest.raises(SystemExit) as ended:
        runner.main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_faulty_config_file_ends_in_one_line(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text('{"epoch": 3}')
    assert runner.main([str(path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "unknown key 'epoch'; did you mean 'epochs'?" in line


def test_missing_images_end_in_one_line(capsys):
    assert runner.main(["--key", "mobilenet_v1-F"]) == 2
    assert "name the folder of ImageNet" in capsys.readouterr().err


def test_every_supernet_of_the_readme_has_a_recipe(golden):
    points = recipes.readme_points(golden / "pss_readme_table.json")
    table = json.loads((golden / "pss_readme_table.json").read_text())
    assert set(points) == set(recipes.ROWS)
    assert sum(map(len, points.values())) == sum(len(row["points"]) for row in table)
    for key in recipes.ROWS:
        resources = {budget.resource for budget in recipes.recipe(key).budgets}
        assert {resource for resource, *_ in points[key]} == resources


@pytest.mark.parametrize(
    ("key", "resource", "cost", "name"),
    [
        ("mobilenet_v1-F", "macs", 555e6, "best5_macs_560"),
        ("mobilenet_v1-F", "macs", 107e6, "min_top1"),
        ("mobilenet_v1-C", "cpu", 32e3, "max_top1"),
        ("mobilenet_v2-G", "gpu", 145.0, "best5_gpu_140"),
    ],
)
def test_a_published_point_belongs_to_its_bin(key, resource, cost, name):
    assert recipes.field(key, resource, cost) == name


def test_latency_supernets_want_their_tables(tmp_path):
    chosen = recipes.recipe("mobilenet_v1-G")
    with pytest.raises(data.DataError, match=r"mobilenet_v1-G needs latency tables: .*mbv1\.npz"):
        chosen._tables(tmp_path)
    with pytest.raises(KeyError, match="there are: mobilenet_v1-F"):
        recipes.recipe("mobilenet_v3-F")


def test_stage_ratios_name_every_hidden_width():
    ours = mobilenet_v2_space()

    class Named:
        names = ("features.0.0", "features.5.conv.0.0", "features.7.conv.0.0", "features.17.conv.2")
        check = staticmethod(lambda subnet: subnet)

    subnet = Subnet(128, (24, 16, 24, 24, 48, 72, 120, 240, 1280))
    assert ours.check(subnet)
    assert stage_widths(subnet, Named).widths == (24, 6 * 24, 6 * 24, 240)
    Named.names = ("features.99",)
    with pytest.raises(ValueError, match=r"features\.99 is none of MobileNetV2's"):
        stage_widths(subnet, Named)


def test_inversions_count_neighbours_alone():
    def block(cout, stride=1):
        return Block("MBV1Block", 14, 8, cout, None, None, stride, None)

    times = {block(8): 10.0, block(16): 9.5, block(24): 8.0, block(32): 8.1, block(8, 2): 1.0}
    assert readings.inversions(times) == (2 / 3, 1 / 3)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty book; ``shelf(experiment, seed, metrics, curves)`` puts a record into it."""
    (tmp_path / "book" / "claims").mkdir(parents=True)
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path / "book"))

    def put(experiment, seed, metrics, curves):
        args = ("pssnet", experiment, "small", seed, {}, metrics)
        ledger.record(*args, sources=("lithe.files",), curves=curves)

    yield put
    plt.close("all")


def test_figures_say_what_is_not_on_record(shelf):
    for figure in (charts.tradeoff(), charts.ladder(), charts.published(), charts.bias()):
        assert "not on record yet" in [text.get_text() for text in figure.axes[0].texts]


def test_curves_are_means_of_envelopes_and_differences_are_paired(shelf):
    for seed in range(3):
        for name, extra in (("space", 0.0), ("released", 2.0 + seed)):
            ends = {"min_macs": 1e6, "max_macs": 4e6, "min_top1": 10.0, "max_top1": 40.0}
            metrics = ends | {"curve_pool": 20 + extra, "curve_chosen": 21 + extra}
            curves = {"macs_chosen": [2e6, 3e6], "top1_chosen": [20.0 + seed, 15.0]}
            shelf(f"digits-{name}", seed, metrics, curves)
        alone = {"macs": [2e6], "top1": [25.0]}
        shelf("digits-alone", seed, {"top1_0": 25.0}, alone)
    axis = charts.tradeoff().axes[0]
    assert [line.get_label() for line in axis.lines] == ["space", "released"]
    x, y = axis.lines[0].get_data()
    assert (x[0], x[-1], y[0], y[-1]) == (1.0, 4.0, 10.0, 40.0)
    assert y[abs(x - 2).argmin()] == pytest.approx(21.0, abs=0.3)
    assert len(axis.collections) == 3  # two bands, and the crosses
    axis = charts.ladder().axes[0]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["released − space", "the same, chosen on held-out images"]
    assert float(axis.lines[1].get_xdata()[0]) == pytest.approx(3.0)


def test_published_series_and_bias_are_drawn_from_their_records(shelf, shared):
    shelf("published", 0, *readings.published())
    curves = {"resolution": [136.0, 144.0], "share_space": [0.5, 0.5], "share_released": [0.2, 0.8]}
    shelf("sampler", 0, {"trials": 1.0}, curves | {"target": [120.0, 130.0], "count": [3.0, 0.0]})
    panels = charts.published().axes
    assert [len(panel.lines) for panel in panels] == [3, 3]
    left, right = charts.bias().axes
    assert [bar.get_height() for bar in left.patches] == [0.5, 0.5, 0.2, 0.8]
    assert list(right.lines[0].get_xdata()) == [130.0]


def test_the_papers_mobilenet_v2_is_trained_as_its_space_says():
    chosen = recipes.recipe("mobilenet_v2-F")
    network = chosen.supernet([224])
    released = chosen.policy(network, draws=2000)
    paper, own = released.inner.space, network.space
    for ours, theirs in ((paper.largest(), own.largest()), (paper.smallest(), own.smallest())):
        assert released.translate(ours) == theirs
    pooled = 49 * 1280  # average pooling, which the paper counts
    for subnet in [choice.subnet for _ in range(5) for choice in released.inner.next_subnets()]:
        assert own.macs(released.translate(subnet)) == paper.macs(subnet) - pooled
    choice = released.next_subnets()[0]
    assert own.check(choice.subnet) == released.translate(choice.key.subnet)
    released.update(choice, -1.0)
    state = released.state_dict()
    again = chosen.policy(network, draws=2000)
    again.load_state_dict(state)
    assert again.retained() == released.retained()
