"""The book's own rooms: a changed line reruns its room alone; older rooms in their coats."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lithe.workflow import rooms

ROOT = Path(__file__).resolve().parents[2]
#: Plans all small sweeps twice, a line of one file being added in between; prints what changed.
SCRIPT = """
import json, sys
from pathlib import Path
from lithe.workflow import inputs, planning
from lithe.workflow.sweep import read

def keys():
    inputs.source.cache_clear()
    return {task.id: task.key for task in planning.tasks(read("small"), Path("state"))}

before = keys()
with open(sys.argv[1], "a") as source:
    source.write("# one line more\\n")
after = keys()
told = {}
for name in before:
    counts = told.setdefault(name.partition("/")[0], [0, 0])
    counts[before[name] != after[name]] += 1
print(json.dumps(told))
"""


def test_one_changed_line_in_dcff_reruns_dcff_alone(tmp_path):
    copy = tmp_path / "a copy"
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "results")
    for name in ("src/lithe", "workflow", "notebooks/params", "book/claims"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "requirements.lock", copy)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(copy / "src" / "lithe" / "dcff" / "proxy.py")],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy / "src"), "LITHE_BOOK": str(copy / "book")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("dcff")[0] == 0
    assert set(told) == {"onexn", "pssnet", "arm", "syntalker"}
    assert all(changed == 0 and same for same, changed in told.values()), told


@pytest.mark.parametrize(("name", "shown"), [("dcff", "score"), ("onexn", "exact-random")])
def test_an_older_room_takes_what_its_coat_recorded_as_its_own(tmp_path, monkeypatch, name, shown):
    room = rooms.load(name)
    config = room.config(exhibits=(shown,), variants=(), seeds=())
    assert list(room.jobs(config)) == [(shown, 0)]
    assert not room.is_done(config, (shown, 0), tmp_path)
    room.record(config, (shown, 0), tmp_path)
    assert room.is_done(config, (shown, 0), tmp_path)
    monkeypatch.setattr(room.module, "_measure", lambda *job: pytest.fail("measured again"))
    assert room.module.run(config, root=tmp_path) == [f"{name}/{shown}/smoke/0"]


def test_variants_of_a_seed_need_its_dense_network():
    room = rooms.load("onexn")
    config = room.config(exhibits=("exact-random",), variants=("tuned",), seeds=(3,))
    assert {job: tuple(room.needs(config, job)) for job in room.jobs(config)} == {
        ("exact-random", 0): (),
        ("digits-dense", 3): (),
        ("digits-tuned", 3): (("digits-dense", 3),),
    }
