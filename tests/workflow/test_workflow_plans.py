"""What a plan holds: every job once, what is done, why the rest is not, and what it will take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lithe import ledger
from lithe.profiles import ProfileError
from lithe.workflow import costs, inputs, job, marker, paper_rows, planning, rooms
from lithe.workflow.plan import Plan, batches
from lithe.workflow.sweep import Rows, Sweep, SweepError, read
from lithe.workflow.task import Task

TOY = Path(__file__).parent / "toy"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy room with a book and a source of its own; ``plan(**config)`` gives its tasks."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("toyroom", "toysource"):
        (source / f"{name}.py").write_text((TOY / f"{name}.py").read_text())
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.syspath_prepend(source)
    (tmp_path / "book" / "claims").mkdir(parents=True)
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path / "book"))
    monkeypatch.delenv("TOY_DIARY", raising=False)
    return tmp_path


def sweep(**config) -> Sweep:
    return Sweep(chapter="99_toy", profile="small", room="toyroom:EXPERIMENTS", config=config)


def plan(place: Path, *sweeps: Sweep) -> list[Task]:
    for cached in (inputs.source, inputs.data_hash, planning._costs):
        cached.cache_clear()
    return planning.tasks(sweeps, place / "runs" / "workflow")


def carry_out(place: Path, task: Task) -> None:
    state = place / "runs" / "workflow"
    told = {"state": str(state), "records": task.records, "data": task.data, "plan": "p"}
    told |= {"before": task.before, "threads": 1}
    job.carry_out(task.room, task.experiment, task.seed, task.profile, task.config, told)


def test_a_sweep_is_methods_times_seeds(toy):
    tasks = plan(toy, sweep(seeds=(0, 1), names=("first", "second")))
    assert [task.id for task in tasks] == [
        *("toy/first/small/0", "toy/second/small/0"),
        *("toy/first/small/1", "toy/second/small/1"),
    ]
    assert tasks[1].needs == ["toy/first/small/0"]
    assert {task.why for task in tasks} == {"no record"}
    one = sweep(seeds=(0, 1)).model_copy(update={"methods": ("f*",), "seeds": (1,)})
    assert [task.id for task in plan(toy, one)] == ["toy/first/small/1"]


def test_a_job_that_was_carried_out_is_unchanged_until_an_input_changes(toy):
    config = {"names": ("first", "second")}
    for task in plan(toy, sweep(**config)):
        carry_out(toy, task)
    assert [task.why for task in plan(toy, sweep(**config))] == ["", ""]
    assert {t.why for t in plan(toy, sweep(**config, scale=2.0))} == {"params changed"}
    with (toy / "source" / "toysource.py").open("a") as source:
        source.write("# one line more\n")
    assert {t.why for t in plan(toy, sweep(**config))} == {
        "source, needs changed",
        "source changed",
    }


def test_data_and_lock_are_inputs(toy, monkeypatch):
    [task] = plan(toy, sweep(names=("first",)))
    carry_out(toy, task)
    shared = toy / "shared"
    (shared / "set").mkdir(parents=True)
    monkeypatch.setenv("LITHE_SHARED", str(shared))
    asks = ({"match": "first", "data": ("set",)},)
    wants = Sweep.model_validate(sweep(names=("first",)).model_dump() | {"asks": asks})
    (shared / "set" / "a").write_text("1")
    [task] = plan(toy, wants)
    assert task.why == "data changed"
    carry_out(toy, task)
    assert plan(toy, wants)[0].why == ""
    (shared / "set" / "a").write_text("2")
    assert plan(toy, wants)[0].why == "data changed"
    (shared / "set" / "a").write_text("1")
    monkeypatch.setattr(inputs, "lock_hash", lambda: "another")
    assert plan(toy, wants)[0].why == "lock changed"


def test_data_that_is_not_there_is_named(toy, monkeypatch):
    monkeypatch.setenv("LITHE_SHARED", str(toy))
    wants = sweep(names=("first",)).model_dump() | {"asks": ({"data": ("nowhere",)},)}
    [task] = plan(toy, Sweep.model_validate(wants))
    assert task.missing == ["nowhere of the shared data"]


def test_a_record_that_came_with_the_book_stands_if_it_fits_the_lock(toy, monkeypatch):
    room = rooms.load("toyroom:EXPERIMENTS")
    room.record(room.config(names=("first",), profile="small"), ("first", 0), None)
    assert plan(toy, sweep(names=("first",)))[0].why == ""
    monkeypatch.setattr(inputs, "locked", lambda: {"numpy": "0.1"})
    assert plan(toy, sweep(names=("first",)))[0].why == "made with other versions"


def test_a_marker_of_another_record_says_nothing_of_this_one(toy):
    [task] = plan(toy, sweep(names=("first",)))
    carry_out(toy, task)
    path = toy / "book" / "results" / f"{task.id}.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"params": {"scale": 9.0}}))
    assert plan(toy, sweep(names=("first",)))[0].why == "params changed"
    path.unlink()
    assert plan(toy, sweep(names=("first",)))[0].why == "no record"


def test_a_run_ended_between_record_and_marker_is_not_run_again(toy, monkeypatch):
    [task] = plan(toy, sweep(names=("first",)))
    room = rooms.load(task.room)
    room.record(room.config(names=("first",), profile="small"), ("first", 0), None)
    monkeypatch.setattr(type(room), "measure", lambda *args: pytest.fail("measured again"))
    carry_out(toy, task)
    assert plan(toy, sweep(names=("first",)))[0].why == ""


def test_what_a_killed_writer_left_is_swept_away(toy):
    [task] = plan(toy, sweep(names=("first",)))
    folder = toy / "book" / "results" / "toy" / "first" / "small"
    folder.mkdir(parents=True)
    for name in (".0-ab.json", ".0.curves-cd-ef.json", ".1-ab.json"):
        (folder / name).write_text("{")
    carry_out(toy, task)
    assert sorted(p.name for p in folder.glob(".*")) == [".1-ab.json"]


def test_two_sweeps_share_a_record_only_if_alike(toy):
    assert len(plan(toy, sweep(names=("first",)), sweep(names=("first", "third")))) == 2
    with pytest.raises(SweepError, match="toy/first/small/0 is also another sweep's"):
        plan(toy, sweep(names=("first",)), sweep(names=("first",), scale=2.0))


def tasks_of(*seconds: float, **more) -> list[Task]:
    return [
        Task(f"toy/t{i}/small/0", "c", "toy", f"t{i}", 0, "small", {}, why="x", seconds=s, **more)
        for i, s in enumerate(seconds)
    ]


def test_cheap_jobs_go_together_and_long_ones_first(toy):
    made = batches(tasks_of(1, 1, 60, 1, 500, 1, 1, 1), cores=2)
    assert [len(batch.tasks) for batch in made] == [1, 1, 2, 2, 1, 1]
    assert made[0].tasks == ["toy/t4/small/0"]
    assert sorted(t for b in made for t in b.tasks) == [f"toy/t{i}/small/0" for i in range(8)]
    assert max(len(batch.tasks) for batch in batches(tasks_of(*[1.0] * 100))) == 10


def test_a_job_that_needs_another_is_a_batch_after_its(toy):
    first, second = tasks_of(1, 1)
    made = batches([first, replace(second, needs=[first.id])])
    assert {batch.name: batch.needs for batch in made} == {
        "toy.t0.small.0": [],
        "toy.t1.small.0": ["toy.t0.small.0"],
    }


def test_a_plan_is_read_as_it_was_written(toy):
    made = Plan.make(plan(toy, sweep(names=("first", "second"))), toy / "runs" / "workflow")
    assert Plan.read(made.write()) == made
    told = costs.lines(made, 2, each=True)
    assert told[0] == "99_toy: 2 jobs, 0 unchanged, 2 to run in 10 min of one core"
    assert "after toy/first/small/0" in told[3]


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("chapter: x\nprofile: small\n", "there is nothing to run"),
        ("chapter: x\nprofile: huge\nroom: dcff\n", "profile"),
        ("chapter: x\nprofile: small\nroom: dcff\nmethod: [a]\n", "unknown key 'method'"),
        ("chapter: [", "not readable as YAML"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(tmp_path, told, says):
    (tmp_path / "bad.yml").write_text(told)
    with pytest.raises(SweepError, match=says):
        read("small", sweeps=tmp_path)


def test_a_chapter_without_a_sweep_is_named():
    with pytest.raises(SweepError, match="did you mean '01_dcff'"):
        read("small", ("01_dcf",))
    with pytest.raises(ProfileError, match="no room 'dcf'"):
        rooms.load("dcf")


def test_every_chapter_has_a_small_sweep_and_every_paper_a_full_one():
    chapters = {path.parent.name for path in (ROOT / "notebooks" / "params").glob("*/small.yaml")}
    assert {found.chapter for found in read("small")} == chapters
    papers = {found.rows.record.partition("/")[0] for found in read("full") if found.rows}
    assert papers == {path.stem for path in (ROOT / "book" / "claims").glob("*.yml")}


ROOT = Path(__file__).resolve().parents[2]


def test_every_row_of_every_table_has_a_command_hours_and_data(monkeypatch):
    """Every claim that only a run at full length can answer is answered by some row."""
    monkeypatch.setenv("LITHE_BOOK", str(ROOT / "book"))
    wanted = {
        pattern.rsplit("/", 1)[0]
        for claim in ledger.claims()
        for part in claim.comparisons
        for pattern in part.measure.patterns
        if claim.tier == "T2" and not claim.blocked
    }
    rows = [
        row for found in read("full") if found.rows for row in paper_rows.rows(found.rows, "full")
    ]
    made = {name.rsplit("/", 1)[0] for row in rows for name in row.command.records}
    assert wanted - made == set()
    assert all(row.command.hours > 0 for row in rows)
    assert sum(row.gpu_hours for row in rows) > 1000
    assert any("IMAGENET" in text for row in rows for text in row.missing)


@pytest.mark.parametrize(
    ("cost", "hours"),
    [
        ("about five days on one GPU, estimate", 120),
        ("about 1 hour on one data-centre GPU", 1),
        ("at most a day on one GPU by the time stamps", 24),
        ("about 5 minutes on one data-centre GPU", 1 / 12),
    ],
)
def test_hours_are_read_off_a_cost(cost, hours):
    assert paper_rows.hours(cost) == pytest.approx(hours)


def test_a_cost_without_hours_and_a_word_without_data_are_refused():
    with pytest.raises(SweepError, match="no hours"):
        paper_rows.hours("a lot")
    extra = ({"command": "python -m lithe.dcff.run --key x --data-folder PLACE", "cost": "1 hour"},)
    with pytest.raises(SweepError, match="names PLACE"):
        list(paper_rows.rows(Rows(record="none/{key}", extra=extra), "full"))


def test_loops_and_sparsities_are_rows_of_their_own_and_share_the_cost():
    line = "for K in a b; do python -m m --key net-$K --sparsity 0.1 0.5 --x; done"
    extra = ({"command": line, "cost": "about 8 hours"},)
    found = list(paper_rows.rows(Rows(record="none/{key}-p{percent}", extra=extra), "full"))
    assert [row.command.records[0] for row in found] == [
        f"none/net-{k}-p{p}/full/0" for k in "ab" for p in (10, 50)
    ]
    assert {row.gpu_hours for row in found} == {2.0}
    assert found[0].command.run == (
        *("m", "--key", "net-a", "--sparsity", "0.1", "--x", "--seed", "0"),
    )


def test_only_packages_that_reach_a_result_are_of_the_lock():
    pins = inputs.locked()
    assert {"torch", "numpy", "sympy"} <= pins.keys()  # sympy by way of torch
    assert not {"sphinx", "pytest", "snakemake", "papermill"} & pins.keys()


def test_a_lock_ends_with_its_holder(tmp_path):
    with marker.exclusive(tmp_path / "a" / "lock"):
        pass
    with marker.exclusive(tmp_path / "a" / "lock"):
        assert (tmp_path / "a" / "lock").exists()
