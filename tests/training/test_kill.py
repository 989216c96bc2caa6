from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("killed_run.py")
KILLS = 6


def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, str(KILLS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= KILLS // 2, "hardly any child lived to be killed"
    whole, resumed = (load_file(tmp_path / f"{x}.safetensors") for x in ("whole", "resumed"))
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
