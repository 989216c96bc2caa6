"""Run notebooks again and compare every output with the stored one, through nbval."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lithe.notebooks.environment import ONE_THREAD

__all__ = ["nbval"]

ROOT = Path(__file__).resolve().parents[3]
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"


def nbval(paths: Sequence[str | Path], extra: Sequence[str] = ()) -> int:
    """Compare the outputs of notebooks with a new execution of them.

    A notebook without stored outputs would pass while comparing nothing: run
    :func:`lithe.notebooks.check` first.

    Args:
        paths: notebooks, or folders of them.
        extra: further arguments for pytest.

    Returns:
        Exit status of pytest; 0 when every output is the same.
    """
    # -c: the project's own settings (warnings as errors) are for its tests, not for notebooks
    settings = ["-c", os.devnull, "--rootdir", str(ROOT), "-p", "no:cacheprovider"]
    options = ["--nbval", "--nbval-current-env"]
    if SANITIZE.is_file():
        options += ["--nbval-sanitize-with", str(SANITIZE)]
    command = [sys.executable, "-m", "pytest", *settings, *options, *extra, *map(str, paths)]
    return subprocess.run(command, env={**os.environ, **ONE_THREAD}, check=False).returncode
