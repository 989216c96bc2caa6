"""The freshness stamp: what the stored outputs of a notebook were made from.

``jupytext --sync`` and ``--update`` keep the outputs of a cell whose code was edited. The stamp in
``metadata.lithe.executed`` lets a test tell such stale outputs from fresh ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode

from lithe.notebooks.imports import PACKAGE, source_files

__all__ = ["code_sha256", "lock_sha256", "make", "read", "src_sha256"]

LOCK = PACKAGE.parents[1] / "requirements.lock"


def make(notebook: NotebookNode, path: Path, seconds: float) -> dict[str, str | float]:
    """Describe an execution that has just happened.

    Args:
        notebook: the executed notebook.
        path: where it lives; ``params/<stem>/smoke.yaml`` beside it counts as its code.
        seconds: wall time of the execution.
    """
    return {
        "code_sha256": code_sha256(notebook, path),
        "src_sha256": src_sha256(notebook),
        "lock_sha256": lock_sha256(),
        "seconds": round(seconds, 1),
    }


def read(notebook: NotebookNode) -> dict[str, str | float]:
    """The stamp of a notebook; empty when it was never executed by ``refresh``."""
    return dict(notebook.metadata.get("lithe", {}).get("executed", {}))


def code_sha256(notebook: NotebookNode, path: Path) -> str:
    """Hash the code cells in order, and the smoke profile that they are run with."""
    profile = path.parent / "params" / path.stem / "smoke.yaml"
    cells = [cell.source.encode() for cell in _code_cells(notebook)]
    return _digest([*cells, *([_text(profile)] if profile.is_file() else [])])


def src_sha256(notebook: NotebookNode, package: Path = PACKAGE) -> str:
    """Hash the source files that the notebook rests on; see :mod:`lithe.notebooks.imports`."""
    code = "\n".join(_plain_python(cell.source) for cell in _code_cells(notebook))
    files = source_files(code, package)
    return _digest(
        part
        for file in files
        for part in (file.relative_to(package).as_posix().encode(), _text(file))
    )


def lock_sha256() -> str:
    """Hash ``requirements.lock``; an empty string where there is none."""
    return _digest([_text(LOCK)]) if LOCK.is_file() else ""


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _plain_python(source: str) -> str:
    """Blank out magics and shell lines, which are no Python."""
    if source.startswith(("%%bash", "%%sh", "%%html", "%%writefile")):
        return ""
    return "\n".join("" if line.lstrip()[:1] in "%!" else line for line in source.splitlines())


def _text(path: Path) -> bytes:
    return path.read_bytes().replace(b"\r\n", b"\n")  # the same hash whatever git did on checkout


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
