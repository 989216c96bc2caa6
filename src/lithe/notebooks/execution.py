"""Execute a notebook in place: in its own folder, on one thread, and in silence."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lithe.files import write_atomic
from lithe.notebooks.environment import ONE_THREAD, applied
from lithe.notebooks.tidying import tidy
from lithe.profiles import PROFILES, nearest

__all__ = ["NotebookError", "execute", "run_cells", "set_profile"]


ANSI = re.compile(r"\x1b\[[0-9;]*m")  # the colours of a traceback


class NotebookError(RuntimeError):
    """A cell failed, or wrote to stderr; the message names the cell and shows the traceback."""


def execute(path: str | Path, *, profile: str = "smoke") -> None:
    """Execute an ``.ipynb`` and write the outputs into it; on an error the file stays as it was.

    The kernel starts in the notebook's folder with one thread and a fixed hash seed. With another
    profile than ``"smoke"`` the value runs but the parameters cell keeps its text.

    Args:
        path: the notebook.
        profile: what ``profile`` in the parameters cell is set to.

    Raises:
        NotebookError: a cell raised, or wrote to stderr (a warning is a defect in the book).
        FileNotFoundError: there is no such notebook.
        ValueError: the profile is unknown, or the notebook has no ``profile`` to set.
    """
    path = Path(path)
    notebook = nbformat.read(path, as_version=4)
    text = set_profile(notebook, profile)
    run_cells(notebook, path)
    if text is not None:
        _parameters_cell(notebook).source = text
    tidy(notebook)
    write_atomic(path, nbformat.writes(notebook) + "\n")


def run_cells(notebook: NotebookNode, path: Path) -> None:
    """Execute all cells of ``notebook`` (changed in place) as if it lay at ``path``.

    Raises:
        NotebookError: as :func:`execute`.
    """
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    client = NotebookClient(
        notebook,
        timeout=None,
        resources={"metadata": {"path": str(path.resolve().parent)}},
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=40"],  # the kernel's start-up notes are no output
    )
    try:
        with applied(ONE_THREAD), warnings.catch_warnings():
            # nbclient and its clients open event loops and sockets that they close late
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            client.execute()
    except NoSuchKernel as error:
        raise NotebookError(f"{path.name}: {error}; use the kernelspec name: python3") from error
    except (CellExecutionError, DeadKernelError) as error:
        where = _failing_cell(notebook)
        plain = ANSI.sub("", str(error))
        raise NotebookError(f"{path.name}, {where}: {plain}") from error
    _refuse_stderr(notebook, path)


def set_profile(notebook: NotebookNode, profile: str) -> str | None:
    """Put ``profile`` into the parameters cell.

    Returns:
        The text the cell had before, or ``None`` if nothing had to change.

    Raises:
        ValueError: the profile is unknown, or there is no line ``profile = "smoke"`` to replace.
    """
    if profile not in PROFILES:
        raise ValueError(
            f"unknown profile {profile!r}: use one of {', '.join(PROFILES)}"
            + nearest(profile, PROFILES)
        )
    if profile == "smoke":  # what every committed notebook says
        return None
    cell = _parameters_cell(notebook)
    before = cell.source if cell is not None else ""
    if 'profile = "smoke"' not in before:
        raise ValueError('no cell tagged "parameters" with the line: profile = "smoke"')
    cell.source = before.replace('profile = "smoke"', f'profile = "{profile}"', 1)
    return before


def _parameters_cell(notebook: NotebookNode) -> NotebookNode | None:
    tagged = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    return next(tagged, None)


def _failing_cell(notebook: NotebookNode) -> str:
    for number, cell in enumerate(notebook.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"cell {number}"
    return "a cell that ended the kernel"


def _refuse_stderr(notebook: NotebookNode, path: Path) -> None:
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise NotebookError(
                    f"{path.name}, cell {number} wrote to stderr, which a reader would see: "
                    f"{output.text.strip()}"
                )
