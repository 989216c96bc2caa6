"""Tables out of cells that are lists of nodes."""

from __future__ import annotations

from collections.abc import Sequence

from docutils import nodes

from lithe.ledger import Record

__all__ = ["Cell", "details", "line", "record_anchor", "table"]

Cell = list[nodes.Node]


def table(
    kind: str,
    heads: Sequence[str],
    rows: Sequence[tuple[str | None, list[Cell]]],
    widths: Sequence[int],
) -> nodes.table:
    """A table of class ``kind``; each row is an anchor (or None) and one cell per column."""
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row(None, [[nodes.paragraph(text=head)] for head in heads]))
    group += nodes.tbody("", *(_row(anchor, cells) for anchor, cells in rows))
    return nodes.table("", group, classes=["ledger", kind])


def line(*content: nodes.Node | str, classes: Sequence[str] = ()) -> nodes.paragraph:
    """A paragraph out of texts and inline nodes."""
    inline = [nodes.Text(piece) if isinstance(piece, str) else piece for piece in content]
    return nodes.paragraph("", "", *inline, classes=list(classes))


def details(summary: str, *content: nodes.Node) -> Cell:
    """Content that opens on a click, or on a key: an HTML ``details`` element."""
    start = f"<details><summary>{summary}</summary>"
    return [
        nodes.raw("", start, format="html"),
        *content,
        nodes.raw("", "</details>", format="html"),
    ]


def record_anchor(record: Record) -> str:
    """The anchor of a record's row: one row holds all seeds of an experiment and profile."""
    return f"record-{record.paper}-{record.experiment}-{record.profile}".replace(".", "-")


def _row(anchor: str | None, cells: list[Cell]) -> nodes.row:
    entries = [nodes.entry("", *cell) for cell in cells]
    return nodes.row("", *entries, ids=[anchor] if anchor else [])
