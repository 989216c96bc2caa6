"""Who a process is, when it ends with those that started it, and what a log is made into."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from lithe import processes
from lithe.processes import endings, started
from lithe.processes.__main__ import main
from lithe.processes.launch import _read
from lithe.processes.log import Log
from lithe.processes.terminal import open_ends


def test_a_process_alone_is_first_and_agrees_with_itself():
    assert (processes.count(), processes.rank(), processes.is_first()) == (1, 0, True)
    value = object()
    assert processes.of_the_first(value) is value
    processes.wait_for_all()
    assert endings.first_to_end()
    assert not endings.lost_another(RuntimeError("gloo"))


def test_one_of_several_is_told_by_torchrun_and_starts_no_others(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "2")
    assert (processes.count(), processes.rank(), processes.is_first()) == (3, 2, False)
    assert processes.wanted(5) == 1
    assert not endings.first_to_end()  # they have not met: the first one says it
    assert endings.lost_another(RuntimeError("[gloo/transport/tcp/pair.cc] closed by peer"))
    assert not endings.lost_another(RuntimeError("shapes differ"))


@pytest.mark.parametrize("asked", [0, -1, 1.5, True, "two"])
def test_a_number_of_processes_that_makes_no_sense_is_refused(monkeypatch, asked):
    with pytest.raises(ValueError, match="give a whole number, 1 or more"):
        processes.wanted(asked)
    monkeypatch.setenv("LITHE_PROCESSES", str(asked))
    with pytest.raises(ValueError, match="give a whole number, 1 or more"):
        processes.wanted()


def test_how_many_are_wanted_comes_from_the_call_or_the_environment(monkeypatch):
    assert processes.wanted() == 1
    monkeypatch.setenv("LITHE_PROCESSES", "4")
    assert (processes.wanted(), processes.wanted(2)) == (4, 2)


def test_what_a_notebook_defines_cannot_be_started_elsewhere():
    with pytest.raises(ValueError, match="cannot import what a notebook"):
        started.run("__main__", None)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("lithe.nowhere", "no module 'lithe.nowhere'"),
        ("lithe.files", "lithe.files runs no configs"),
    ],
)
def test_a_module_that_is_no_room_is_refused(capsys, module, says):
    assert main([module, "config.json"]) == 2
    assert says in capsys.readouterr().err


CHILD = "from lithe.processes import orphans; import time; orphans.EVERY = 0.05; " + (
    "orphans.end_with_the_parents(); print('ready', flush=True); time.sleep(60)"
)
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


@pytest.mark.parametrize("gone", ["parent", "launcher"])
def test_a_process_ends_when_who_started_it_is_gone(gone):
    launcher = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    environment = {**os.environ, "LITHE_LAUNCHER": str(launcher.pid)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], env=environment, stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout.readline() == b"ready\n"
        began = time.monotonic()
        ended = {"parent": parent, "launcher": launcher}[gone]
        ended.send_signal(signal.SIGKILL)
        ended.wait()
        parent.stdout.read()  # to the end, which the child holds open
        assert time.monotonic() - began < 30  # and not the child's 60
    finally:
        for process in (launcher, parent):
            process.kill()
            process.communicate()


@pytest.mark.parametrize("terminal", [True, False])
def test_who_draws_progress_bars_finds_a_terminal(terminal):
    ours, theirs = open_ends(terminal)
    assert os.isatty(theirs) == terminal
    os.write(theirs, b"a\n\r 10%")
    assert os.read(ours, 100) == b"a\n\r 10%"
    os.close(theirs)
    assert _read(ours) == b""
    os.close(ours)


def _log(*given: bytes) -> tuple[Log, str]:
    shown: list[str] = []
    log = Log(shown.append)
    for data in given:
        log.add(data)
    log.close()
    return log, "".join(shown)


def test_a_log_is_shown_in_whole_lines_and_bars_as_they_were_drawn():
    log, shown = _log(b"one\ntw", b"o\n\r 10%", b"|#\r 20%|##\r", b"\nd\xc3", b"\xa9but\nlast")
    assert shown == "one\ntwo\n\r 10%|#\r 20%|##\r\ndébut\nlast"
    assert log.last(2) == [" 20%|##", "début"]
    assert log.sentence == ""


def test_a_log_leaves_out_what_torchrun_says_of_itself():
    log, shown = _log(
        b"W1123 01:15:06.356000 19448 torch/distributed/run.py:894] \n",
        b"W1123 01:15:06.356000 19448 torch/distributed/run.py:894] *****\n",
        b"epoch 1\nerror: the data do not fit\n",
        b"E1123 01:15:06.353000 19448 torch/distributed/elastic/multiprocessing/api.py:1002] "
        b"failed (exitcode: 2) local_rank: 1 (pid: 19476) of binary: python\n",
        b"Traceback (most recent call last):\nChildFailedError\n",
    )
    assert shown == "epoch 1\nerror: the data do not fit\n"
    assert log.sentence == "the data do not fit"


def test_a_process_that_was_killed_is_told_from_torchruns_own_words():
    log, shown = _log(
        b"epoch 1\n",
        b"E1123 01:15:06.353000 19448 lib/torch/distributed/elastic/multiprocessing/api.py:1002] "
        b"failed (exitcode: -9) local_rank: 1 (pid: 19476) of binary: python\n",
    )
    assert log.sentence == "process 1 was killed by signal 9"
    assert (shown, log.last(5)) == ("epoch 1\n", ["epoch 1"])
