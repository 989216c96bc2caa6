"""Metadata that says nothing about the work, and would change on every execution; large figures."""

from __future__ import annotations

from nbformat import NotebookNode

from lithe.notebooks.pictures import shrink

__all__ = ["tidy"]

NOTEBOOK_NOISE = ("papermill", "widgets")
CELL_NOISE = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled")


def tidy(notebook: NotebookNode, *, pair: bool = True) -> None:
    """Drop widget state, timings and versions of the kernel, and store charts small (in place).

    Args:
        notebook: an executed notebook.
        pair: the notebook stays a jupytext pair; ``False`` for a run outside ``notebooks/``,
            which loses its ``jupytext`` metadata so that no editor pairs it.
    """
    for key in (*NOTEBOOK_NOISE, *(() if pair else ("jupytext",))):
        notebook.metadata.pop(key, None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    for cell in notebook.cells:
        for key in CELL_NOISE:
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]  # papermill adds an empty list to every cell
        _drop_progress_widgets(cell)
        shrink(cell)


def _drop_progress_widgets(cell: NotebookNode) -> None:
    for output in cell.get("outputs", []):
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
