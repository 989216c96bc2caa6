from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from lithe import ledger
from lithe.ledger import provenance
from lithe.ledger.records import Record

SOURCES = ("lithe.files",)


def write(**changes: object) -> Path:
    call = {
        "paper": "toy",
        "experiment": "run-a",
        "profile": "small",
        "seed": 0,
        "params": {"lr": 0.1},
        "metrics": {"top1": 91.5},
        "sources": SOURCES,
    } | changes
    names = ("paper", "experiment", "profile", "seed", "params", "metrics")
    identity = [call.pop(name) for name in names]
    return ledger.record(*identity, **call)


def test_a_record_reads_back_as_it_was_written(book: Path) -> None:
    class Config(BaseModel):
        lr: float = 0.1
        widths: tuple[int, ...] = (4, 8)

    path = write(
        params=Config(),
        metrics={"top1": {"value": 91.5, "unit": "%", "n": 1017}, "steps": 7},
        data=[{"name": "digits", "sha256": "ab", "sizes": {"train": 400}}, "noise"],
        cost={"wall_s": 12.5},
        notebook=__file__,
    )
    assert path == book / "results/toy/run-a/small/0.json"
    found = ledger.read("toy/run-a/small/0")
    assert found.params == {"lr": 0.1, "widths": [4, 8]}
    assert found.metric("top1") == ledger.Metric(value=91.5, unit="%", n=1017)
    assert isinstance(found.metric("steps").value, int)
    assert found.metric("cost.wall_s").value == 12.5
    assert found.metric("params.lr").value == 0.1
    assert [entry.name for entry in found.data] == ["digits", "noise"]
    assert found.notebook.name == "test_records.py"
    assert found.cost.peak_mb > 1
    assert found.env.torch == torch.__version__.partition("+")[0] or found.env.torch
    assert Record.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    "scalar", [np.float32(2.5), np.int64(3), torch.tensor(2.5), np.array([4.0]), True]
)
def test_scalars_of_other_libraries_become_plain_numbers(book: Path, scalar: object) -> None:
    write(metrics={"x": scalar})
    value = json.loads((book / "results/toy/run-a/small/0.json").read_text())["metrics"]["x"]
    assert value["value"] == float(np.asarray(scalar).reshape(()))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), torch.tensor(float("nan"))])
def test_a_value_that_is_not_finite_is_refused_by_name(book: Path, bad: object) -> None:
    with pytest.raises(ledger.LedgerError, match="'loss' must be finite"):
        write(metrics={"top1": 1.0, "loss": bad})
    assert not list(book.glob("results/**/*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"x": "high"}}, "'x' must be a number"),
        ({"metrics": {"x": [1.0, 2.0]}}, "'x' must be a number"),
        ({"metrics": {"x": np.ones(2)}}, "'x' must be one number"),
        ({"metrics": {"x": torch.ones(2)}}, "'x' must be one number"),
        ({"metrics": {"x": {"value": 1, "sd": 2}}}, "takes value, unit and n"),
        ({"metrics": {}}, "metrics"),
        ({"profile": "medium"}, "smoke, small, full"),
        ({"experiment": "Run A"}, "experiment"),
        ({"experiment": "../up"}, "experiment"),
        ({"seed": -1}, "seed"),
        ({"params": {"f": object()}}, "params.f"),
        ({"sources": ("lithe.nowhere",)}, "lithe.nowhere"),
        ({"data": [{"name": "d", "size": 3}]}, "data.0.size"),
        ({"cost": {"hours": 1}}, "cost.hours"),
        ({"curves": {"loss": [[1.0], [2.0]]}}, "'loss' must be a list"),
        ({"curves": {"loss": ["low"]}}, "'loss' must be a list"),
        ({"curves": [1.0]}, "curves must be a mapping"),
        ({"metrics": [1.0]}, "metrics must be a mapping"),
        ({"metrics": {"x": 10**400}}, "'x' is beyond 64 bits"),
        ({"cost": "an hour"}, "'cost' must be a number"),
        ({"notebook": "nowhere.ipynb"}, "notebook nowhere.ipynb cannot be read"),
        ({"sources": ()}, "name at least one package"),
    ],
)
def test_what_a_record_cannot_hold_is_refused(
    book: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ledger.LedgerError, match=message):
        write(**changes)
    assert not list(book.glob("results/**/*.json"))


def test_one_name_stands_for_a_list_of_one(book: Path) -> None:
    write(data="digits", sources="lithe.files")
    found = ledger.read("toy/run-a/small/0")
    assert [entry.name for entry in found.data] == ["digits"]
    assert found.code.sources == ["lithe.files"]


def test_a_folder_where_a_record_should_be_is_named(book: Path) -> None:
    (book / "results/toy/run-a/small/0.json").mkdir(parents=True)
    with pytest.raises(ledger.LedgerError, match="toy/run-a/small/0 cannot be read"):
        ledger.read("toy/run-a/small/0")


def test_a_smoke_record_stays_out_of_the_book(book: Path) -> None:
    path = write(profile="smoke")
    assert path == book.parent / "runs/results/toy/run-a/smoke/0.json"
    assert ledger.read("toy/run-a/smoke/0").profile == "smoke"
    assert not (book / "results").exists()
    assert write(profile="smoke", root=book) == book / "results/toy/run-a/smoke/0.json"


