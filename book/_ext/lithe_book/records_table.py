"""``{records-table}``: every measurement behind the book, one row for all seeds of a run."""

from __future__ import annotations

from itertools import groupby

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from lithe import ledger
from lithe.ledger.query import Answer

from .dependencies import book_folder, note_records
from .links import note_anchor
from .rows import Cell, line, record_anchor, table

__all__ = ["RecordsTable"]

LOGGER = logging.getLogger(__name__)
HEADS = ("Records", "Code", "Machine", "Cost")


class RecordsTable(SphinxDirective):
    """Option ``:paper:`` keeps one paper's records. The numbers of the book link to these rows."""

    option_spec = {"paper": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        pattern = f"{self.options.get('paper', '*')}/*/*/*"
        note_records(self.env, [pattern])
        try:
            records = ledger.find(pattern, book_folder(self.env))
        except ledger.LedgerError as error:
            LOGGER.warning(str(error), location=self.get_location(), type="lithe")
            return []
        if not records:
            return [line("Nothing has been measured here yet.")]
        rows = [self._row(anchor, list(group)) for anchor, group in groupby(records, record_anchor)]
        return [table("records", HEADS, rows, (40, 25, 20, 15))]

    def _row(self, anchor: str, records: list[ledger.Record]) -> tuple[str | None, list[Cell]]:
        last, answer = records[-1], Answer("", tuple(records))
        ids, commit, day = answer.provenance.removeprefix("record ").split("; ")
        metrics = ", ".join(sorted(last.metrics))
        current = all(ledger.is_current(record) for record in records)
        state = "source unchanged since" if current else "source has changed since"
        seconds = [record.cost.wall_s for record in records if record.cost.wall_s is not None]
        cost = f"{sum(seconds):.3g} s" if seconds else "not measured"
        name = nodes.literal(ids, ids)
        return anchor if note_anchor(self.env, anchor) else None, [
            [line(name), line(metrics, classes=["claim-place"])],
            [line(commit), line(state)],
            [line(last.env.device if last.env.device != "cpu" else last.env.cpu)],
            [line(cost), line(day)],
        ]
