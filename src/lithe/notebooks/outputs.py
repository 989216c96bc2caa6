"""Checks on stored outputs: there, in order, quiet, small, and the same on every machine."""

from __future__ import annotations

import ast
import base64
import json
import re
from collections.abc import Iterator
from itertools import count

from nbformat import NotebookNode

__all__ = ["CHECKS", "Finding"]

PNG_LIMIT = 60_000  # bytes, decoded
IMAGES = ("image/png", "image/jpeg", "image/svg+xml", "image/gif")
WIDGET = "application/vnd.jupyter.widget-view+json"
ABSOLUTE = re.compile(
    r"(?<![\w./:-])/(?:home|Users|work|tmp|root|mnt|var|opt|usr|private|content|data)/[\w.-]+"
    r"|\b[A-Za-z]:\\+\w+"
    r"|\bfile://"
)

Finding = tuple[int | None, str]  # cell number and message


def execution_order(notebook: NotebookNode) -> Iterator[Finding]:
    """Every code cell has been run, from top to bottom, in one go: counts 1..n."""
    expected = count(1)
    for number, cell in _code(notebook):
        due, has = next(expected), cell.get("execution_count")
        if has != due:
            yield number, f"execution count is {has}, should be {due}: not executed top to bottom"


def present(notebook: NotebookNode) -> Iterator[Finding]:
    """A cell that prints, shows a figure or ends in a value has an output."""
    for number, cell in _code(notebook):
        if not cell.outputs and _speaks(cell.source):
            yield number, "prints, shows or ends in a value, but no output is stored"


def quiet(notebook: NotebookNode) -> Iterator[Finding]:
    """No stderr, and no error but in a cell tagged ``raises-exception``."""
    for number, cell in _code(notebook):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield number, f"output on stderr: {output.text.strip()[:120]}"
            expected = "raises-exception" in cell.metadata.get("tags", [])
            if output.output_type == "error" and not expected:
                yield number, f"stored error {output.ename}: {output.evalue}"


def widgets(notebook: NotebookNode) -> Iterator[Finding]:
    """No widget state: it is large, and dead without a kernel."""
    if "widgets" in notebook.metadata:
        yield None, "widget state in the metadata (a progress bar?)"
    for number, cell in _code(notebook):
        if any(WIDGET in output.get("data", {}) for output in cell.outputs):
            yield number, "a widget as output (a progress bar?)"


def paths(notebook: NotebookNode) -> Iterator[Finding]:
    """No absolute path, in a source or in an output."""
    for number, cell in enumerate(notebook.cells):
        for text in (cell.source, *(_text(output) for output in cell.get("outputs", []))):
            found = ABSOLUTE.search(text)
            if found:
                yield number, f"absolute path {found.group()!r}: it holds on one machine only"


def pictures(notebook: NotebookNode) -> Iterator[Finding]:
    """Every picture has alt text, and no PNG is above its budget."""
    for number, cell in _code(notebook):
        shown = [output.data for output in cell.outputs if _is_picture(output)]
        if shown and not _alt(cell).strip():
            yield number, "a picture without alt text: add mystnb={'image': {'alt': ...}}"
        for data in shown:
            size = len(base64.b64decode(data["image/png"])) if "image/png" in data else 0
            if size > PNG_LIMIT:
                yield number, f"PNG of {size} bytes, at most {PNG_LIMIT}: lower dpi or size"


CHECKS = {
    "execution-order": execution_order,
    "outputs-present": present,
    "quiet": quiet,
    "widgets": widgets,
    "absolute-path": paths,
    "pictures": pictures,
}


def _code(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    cells = enumerate(notebook.cells)
    return ((number, cell) for number, cell in cells if cell.cell_type == "code")


def _speaks(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:  # magics: their output cannot be told from the text
        return False
    if any(_calls(statement, {"print", "show", "display"}) for statement in body):
        return True
    last = body[-1] if body else None
    silent = source.rstrip().endswith(";")
    constant = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call | ast.Constant)
    return isinstance(last, ast.Expr) and not constant and not silent


def _calls(statement: ast.stmt, names: set[str]) -> bool:
    """Does a statement that always runs call one of ``names``?"""
    if isinstance(statement, ast.With):
        return any(_calls(inner, names) for inner in statement.body)
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    called = statement.value.func
    return getattr(called, "id", getattr(called, "attr", "")) in names


def _is_picture(output: NotebookNode) -> bool:
    return any(kind in output.get("data", {}) for kind in IMAGES)


def _alt(cell: NotebookNode) -> str:
    image = cell.metadata.get("mystnb", {}).get("image", {})
    return str(image.get("alt", ""))


def _text(output: NotebookNode) -> str:
    """All text of an output; encoded pictures are left out."""
    parts = [output.get("text", ""), *output.get("traceback", [])]
    for kind, data in output.get("data", {}).items():
        if not kind.startswith("image/") or kind == "image/svg+xml":
            parts.append(data if isinstance(data, str) else json.dumps(data))
    return "\n".join(parts)
