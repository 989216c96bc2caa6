"""Which records are measured again, and what counts as drift."""

from __future__ import annotations

import os

import pytest

from lithe import ledger
from lithe.workflow import drift
from lithe.workflow.task import Task


def record(root, seed=0, **metrics):
    ledger.record("toy", "x", "small", seed, {}, metrics, sources=("lithe.files",), root=root)
    return ledger.read(f"toy/x/small/{seed}", root=root)


def task(name: str, seed: int = 0, **more) -> Task:
    told = {"before": "known", "seconds": 1.0} | more
    return Task(f"toy/{name}/small/{seed}", "c", "toy", name, seed, "small", {}, **told)


@pytest.mark.parametrize(
    ("was", "now", "spread", "state"),
    [
        (1.0, 1.0, 0.0, "equal"),
        (1.0, 1.00009, 0.0, "close"),
        (1.0, 1.0002, 0.0, "drifted"),
        (60.0, 60.9, 1.0, "close"),
        (60.0, 61.1, 1.0, "drifted"),
        (0.0, 1e-9, 0.0, "drifted"),
    ],
)
def test_drift_is_more_than_rounding_and_more_than_another_seed(tmp_path, was, now, spread, state):
    old, new = record(tmp_path / "a", value=was), record(tmp_path / "b", value=now)
    [found] = drift.compare(old, new, {"value": spread})
    assert found.state == state


def test_a_metric_that_is_gone_or_new_has_drifted(tmp_path):
    old, new = record(tmp_path / "a", value=1, gone=2), record(tmp_path / "b", value=1, new=2)
    states = {found.metric: found.state for found in drift.compare(old, new)}
    assert states == {"value": "equal", "gone": "drifted", "new": "drifted"}


def test_times_are_told_apart(tmp_path):
    old = record(tmp_path / "a", wall={"value": 1.0, "unit": "s"})
    new = record(tmp_path / "b", wall={"value": 9.0, "unit": "s"})
    assert [found.state for found in drift.compare(old, new)] == ["time"]


def test_differences_of_the_machines_are_named(tmp_path):
    old = record(tmp_path, value=1)
    new = old.model_copy(update={"env": old.env.model_copy(update={"numpy": "9.9", "cores": 64})})
    assert drift.environment([(old, new), (old, new)]) == [
        "environment:",
        f"  numpy: {old.env.numpy} -> 9.9 (2 records)",
        f"  cores: {os.cpu_count()} -> 64 (2 records)",
    ]
    assert drift.environment([(old, old)]) == ["environment:", "  the same"]


def test_the_cheapest_are_drawn_once_an_experiment_with_what_they_need():
    tasks = [
        task("a", seed=1),
        task("a", seed=0),
        task("needs", seconds=2, needs=["toy/dense/small/0"]),
        task("dense", seconds=5),
        task("dear", seconds=100),
        task("new", before=""),
        task("lacking", missing=["data"]),
    ]
    assert [t.id for t in drift.sample(tasks, 20)] == [
        *("toy/a/small/0", "toy/dense/small/0", "toy/needs/small/0"),
    ]
    assert [t.id for t in drift.sample(tasks, 6)] == ["toy/a/small/0", "toy/dense/small/0"]
    assert drift.sample(tasks, 0.5) == []
