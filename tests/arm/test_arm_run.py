"""The runner: jobs become records once, variants share first weights, runs go on."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from lithe import ledger, profiles
from lithe.arm import contest, full
from lithe.arm import run as runner
from lithe.arm.settings import EXHIBITS, Config, material

TINY = Config(
    side=160, widths=(4, 8), crop=16, crop_step=24, epochs=1, batch_size=8, patch_step=24, bins=(4,)
)
SHOWN = Config(variants=(), exhibits=("costs-fsrcnn",))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("records")
    config = TINY.model_copy(update={"variants": ("squared", "alone")})
    return config, root, runner.run(config, root=root)


def test_run_writes_one_record_per_job_and_reads_back(done):
    _, root, ids = done
    assert ids == ["arm/bundled-squared/smoke/0", "arm/bundled-alone/smoke/0"]
    record = ledger.read(ids[0], root=root)
    assert record.params["variant"] == "squared"
    assert record.metric("area_mse").n == 2
    assert {one.name for one in record.data} == {"scikit-image-160"}
    curves = ledger.curves(ids[0], root=root)
    assert len(curves["train_loss"]) == 1
    assert len(curves["oracle"]) == len(curves["fraction"]) == 20
    assert "area_mse" not in ledger.read(ids[1], root=root).metrics


def test_what_is_on_record_is_not_run_again(done, monkeypatch):
    config, root, ids = done
    monkeypatch.setattr(runner.EXPERIMENTS, "measure", lambda *_: pytest.fail("ran again"))
    assert runner.run(config, root=root) == ids


def test_changed_parameters_are_not_the_record(done):
    config, root, _ = done
    changed = config.model_copy(update={"lr": 2e-3})
    assert not runner.EXPERIMENTS.is_done(changed, ("bundled-squared", 0), root)
    assert runner.EXPERIMENTS.is_done(config, ("bundled-squared", 0), root)


def test_an_exhibit_is_recorded_without_data(tmp_path):
    [name] = runner.run(SHOWN, root=tmp_path)
    record = ledger.read(name, root=tmp_path)
    assert record.metric("released_w56").value == 467_877_892
    assert record.params == {"exhibit": "costs-fsrcnn"}


def test_two_workers_write_what_one_writes(done, tmp_path):
    config, root, ids = done
    runner.run(config.model_copy(update={"workers": 2}), root=tmp_path)
    for name in ids:
        here, there = ledger.read(name, root=root), ledger.read(name, root=tmp_path)
        assert here.metrics == there.metrics


def test_variants_begin_with_the_same_weights_and_draw_other_widths():
    one, two = contest.fresh((8, 12), 3), contest.fresh((8, 12), 3)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert {"squared": 2.0, "uniform": 0.0, "alone": math.inf} == contest.VARIANTS


def test_alone_trains_the_largest_width_only(monkeypatch):
    """Its narrower prefixes are trained along, but no step is theirs."""
    from lithe.arm.sampling import sampling_probabilities

    chances = sampling_probabilities([141.0, 304.0, 467.0], contest.VARIANTS["alone"])
    assert chances.tolist() == [0, 0, 1]


def test_a_stopped_training_goes_on_with_the_same_bits(tmp_path):
    config = TINY.model_copy(update={"epochs": 2})
    images = material(config)
    pairs = contest.crops(images.training, 16, 24)
    recipe = config.recipe(0)

    def final(directory):
        net = contest.fresh((4, 8), 0)
        contest.train(net, pairs, recipe, directory=directory)
        return [p.detach().clone() for p in net.parameters()]

    straight = final(tmp_path / "a")
    again = final(tmp_path / "a")  # read back from the checkpoint, not trained again
    assert all(torch.equal(a, b) for a, b in zip(straight, again, strict=True))


def test_checkpoints_of_other_source_are_not_read_back(monkeypatch):
    config, job = TINY.model_copy(update={"profile": "small"}), ("bundled-squared", 0)
    here = runner.EXPERIMENTS.checkpoints(config, job)
    assert runner.EXPERIMENTS.checkpoints(config, job) == here
    monkeypatch.setattr(runner.EXPERIMENTS, "code", lambda _: {"sha256": "0" * 64})
    assert runner.EXPERIMENTS.checkpoints(config, job) != here
    assert runner.EXPERIMENTS.checkpoints(TINY, job) is None


def test_the_profiles_of_the_chapter_are_valid_and_small_has_every_variant():
    small = profiles.load(runner.EXPERIMENTS.notebook, "small", Config)
    assert set(small.variants) == set(contest.VARIANTS)
    assert set(small.exhibits) == set(EXHIBITS)
    assert {5, 10, 15, 30, 60} == set(small.bins)
    assert len(small.seeds) >= 3
    larger = profiles.load(runner.EXPERIMENTS.notebook, "full", Config)
    assert larger.variants == small.variants
    assert larger.epochs > small.epochs
    assert profiles.load(runner.EXPERIMENTS.notebook, "smoke", Config).data == "bundled"


def test_an_edit_of_the_upscaler_makes_no_record_stale():
    for kind in (runner.CONTEST, runner.SHOWN):
        assert "lithe.arm" not in kind
        assert "lithe.arm.upscaler" not in kind
        assert {"lithe.arm.anytime", "lithe.arm.routers"} <= set(kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": ["fancy"]}, "no variant 'fancy'"),
        ({"exhibits": ["fancy"]}, "no exhibit 'fancy'"),
        ({"epochs": 0}, "epochs"),
        ({"lr": 0}, "lr"),
        ({"widths": [16, 8]}, "widths"),
        ({"widths": [2, 8]}, "above how many they are"),
        ({"seeds": [1, 1]}, "holds an entry twice"),
        ({"side": 64}, "side"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_bad_configs_are_refused_by_name(change, message):
    with pytest.raises(ValidationError, match=message):
        Config.model_validate(change)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a config file, --profile or --key"),
        (["a.json", "--key", "carn-f2k"], "only one of them"),
        (["--key", "carn-f2k", "--profile", "small"], "--key trains at full length"),
        (["--key", "carn-set5"], "invalid choice"),
        (["--key", "carn-f2k", "--seed", "-1"], "'-1' is no seed"),
    ],
)
def test_requests_that_make_no_sense_are_refused(capsys, arguments, says):
    with pytest.raises(SystemExit) as ended:
        runner.main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--key", "carn-f2k", "--valid", "."], "missing: --train, --test"),
        (["--key", "carn-f2k", "--train", "a", "--valid", "nowhere", "--test", "."], "no folder"),
        (["nowhere.json"], "cannot be read: No such file"),
    ],
)
def test_missing_folders_end_in_one_line(tmp_path, capsys, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert runner.main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_an_unknown_key_in_a_config_file_is_named(tmp_path, capsys):
    path = tmp_path / "c.json"
    path.write_text('{"epoch": 3}')
    assert runner.main([str(path)]) == 2
    assert "unknown key 'epoch'; did you mean 'epochs'?" in capsys.readouterr().err


def test_every_row_of_the_tables_has_three_rates():
    assert len(full.ROWS) == 12
    for key, rows in full.ROWS.items():
        assert [row.size for row in rows] == ["l", "m", "s"], key
        assert [row.k for row in rows] == sorted((row.k for row in rows), reverse=True)


def test_the_full_path_runs_in_seconds_on_bundled_images():
    found = full.dry_run("fsrcnn-test8k")
    assert found["flops_whole"] == pytest.approx(467.877892)
    assert found["flops_l"] <= found["flops_whole"]
    assert set(found) == {f"{a}_{b}" for a in ("psnr", "flops") for b in ("l", "m", "s", "whole")}
