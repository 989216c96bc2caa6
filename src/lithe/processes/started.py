"""Run a room's config on several processes, from Python or a notebook."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from lithe.files import write_atomic
from lithe.processes.launch import launch
from lithe.processes.ranks import wanted

__all__ = ["run"]


def run(
    module: str,
    config: BaseModel,
    processes: int | None = 2,
    *,
    root: str | Path | None = None,
    show: Callable[[str], object] | None = None,
    progress: bool | None = None,
) -> list[str]:
    """Measure all that a config asks for, each training spread over processes of this machine.

    As ``torchrun --nproc-per-node 2 -m lithe.processes lithe.dcff.run config.json``. What is on
    record is not run again, and each record is written once.

    Args:
        module: of the room, such as ``"lithe.dcff.run"``.
        config: of that room.
        processes: how many; ``None`` takes the environment's ``LITHE_PROCESSES``, or 1.
        root: where records go, as for the room's own ``run``.
        show: see :func:`lithe.processes.launch`.
        progress: likewise.

    Returns:
        Ids of all records, old and new.

    Raises:
        ValueError: ``processes`` is no whole number from 1 up, or ``module`` is a notebook's own.
        ProcessesError: the run failed; what is on record stays.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    if module == "__main__":
        raise ValueError("other processes cannot import what a notebook or script defines itself")
    with TemporaryDirectory(prefix="lithe-") as folder:
        asked, answer = Path(folder) / "config.json", Path(folder) / "ids.json"
        write_atomic(asked, config.model_dump_json())
        arguments = [module, str(asked), "--ids", str(answer)]
        if root is not None:
            arguments += ["--root", str(Path(root).absolute())]
        launch("lithe.processes", arguments, wanted(processes), show=show, progress=progress)
        return json.loads(answer.read_bytes())
