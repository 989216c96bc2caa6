"""How the tests of this folder start torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WAIT = 240  # seconds; on an idle machine it takes a tenth of that
STANDALONE = ("--standalone",)


def environment() -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    fixed = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths}
    return {**os.environ, **fixed}


def alone(*words: object) -> subprocess.Popen[str]:
    """A started Python, its output in one pipe."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def torchrun(
    *words: object, nodes: tuple[str, ...] = STANDALONE, each: int = 2
) -> subprocess.Popen[str]:
    """A started torchrun, likewise."""
    return alone("-m", "torch.distributed.run", *nodes, "--nproc-per-node", each, *words)


def finished(*started: subprocess.Popen[str]) -> None:
    """Wait for processes that are to succeed."""
    for process in started:
        said, _ = process.communicate(timeout=WAIT)
        assert process.returncode == 0, said
