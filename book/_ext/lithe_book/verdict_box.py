"""``{verdict-box}``: the claims of a chapter by verdict, what they cost us, and the last run."""

from __future__ import annotations

from collections import Counter

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from lithe import ledger

from .chips import chip
from .dependencies import book_folder, note_claims, note_records
from .rows import line

__all__ = ["VerdictBox"]

LOGGER = logging.getLogger(__name__)


class VerdictBox(SphinxDirective):
    """Option ``:paper:``, the key of the claims file; without it all papers are counted."""

    option_spec = {"paper": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        root, paper = book_folder(self.env), self.options.get("paper")
        note_claims(self.env, paper)
        note_records(self.env, [f"{paper or '*'}/*/*/*"])
        try:
            found = [v for v in ledger.verdicts(root) if paper in (None, v.claim.paper)]
            records = ledger.find(f"{paper or '*'}/*/*/*", root)
            if not found:
                raise ledger.LedgerError(f"verdict-box: no claims of paper {paper!r}")
        except ledger.LedgerError as error:
            LOGGER.warning(str(error), location=self.get_location(), type="lithe")
            return []
        counts = Counter(verdict.verdict for verdict in found)
        chips: list[nodes.Node | str] = [f"{len(found)} claims: "]
        for verdict in ledger.VERDICTS:
            if counts[verdict]:
                chips += [chip(verdict, counts[verdict]), " "]
        box = [line("Verdict", classes=["verdict-box-title"]), line(*chips), line(_cost(records))]
        return [nodes.container("", *box, classes=["verdict-box"])]


def _cost(records: list[ledger.Record]) -> str:
    if not records:
        return "Nothing has been measured here yet."
    seconds = sum(record.cost.wall_s or 0 for record in records)
    machines = sorted({r.env.cpu if r.env.device == "cpu" else r.env.device for r in records})
    day = max(record.time for record in records).date().isoformat()
    spent = f"{len(records)} records in {_duration(seconds)} of computing on {', '.join(machines)}"
    return f"Our cost: {spent}. Last run: {day}."


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
