"""The runner: jobs become records once, a seed's variants share one dense network, runs go on."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from lithe import ledger, profiles
from lithe.onexn import run as runner
from lithe.onexn import settings
from lithe.onexn.contest import VARIANTS

TINY = settings.Config(
    train_images=64,
    test_images=32,
    widths=(4, 8, 8),
    epochs=2,
    tune_epochs=1,
    batch_size=32,
    variants=("tuned", "1x4-p75"),
    exhibits=("exact-random",),
)
NO_EXHIBIT = TINY.model_copy(update={"exhibits": ()})


def test_run_writes_one_record_per_job_and_reads_back(tmp_path):
    ids = runner.run(TINY, root=tmp_path)
    assert ids == [
        "onexn/exact-random/smoke/0",
        "onexn/digits-dense/smoke/0",
        "onexn/digits-tuned/smoke/0",
        "onexn/digits-1x4-p75/smoke/0",
    ]
    record = ledger.read(ids[-1], root=tmp_path)
    assert record.metric("top1").n == 32
    assert record.params["variant"] == "1x4-p75"
    assert len(record.data) == 2
    assert len(ledger.curves(ids[1], root=tmp_path)["train_loss"]) == 2


def test_what_is_on_record_is_not_run_again(tmp_path, monkeypatch):
    runner.run(TINY, root=tmp_path)
    monkeypatch.setattr(runner, "_measure", lambda *_: pytest.fail("ran again"))
    runner.run(TINY, root=tmp_path)


def test_changed_parameters_run_again(tmp_path):
    runner.run(NO_EXHIBIT, root=tmp_path)
    runner.run(NO_EXHIBIT.model_copy(update={"tune_lr": 0.02}), root=tmp_path)
    record = ledger.read("onexn/digits-1x4-p75/smoke/0", root=tmp_path)
    assert record.params["tune_lr"] == 0.02


def test_two_workers_write_what_one_writes(tmp_path):
    runner.run(NO_EXHIBIT, root=tmp_path / "one")
    runner.run(NO_EXHIBIT.model_copy(update={"workers": 2}), root=tmp_path / "two")
    for name in ("dense", "tuned", "1x4-p75"):
        one, two = (
            ledger.read(f"onexn/digits-{name}/smoke/0", root=tmp_path / place)
            for place in ("one", "two")
        )
        assert one.metrics == two.metrics


def test_the_dense_network_is_trained_once_for_all_variants_of_a_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path / "book"))
    (tmp_path / "book" / "claims").mkdir(parents=True)
    runner._dense.cache_clear()
    config = NO_EXHIBIT.model_copy(update={"profile": "small", "seeds": (0, 1)})
    trained = []
    train_dense = runner.train_dense

    def counted(*args):
        trained.append(args[2].seed)
        return train_dense(*args)

    monkeypatch.setattr(runner, "train_dense", counted)
    runner.run(config)
    assert trained == [0, 1]
    place = tmp_path / "runs" / "checkpoints" / "onexn" / "small" / "digits-dense"
    assert sorted(folder.name for folder in place.iterdir()) == ["0", "1"]


def test_a_later_variant_starts_from_the_network_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path / "book"))
    (tmp_path / "book" / "claims").mkdir(parents=True)
    config = NO_EXHIBIT.model_copy(update={"profile": "small"})
    runner._dense.cache_clear()
    first, history = runner._dense(config, 0)
    runner._dense.cache_clear()
    again, same = runner._dense(config, 0)
    assert same.rows == history.rows
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_checkpoints_of_other_source_are_not_read_back(monkeypatch):
    config, job = NO_EXHIBIT.model_copy(update={"profile": "small"}), ("digits-dense", 0)
    here = runner._checkpoints(config, job)
    assert runner._checkpoints(config, job) == here
    monkeypatch.setattr(runner, "_code", lambda _: {"sha256": "0" * 64})
    assert runner._checkpoints(config, job) != here
    assert runner._checkpoints(NO_EXHIBIT, job) is None


def test_the_profiles_of_the_chapter_are_valid_and_small_has_every_variant():
    small = profiles.load(runner.NOTEBOOK, "small", settings.Config)
    assert set(small.variants) == set(VARIANTS)
    assert set(small.exhibits) == set(settings.EXHIBITS)
    assert len(small.seeds) >= 5
    full = profiles.load(runner.NOTEBOOK, "full", settings.Config)
    assert full.variants == small.variants
    assert full.tune_epochs > small.tune_epochs
    assert profiles.load(runner.NOTEBOOK, "smoke", settings.Config).data == "digits"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": ["fancy"]}, "no variant 'fancy'"),
        ({"exhibits": ["fancy"]}, "no exhibit 'fancy'"),
        ({"tune_epochs": 0}, "tune_epochs"),
        ({"epochs": 1}, "epochs"),
        ({"lr": 0}, "lr"),
        ({"widths": [8]}, "widths"),
        ({"seeds": [1, 1]}, "holds an entry twice"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_bad_configs_are_refused_by_name(change, message):
    with pytest.raises(ValidationError, match=message):
        settings.Config.model_validate(change)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"tune_epoch": 3}', "unknown key 'tune_epoch'; did you mean 'tune_epochs'?"),
        ('{"epochs": 3', "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        ('{"tune_lr": "inf"}', "tune_lr = 'inf'"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_faulty_config_file_ends_in_one_line(tmp_path, capsys, content, says):
    path = tmp_path / "a config.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert runner.main([str(path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}")
    assert says in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a config file, --profile or --key"),
        (["a.json", "--key", "mobilenet_v2-1x4"], "only one of them"),
        (["--key", "mobilenet_v2-1x4", "--profile", "small"], "--key trains at full length"),
        (["--key", "mobilenet_v2-1x5"], "invalid choice"),
        (["--key", "mobilenet_v2-1x4", "--sparsity", "50"], "'50' is no sparsity"),
        (["--key", "mobilenet_v2-1x4", "--sparsity", "half"], "'half' is no sparsity"),
        (["--key", "mobilenet_v2-1x4", "--seed", "-1"], "'-1' is no seed"),
    ],
)
def test_requests_that_make_no_sense_are_refused(capsys, arguments, says):
    with pytest.raises(SystemExit) as ended:
        runner.main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_missing_weights_or_images_end_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path))
    assert runner.main(["--key", "mobilenet_v2-1x4"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "pretrained weights and the folder of ImageNet" in line
    both = ["--weights", str(tmp_path / "none.safetensors"), "--data-folder", str(tmp_path)]
    assert runner.main(["--key", "mobilenet_v2-1x4", *both]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "none.safetensors cannot be read" in line


def test_cifar_config_reads_the_shared_images(shared):
    config = TINY.model_copy(update={"data": "cifar", "image_size": 16})
    train, test = settings.images(config)
    assert train.shape == (3, 16, 16)
    assert (len(train), len(test)) == (64, 32)


def test_a_record_names_the_source_that_ran_not_an_edit_made_meanwhile(tmp_path, monkeypatch):
    from lithe.ledger import provenance, records

    runner._code.cache_clear()
    contest = runner._contest

    def edited_meanwhile(*args):
        for module in (provenance, records):
            monkeypatch.setattr(module, "source_hash", lambda _: "0" * 64)
        return contest(*args)

    monkeypatch.setattr(runner, "_contest", edited_meanwhile)
    name = runner.run(NO_EXHIBIT.model_copy(update={"variants": ("tuned",)}), root=tmp_path)[-1]
    found = ledger.read(name, root=tmp_path)
    assert found.code.sha256 == runner._code("contest")["sha256"] != "0" * 64
    assert not ledger.is_current(found)


def test_no_kernel_decides_a_record_of_the_contest():
    """An edit of kernels or engine must not make forty minutes of training stale."""
    for kind in (runner.CONTEST, runner.SHOWN):
        assert not any(
            name.startswith(("lithe.onexn.kernels", "lithe.onexn.engine")) for name in kind
        )
        assert "lithe.onexn" not in kind
        assert "lithe.onexn.prune" in kind
