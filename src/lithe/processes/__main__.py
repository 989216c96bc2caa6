"""Carry out a room's config on all processes that torchrun started.

``torchrun --nproc-per-node 2 -m lithe.processes lithe.dcff.run config.json``
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from importlib import import_module
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from lithe.experiments import exit_code, read_config
from lithe.files import write_json
from lithe.ledger.place import results_folder
from lithe.processes.group import wait_for_all
from lithe.processes.ranks import count, is_first

__all__ = ["carry_out", "main"]


def carry_out(module: str, config: BaseModel, root: str | Path | None = None) -> list[str]:
    """Measure all that a config asks for, as one of several processes or alone.

    Args:
        module: of the room: it has a function ``run`` of config and root.
        config: of that room.
        root: where records go.

    Returns:
        Ids of all records, old and new.

    Raises:
        ValueError: there is no such room.
    """
    room = _room(module)
    if count() == 1 or _knows_of_processes(room):
        return room.run(config, root=root)
    wait_for_all()
    found = _written_once(room, config, root)
    wait_for_all()
    return found


def _knows_of_processes(room: ModuleType) -> bool:
    return "processes" in signature(room.run).parameters


def _written_once(room: ModuleType, config: BaseModel, root: str | Path | None) -> list[str]:
    """For a room that knows of one process only: all run it, the first one's records are kept.

    The others write into a copy of the room's results, which is dropped, and leave out what is
    shown without training.
    """
    config = config.model_copy(update={"workers": 1})
    paper = str(room.__package__).rpartition(".")[2]
    with TemporaryDirectory(prefix="lithe-") as folder:
        if not is_first():
            place = results_folder(root, config.profile) / paper  # type: ignore[attr-defined]
            if place.is_dir():
                shutil.copytree(place, Path(folder) / "results" / paper)
            config, root = config.model_copy(update={"exhibits": ()}), folder
        wait_for_all()  # nobody writes while another one copies
        return _aside(lambda: room.run(config, root=root))


def _aside(measure: Callable[[], list[str]]) -> list[str]:
    """Only the first process draws progress bars."""
    if is_first():
        return measure()
    with redirect_stderr(io.StringIO()):
        return measure()


def _room(module: str) -> ModuleType:
    try:
        room = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # the room is there, something that it needs is not
        raise ValueError(f"no module {module!r}; give one such as lithe.dcff.run") from None
    if not (hasattr(room, "run") and (hasattr(room, "EXPERIMENTS") or hasattr(room, "Config"))):
        raise ValueError(f"{module} runs no configs; give a module such as lithe.dcff.run")
    return room


def _config(module: str) -> type[Any]:
    room = _room(module)
    return room.EXPERIMENTS.config if hasattr(room, "EXPERIMENTS") else room.Config


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text.

    Returns:
        0 on success, 1 when a run failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m lithe.processes", description=__doc__)
    parser.add_argument("module", help="of the room, such as lithe.dcff.run")
    parser.add_argument("config", help="a JSON file with the fields of its Config")
    parser.add_argument("--root", type=Path, help="where records go; the book's results")
    parser.add_argument("--ids", type=Path, help="also write the records' names there, as JSON")
    options = parser.parse_args(arguments)

    def request() -> None:
        config = read_config(options.config, _config(options.module))
        found = carry_out(options.module, config, options.root)
        if is_first():
            print("\n".join(found))
            if options.ids:
                write_json(options.ids, found)

    return exit_code(request)


if __name__ == "__main__":
    sys.exit(main())
