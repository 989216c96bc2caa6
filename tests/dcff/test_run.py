"""The runner: jobs become records once, unknown names are refused, an interrupted run goes on."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lithe import ledger
from lithe.dcff import run as runner
from lithe.ledger import provenance, records

TINY = runner.Config(
    train_images=64,
    test_images=32,
    widths=(4, 8),
    epochs=2,
    batch_size=32,
    variants=("released", "scratch"),
    exhibits=("structure-vgg16",),
)


def test_run_writes_one_record_per_job_and_reads_back(tmp_path):
    ids = runner.run(TINY, root=tmp_path)
    assert ids == [
        "dcff/structure-vgg16/smoke/0",
        "dcff/digits-released/smoke/0",
        "dcff/digits-scratch/smoke/0",
    ]
    record = ledger.read(ids[1], root=tmp_path)
    assert record.metric("top1").n == 32
    assert record.params["variant"] == "released"
    assert {d.name for d in record.data}
    assert len(ledger.curves(ids[1], root=tmp_path)["train_loss"]) == 2


def test_what_is_on_record_is_not_run_again(tmp_path, monkeypatch):
    runner.run(TINY, root=tmp_path)
    monkeypatch.setattr(runner, "_measure", lambda *_: pytest.fail("ran again"))
    runner.run(TINY, root=tmp_path)


def test_changed_parameters_run_again(tmp_path):
    only = TINY.model_copy(update={"variants": ("scratch",), "exhibits": ()})
    runner.run(only, root=tmp_path)
    runner.run(only.model_copy(update={"epochs": 1}), root=tmp_path)
    assert ledger.read("dcff/digits-scratch/smoke/0", root=tmp_path).params["epochs"] == 1


def test_two_workers_write_what_one_writes(tmp_path):
    both = TINY.model_copy(update={"exhibits": ()})
    runner.run(both, root=tmp_path / "one")
    runner.run(both.model_copy(update={"workers": 2}), root=tmp_path / "two")
    for name in ("released", "scratch"):
        one, two = (
            ledger.read(f"dcff/digits-{name}/smoke/0", root=tmp_path / place)
            for place in ("one", "two")
        )
        assert one.metrics == two.metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": ["fancy"]}, "no variant 'fancy'"),
        ({"exhibits": ["fancy"]}, "no exhibit 'fancy'"),
        ({"epochs": 0}, "epochs"),
        ({"rate": 1.0}, "rate"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_bad_configs_are_refused_by_name(change, message):
    with pytest.raises(ValidationError, match=message):
        runner.Config.model_validate(change)


def test_command_line_wants_a_config_or_a_key(capsys):
    with pytest.raises(SystemExit):
        runner.main([])
    assert "config file or --key" in capsys.readouterr().err


def test_cifar_config_reads_the_shared_images(shared):
    config = TINY.model_copy(update={"data": "cifar", "image_size": 16})
    train, test = runner.images(config)
    assert train.shape == (3, 16, 16)
    assert (len(train), len(test)) == (64, 32)


def test_what_other_source_trained_is_not_read_back(monkeypatch):
    config, job = TINY.model_copy(update={"profile": "small"}), ("digits-scratch", 0)
    here = runner._checkpoints(config, job)
    assert runner._checkpoints(config, job) == here
    monkeypatch.setattr(runner, "_code", lambda: {"sha256": "0" * 64})
    assert runner._checkpoints(config, job) != here
    assert runner._checkpoints(TINY, job) is None


def test_a_record_names_the_source_that_ran_not_an_edit_made_meanwhile(tmp_path, monkeypatch):
    runner._code.cache_clear()
    contest = runner._contest

    def edited_meanwhile(*args):
        for module in (provenance, records):
            monkeypatch.setattr(module, "source_hash", lambda _: "0" * 64)
        return contest(*args)

    monkeypatch.setattr(runner, "_contest", edited_meanwhile)
    [name] = runner.run(
        TINY.model_copy(update={"variants": ("scratch",), "exhibits": ()}), root=tmp_path
    )
    found = ledger.read(name, root=tmp_path)
    assert found.code.sha256 == runner._code()["sha256"] != "0" * 64
    assert not ledger.is_current(found)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"epoch": 3}', "unknown key 'epoch'; did you mean 'epochs'?"),
        ('{"epochs": 3', "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        ('{"lr": "inf"}', "lr = 'inf'"),
        ('{"widths": []}', "at least 1 item"),
        ('{"rate": 0.97}', "rate 0.97 leaves none of 16 filters"),
        ('{"seeds": [0, 0]}', "holds an entry twice"),
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


@pytest.mark.parametrize("arguments", [["--key", "vgg16"], ["--key", "r50_cos_a"]])
def test_missing_data_ends_in_one_line(tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path))
    assert runner.main([*arguments, "--data-folder", str(tmp_path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_negative_seed_is_refused_by_the_command_line(capsys):
    with pytest.raises(SystemExit) as ended:
        runner.main(["--key", "vgg16", "--seed", "-1"])
    assert ended.value.code == 2
    assert "'-1' is no seed" in capsys.readouterr().err
