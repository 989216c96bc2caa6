"""Is the ``.ipynb`` the twin of its ``.py``?

``jupytext --test`` and ``--diff`` exit 0 on pairs that are out of sync, so the cells themselves
are compared: type, source, tags and book metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from nbformat import NotebookNode

from lithe.notebooks.problem import Problem
from lithe.notebooks.refreshing import read_source, read_twin

__all__ = ["pairing"]

PAIRED_METADATA = ("tags", "mystnb")


def pairing(path: Path) -> list[Problem]:
    """Compare ``NN_name.ipynb`` with ``NN_name.py``, cell by cell.

    Returns:
        The first cell that differs, or the missing half; empty when the two are in sync.
    """
    source, target = path.with_suffix(".py"), path.with_suffix(".ipynb")
    for half in (source, target):
        if not half.is_file():
            return [Problem(half.name, "pairing", "missing half of a pair; run make refresh")]
    twin = read_twin(target)
    if twin is None:
        text = "not readable as a notebook (a merge conflict?); run make refresh"
        return [Problem(target.name, "pairing", text)]
    return [
        Problem(target.name, "pairing", f"{what}; the .py is the truth: run make refresh", number)
        for number, what in _first_difference(read_source(source), twin)
    ]


def _first_difference(
    source: NotebookNode, target: NotebookNode
) -> Iterator[tuple[int | None, str]]:
    if source.metadata.get("kernelspec") != target.metadata.get("kernelspec"):
        yield None, "kernelspec differs from the .py header"
        return
    for number, (left, right) in enumerate(zip_longest(source.cells, target.cells)):
        if left is None or right is None:
            missing = "the .py" if left is None else "the .ipynb"
            yield number, f"{missing} has only {number} cells"
            return
        for part, a, b in zip(("type", "source", *PAIRED_METADATA), _key(left), _key(right)):
            if a != b:
                yield number, f"{part} differs from the .py"
                return


def _key(cell: NotebookNode) -> tuple:
    metadata = (cell.metadata.get(name) for name in PAIRED_METADATA)
    return (cell.cell_type, cell.source, *metadata)
