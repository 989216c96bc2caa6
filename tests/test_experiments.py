"""Experiments become records once, in an order that their needs allow."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, ConfigDict

from lithe import experiments, ledger
from lithe.experiments import Experiments, Measured


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = "smoke"
    workers: int = 1
    seeds: tuple[int, ...] = (0,)
    names: tuple[str, ...] = ("after", "first")
    scale: float = 1.0


class Sums(Experiments[Config]):
    """``after`` doubles what the record of ``first`` says."""

    paper, notebook, config = "sums", "99_sums", Config

    def jobs(self, config):
        return ((name, seed) for seed in config.seeds for name in config.names)

    def needs(self, config, job):
        return [("first", job[1])] if job[0] == "after" else []

    def sources(self, experiment):
        return ("lithe.files",)

    def params(self, config, job, root):
        return {"scale": config.scale}

    def measure(self, config, job, root):
        if job[0] == "first":
            return Measured({"value": config.scale * (job[1] + 1)}, {"line": [1.0, 2.0]})
        found = ledger.read(self.name(config, ("first", job[1])), root=root)
        return Measured({"value": 2 * found.metric("value").value})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_begins_when_what_it_needs_is_on_record(tmp_path, workers):
    config = Config(workers=workers, seeds=(0, 1))
    ids = Sums().run(config, root=tmp_path)
    assert ids == [f"sums/{n}/smoke/{s}" for s in (0, 1) for n in ("after", "first")]
    values = [ledger.read(name, root=tmp_path).metric("value").value for name in ids]
    assert values == [2.0, 1.0, 4.0, 2.0]
    assert ledger.curves(ids[1], root=tmp_path)["line"].tolist() == [1.0, 2.0]


def test_what_is_on_record_is_not_measured_again_until_a_parameter_changes(tmp_path, monkeypatch):
    sums, config = Sums(), Config()
    sums.run(config, root=tmp_path)
    done = []
    monkeypatch.setattr(Sums, "measure", lambda self, c, job, root: done.append(job))
    sums.run(config, root=tmp_path)
    assert not done
    with pytest.raises(AttributeError):  # measured, and found to be nothing
        sums.run(Config(scale=2.0), root=tmp_path)
    assert done == [("first", 0)]


def test_a_record_of_other_source_is_not_the_record(tmp_path, monkeypatch):
    sums, config = Sums(), Config(names=("first",))
    sums.run(config, root=tmp_path)
    assert sums.is_done(config, ("first", 0), tmp_path)
    monkeypatch.setattr(ledger, "is_current", lambda record: False)
    assert not sums.is_done(config, ("first", 0), tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_experiments_that_wait_for_each_other_are_refused(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(Sums, "needs", lambda self, config, job: [("first", 0), ("after", 0)])
    with pytest.raises(ValueError, match="wait for each other"):
        Sums().run(Config(workers=workers), root=tmp_path)


class Failing(Sums):
    def measure(self, config, job, root):
        if job[1] == 1:
            raise ValueError("seed 1 does not work")
        return super().measure(config, job, root)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_leaves_the_records_of_what_did_not(tmp_path, workers):
    config = Config(workers=workers, names=("first",), seeds=(0, 1))
    with pytest.raises(ValueError, match="seed 1 does not work"):
        Failing().run(config, root=tmp_path)
    assert [record.seed for record in ledger.find("sums/*/smoke/*", root=tmp_path)] == [0]


def test_checkpoints_lie_beside_the_book_by_source(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "book_root", lambda: tmp_path / "book")
    place = Sums().checkpoints(Config(profile="small"), ("first", 3))
    assert place.parent == tmp_path / "runs" / "checkpoints" / "sums" / "small" / "first" / "3"
    assert place.name == Sums().code("first")["sha256"][:12]
    assert Sums().checkpoints(Config(), ("first", 3)) is None


def test_a_config_file_is_run_and_its_records_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path))
    (tmp_path / "results").mkdir()
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"profile": "small", "names": ["first"]}))
    sums = Sums()
    assert sums.command(sums.parser("sums"), [str(path)]) == 0
    assert capsys.readouterr().out == "sums/first/small/0\n"
    assert len(ledger.find("sums/first/small/0")) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "a config file or --profile"), (["a.json", "--profile", "small"], "only one of them")],
)
def test_requests_that_make_no_sense_are_refused(capsys, arguments, says):
    sums = Sums()
    with pytest.raises(SystemExit):
        sums.command(sums.parser("sums"), arguments)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ledger.LedgerError("no such record"), 1, "error: no such record"),
        (ValueError("scale is -1"), 2, "error: scale is -1"),
        (KeyboardInterrupt(), 130, "the same command goes on"),
    ],
)
def test_errors_end_in_one_line_and_a_code(capsys, error, code, says):
    def fail():
        raise error

    assert experiments.exit_code(fail) == code
    assert says in capsys.readouterr().err
