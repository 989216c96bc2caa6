"""Stage 3 under torchrun: two processes learn what one learns, and end alike."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("shared_stage3.py")
CLOSE = 1e-6  # float32 sums in another order
ONE_PROCESS_ONLY = ("running_mean", "running_var", "num_batches_tracked")  # see lithe.training.fit


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes leave behind."""
    folder = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = subprocess.run(
        [sys.executable, *launcher, SCRIPT, folder],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_learn_what_one_learns(together, tmp_path):
    """One process takes the same two pieces of each batch one after the other."""
    shared = runpy.run_path(str(SCRIPT))
    shared["train"](tmp_path, 2, shared["OwnNoise"])
    one, two = (load_file(f / "OwnNoise-0.safetensors") for f in (tmp_path, together))
    compared = [name for name in one if not name.endswith(ONE_PROCESS_ONLY)]
    assert len(compared) > 100
    for name in compared:
        torch.testing.assert_close(two[name], one[name], atol=CLOSE, rtol=0, msg=name)
    losses = [json.loads((f / "OwnNoise-0.json").read_text()) for f in (tmp_path, together)]
    assert losses[1] == pytest.approx(losses[0], abs=CLOSE)
    assert len(losses[0]) == 2


@pytest.mark.parametrize("kind", ["OwnNoise", "DiffusionStep"])
def test_all_processes_end_with_the_same_model_and_losses(together, kind):
    first, second = (load_file(together / f"{kind}-{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    texts = {(together / f"{kind}-{rank}.json").read_text() for rank in (0, 1)}
    assert len(texts) == 1
