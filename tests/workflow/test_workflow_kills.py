"""Killed at random moments, twenty times: nothing half written, lost, doubled or other."""

from __future__ import annotations

import os
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from lithe.ledger.records import Record

SEEDS, NAMES = tuple(range(3)), ("first", "second", "third", "fourth")
#: What is killed, in which order; the seed decides the order and the moments.
VICTIMS = ["engine"] * 5 + ["papermill"] * 7 + ["kernel"] * 8
MARKS = {
    "engine": "snakemake --snakefile",
    "papermill": "lithe.workflow job",
    "kernel": "ipykernel",
}


def processes(mark: str, below: Path) -> list[int]:
    """Processes of this place whose command line has ``mark`` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            mine = str(below).encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        if mine and mark in line and "bash" not in line.split(" ")[0]:
            found.append(int(entry.name))
    return found


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Watch:
    """Looks at the records again and again: each is whole, and none is written a second time."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.seen: dict[tuple[str, float], int] = {}

    def look(self) -> None:
        for path in (self.folder / "book" / "results").rglob("[0-9]*.json"):
            if ".curves-" in path.name:
                continue
            written = path.stat().st_mtime_ns
            record = Record.model_validate_json(path.read_bytes())
            if path.stat().st_mtime_ns == written:  # not replaced while it was read
                which = (record.id, record.params["scale"])
                assert self.seen.setdefault(which, written) == written, f"{which} twice"


def side_by_side(diary: Path) -> list[str]:
    """Jobs that two processes measured at the same time."""
    events: dict[tuple[str, ...], list[tuple[float, str]]] = {}
    for line in diary.read_text().splitlines():
        word, *job, moment = line.split()
        events.setdefault(tuple(job), []).append((float(moment), word))
    found = []
    for job, told in events.items():
        words = [word for _, word in sorted(told)]
        if any(pair == ("end", "end") for pair in pairwise(words)):
            found.append(" ".join(job))
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_twenty_kills_change_nothing(place, monkeypatch):
    moments, victims, watch = random.Random(8), VICTIMS[:], Watch(place.folder)
    moments.shuffle(victims)
    wanted = {"seeds": SEEDS, "names": NAMES, "seconds": 0.05, "scale": 1.0}
    place.sweep(**wanted)
    process = place.start()
    while victims:
        if process.poll() is not None:
            process.communicate()
            if process.returncode == 0:  # all done before the last kill: all is to be done again
                wanted["scale"] += 1.0
                place.sweep(**wanted)
            process = place.start()
        there = processes(MARKS[victims[0]], place.folder)
        if there:
            time.sleep(moments.uniform(0.0, 0.8))
            if kill(moments.choice(there)):
                victims.pop(0)
        watch.look()
        time.sleep(0.02)
    process.communicate(timeout=120)
    status, told = place.run()
    watch.look()
    assert status == 0, told
    assert side_by_side(place.folder / "diary") == []
    monkeypatch.syspath_prepend(place.toy)
    import toyroom

    undisturbed = place.folder / "undisturbed"
    toyroom.Toy().run(toyroom.Config(**wanted), root=undisturbed)
    assert place.records() == place.records(undisturbed)
    status, told = place.run()
    assert status == 0
    assert "12 unchanged" in told