def test_find_matches_whole_parts_and_sorts_seeds_as_numbers(book: Path) -> None:
    for experiment, seed in [("run-a", 10), ("run-a", 9), ("run-b", 0), ("run-b-c", 0)]:
        write(experiment=experiment, seed=seed, curves={"loss": [1.0]})
    assert [r.seed for r in ledger.find("toy/run-a/small/*")] == [9, 10]
    assert [r.experiment for r in ledger.find("toy/run-?/small/0")] == ["run-b"]
    assert len(ledger.find("*/*/*/*")) == 4
    assert ledger.find("toy/run-a/full/*") == []


@pytest.mark.parametrize("bad", ["toy/run-a/small", "a/b/small/0/1", "toy//small/0", "a/../b/0"])
def test_a_malformed_id_is_refused(book: Path, bad: str) -> None:
    with pytest.raises(ledger.LedgerError, match="paper/experiment/profile/seed"):
        ledger.read(bad)


def test_a_missing_or_damaged_record_is_named(book: Path) -> None:
    with pytest.raises(ledger.LedgerError, match="no record toy/run-a/small/0"):
        ledger.read("toy/run-a/small/0")
    path = write()
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ledger.LedgerError, match="record toy/run-a/small/0"):
        ledger.read("toy/run-a/small/0")


def test_a_record_moved_to_another_place_is_noticed(book: Path) -> None:
    path = write()
    path.rename(path.with_name("3.json"))
    with pytest.raises(ledger.LedgerError, match="says that it is toy/run-a/small/0"):
        ledger.read("toy/run-a/small/3")


def test_curves_round_trip_with_gaps_and_notice_changes(book: Path) -> None:
    path = write(curves={"loss": [2.0, float("nan"), 0.5], "acc": torch.tensor([1.0, 2.0])})
    found = ledger.read("toy/run-a/small/0")
    np.testing.assert_array_equal(ledger.curves(found)["loss"], [2.0, np.nan, 0.5])
    assert found.curves.lengths == {"loss": 3, "acc": 2}
    assert ledger.curves("toy/run-a/small/0")["acc"].tolist() == [1.0, 2.0]
    next(path.parent.glob("0.curves-*.json")).write_text("{}")
    with pytest.raises(ledger.LedgerError, match="were changed"):
        ledger.curves(found)


def test_a_record_and_its_curves_fit_whatever_is_written_beside_them(book: Path) -> None:
    write(curves={"loss": [1.0]})
    first = ledger.read("toy/run-a/small/0")
    path = write(curves={"loss": [2.0]})
    assert ledger.curves("toy/run-a/small/0")["loss"].tolist() == [2.0]
    assert len(list(path.parent.glob("0.curves-*.json"))) == 1
    with pytest.raises(ledger.LedgerError, match="missing"):
        ledger.curves(first)


def test_a_death_between_the_two_files_leaves_the_old_record_whole(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(curves={"loss": [1.0]})

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lithe.ledger.records.write_json", dies)
    with pytest.raises(KeyboardInterrupt):
        write(curves={"loss": [2.0]})
    assert ledger.curves("toy/run-a/small/0")["loss"].tolist() == [1.0]


def test_no_path_of_this_machine_gets_into_a_record(book: Path, tmp_path: Path) -> None:
    text = write(params={"folder": tmp_path, "names": [str(tmp_path / "x.npz")]}).read_text()
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text
    assert ledger.read("toy/run-a/small/0").params["names"] == ["x.npz"]


def test_a_record_is_current_until_its_source_changes(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "toysource"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "method.py").write_text("SLOPE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    write(sources=("toysource",))
    found = ledger.read("toy/run-a/small/0")
    assert ledger.is_current(found)
    (package / "method.py").write_text("SLOPE = 2\n")
    assert not ledger.is_current(found)
    (package / "method.py").rename(package / "renamed.py")
    assert not ledger.is_current(found)


def test_the_code_state_knows_commit_and_dirtiness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    def git(*words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "onemodule.py").write_text("X = 1\n")
    (tmp_path / "other.txt").write_text("a")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.syspath_prepend(tmp_path)
    assert provenance.code_state(["onemodule"])["dirty"] is False
    (tmp_path / "other.txt").write_text("b")
    assert provenance.code_state(["onemodule"])["dirty"] is False
    (tmp_path / "onemodule.py").write_text("X = 2\n")
    state = provenance.code_state(["onemodule"])
    assert state["dirty"] is True
    assert len(state["commit"]) == 40


def test_the_meter_measures_its_block(book: Path) -> None:
    with ledger.meter() as cost:
        sum(range(1000))
    write(cost=cost)
    found = ledger.read("toy/run-a/small/0").cost
    assert found.wall_s >= 0
    assert found.peak_mb > 1


def test_the_nearest_book_is_found_without_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LITHE_BOOK", raising=False)
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert ledger.book_root() == tmp_path / "book"


def _record_many(root: str, worker: int) -> None:
    for seed in range(10):
        values = {"mine": worker, "seed": seed}
        for experiment in (f"worker-{worker}", "shared"):
            ledger.record("toy", experiment, "small", seed, {}, values, sources=SOURCES, root=root)


def test_processes_that_record_at_once_lose_nothing(book: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_record_many, args=(str(book), w)) for w in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    own = ledger.find("toy/worker-*/small/*")
    assert [(r.experiment, r.seed) for r in own] == [
        (f"worker-{w}", seed) for w in (1, 2, 3) for seed in range(10)
    ]
    shared = ledger.find("toy/shared/small/*")
    assert [r.metric("seed").value for r in shared] == list(range(10))
    assert not [p for p in (book / "results").rglob("*") if p.is_file() and p.name[0] == "."]
