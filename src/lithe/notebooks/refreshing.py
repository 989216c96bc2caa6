"""Make the executed twin of a ``.py`` notebook."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from jupytext.config import load_jupytext_config
from nbformat import NotebookNode

from lithe.files import write_atomic
from lithe.notebooks import stamp
from lithe.notebooks.execution import run_cells
from lithe.notebooks.tidying import tidy

__all__ = ["combine", "read_source", "read_twin", "refresh"]


def refresh(source: str | Path) -> Path:
    """Execute a percent-format ``.py`` at smoke and write its ``.ipynb`` twin, stamped.

    Cells keep the ids they had; new ones get an id made from their text. Nothing is written
    unless every cell ran without an error and without a word on stderr.

    Args:
        source: ``notebooks/NN_name.py``.

    Returns:
        Path of the notebook.

    Raises:
        NotebookError: a cell failed or wrote to stderr.
        ValueError: ``source`` has no kernelspec with a language in its header.
    """
    source = Path(source)
    target = source.with_suffix(".ipynb")
    notebook = combine(read_source(source), target)
    started = time.perf_counter()
    run_cells(notebook, source)
    seconds = time.perf_counter() - started
    tidy(notebook)
    notebook.metadata["lithe"] = {"executed": stamp.make(notebook, target, seconds)}
    nbformat.validate(notebook)
    return write_atomic(target, nbformat.writes(notebook) + "\n")


def read_source(source: Path) -> NotebookNode:
    """Read a percent-format file under the ``jupytext.toml`` that governs it.

    Raises:
        ValueError: the header lacks what papermill and GitHub need.
    """
    notebook = jupytext.read(source, config=load_jupytext_config(str(source)))
    if not notebook.metadata.get("kernelspec", {}).get("language"):
        raise ValueError(
            f"{source.name}: the header needs a kernelspec with display_name, language: python "
            "and name: python3 (papermill stops without them)"
        )
    return notebook


def combine(notebook: NotebookNode, target: Path) -> NotebookNode:
    """Give the cells of ``notebook`` the ids they have in ``target``, or ones made from text."""
    known: set[str] = set()
    before = read_twin(target)
    if before is not None:
        known = {cell.id for cell in before.cells if "id" in cell}
        notebook = combine_inputs_with_outputs(notebook, before, fmt="ipynb")
    notebook.nbformat, notebook.nbformat_minor = 4, 5  # the first version with cell ids
    notebook.metadata.get("jupytext", {}).pop("text_representation", None)
    used = set()
    for cell in notebook.cells:
        if cell.get("id") not in known or cell.id in used:
            cell.id = _fresh_id(cell, used | known)
        used.add(cell.id)
    return notebook


def read_twin(target: Path) -> NotebookNode | None:
    """Read an ``.ipynb``; ``None`` where there is none or a merge conflict made it unreadable."""
    try:
        return nbformat.read(target, as_version=4)
    except (FileNotFoundError, ValueError, nbformat.reader.NotJSONError):
        return None


def _fresh_id(cell: NotebookNode, taken: set[str]) -> str:
    for attempt in range(len(taken) + 1):
        text = f"{attempt}\0{cell.cell_type}\0{cell.source}"
        candidate = hashlib.sha256(text.encode()).hexdigest()[:8]
        if candidate not in taken:
            return candidate
    raise AssertionError("more ids taken than there are")  # pragma: no cover
