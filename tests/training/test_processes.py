from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("shared_run.py")
CLOSE = 1e-6  # float32 sums in another order


def _run(folder: Path, *launcher: str) -> Path:
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *launcher, SCRIPT, folder],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Results of the same script in one process and in two."""
    root = tmp_path_factory.mktemp("processes")
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    return _run(root / "one"), _run(root / "two", *two)


def _found(folder: Path, rank: int = 0) -> dict:
    return json.loads((folder / f"found-{rank}.json").read_text())


def test_two_processes_learn_the_weights_of_one(runs):
    one, two = (load_file(folder / "plain-0.safetensors") for folder in runs)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=CLOSE, rtol=0)


def test_two_processes_measure_what_one_measures_and_count_nothing_twice(runs):
    for one, two in zip(*(_found(folder)["plain"]["rows"] for folder in runs), strict=True):
        assert one.keys() == two.keys()
        for key in one.keys() - {"seconds"}:
            assert two[key] == pytest.approx(one[key], abs=CLOSE), key
    assert [_found(folder)["evaluated"] for folder in runs] == [7, 7]


def test_all_processes_end_with_the_same_model_and_history(runs):
    _, folder = runs
    for name in ("plain", "norm"):
        first, second = (load_file(folder / f"{name}-{rank}.safetensors") for rank in (0, 1))
        assert all(torch.equal(first[key], second[key]) for key in first)
        rows = [_found(folder, rank)[name]["rows"] for rank in (0, 1)]
        for one, two in zip(*rows, strict=True):
            assert {**one, "seconds": 0} == {**two, "seconds": 0}


def test_only_the_main_process_writes_and_all_can_read_back(runs):
    _, folder = runs
    assert _found(folder, 0)["saves"] == 4  # two models, two epochs
    assert _found(folder, 1)["saves"] == 0
    assert all(_found(folder, rank)["norm"]["read_back"] for rank in (0, 1))
