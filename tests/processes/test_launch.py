"""Processes started from Python: what they say is shown, and no way to end leaves one behind."""

from __future__ import annotations

import os
import re
import time

import pytest
import sums_room
from starting import environment, torchrun

from lithe import ledger, processes
from lithe.processes import ProcessesError
from lithe.processes.launch import _environment


def test_a_run_on_two_processes_shows_its_log_and_writes_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LITHE_PROCESSES", "2")
    ids = sums_room.EXPERIMENTS.run(sums_room.Config(), root=tmp_path)
    said = capsys.readouterr().out
    assert ids == [f"sums/{name}/smoke/0" for name in ("shown", "first", "second")]
    found = {name: ledger.read(f"sums/{name}/smoke/0", root=tmp_path).metrics for name in
             ("shown", "first", "second")}  # fmt: skip
    assert (found["second"]["sum"].value, found["second"]["processes"].value) == (3.0, 2)
    assert found["shown"]["rank"].value == 0
    assert sorted(re.findall(r"^(\w+ in \d)", said, re.MULTILINE)) == [
        *("first in 0", "first in 1", "second in 0", "second in 1", "shown in 0")
    ]
    assert [k for k in (1, 2, 3) if f"sums: {k} of 3 measured\n" in said] == [1, 2, 3]
    assert said.endswith("\n".join(ids) + "\n")
    assert "torch/distributed" not in said
    again = sums_room.EXPERIMENTS.run(sums_room.Config(), root=tmp_path, processes=1)
    assert again == ids
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("error", "the data of process 1 do not fit"),
        ("killed", "process 1 was killed by signal 9|ended without a word"),
    ],
)
def test_what_ends_one_process_ends_all_and_is_said(tmp_path, wrong, says):
    shown = []
    config = sums_room.Config(wrong=wrong)
    with pytest.raises(ProcessesError, match=says) as caught:
        processes.run("sums_room", config, 2, root=tmp_path, show=shown.append)
    assert str(caught.value).count("\n") == 0
    assert "".join(shown).count("error: ") <= 1
    assert caught.value.code == 1
    assert any("second in 1" in line for line in caught.value.lines)
    assert [r.experiment for r in ledger.find("sums/*/smoke/0", root=tmp_path)] == [
        *("first", "shown")
    ]
    assert not _living(shown)


def test_an_interruption_ends_all_processes(tmp_path):
    shown = []

    def stop_in_the_second(text):
        shown.append(text)
        if text.startswith("second in 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.run(
            "sums_room", sums_room.Config(wrong="slow"), root=tmp_path, show=stop_in_the_second
        )
    assert not _living(shown)
    assert ledger.find("sums/first/smoke/0", root=tmp_path)
    assert not ledger.find("sums/second/smoke/0", root=tmp_path)


def test_under_torchrun_one_sentence_tells_of_an_error_that_all_processes_meet(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"names": 3}')
    started = torchrun("-m", "sums_room", config)
    said, _ = started.communicate(timeout=120)
    assert started.returncode == 1
    assert re.findall(r"^error: .*", said, re.MULTILINE) == [
        f"error: {config}: names = 3: Input should be a valid array"
    ]


def _living(shown: list[str]) -> list[int]:
    """Those of the processes in a log that have not ended."""
    numbers = {int(n) for n in re.findall(r", process (\d+)", "".join(shown))}
    assert len(numbers) == 2
    end = time.monotonic() + 5
    while (left := [n for n in numbers if _lives(n)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_cores_are_shared_out_and_no_place_is_inherited(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("LITHE_PROCESSES", "4")
    monkeypatch.delenv("OMP_NUM_THREADS")
    found = _environment(4)
    assert found["OMP_NUM_THREADS"] == "2"
    assert not found.keys() & {"LOCAL_RANK", "LITHE_PROCESSES"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert _environment(4)["OMP_NUM_THREADS"] == "5"
    assert environment()["OMP_NUM_THREADS"] == "1"
