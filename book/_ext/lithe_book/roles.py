"""The inline roles: a measured number, a verdict, and a number that was not measured here."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from lithe import ledger
from lithe.ledger import query

from .chips import linked_chip
from .dependencies import book_folder, note_claims, note_records
from .links import link_to
from .rows import record_anchor

__all__ = ["ClaimRole", "GivenRole", "ResultRole"]

LOGGER = logging.getLogger(__name__)
SPLIT = re.compile(r"\s*(.*?)\s*(?:[|;]\s*([^|;]*?)\s*)?$", re.S)  # a semicolon in tables
KINDS = {
    "paper": "stated by the paper",
    "released": "stated by the released repository",
    "third party": "reported by others",
    "definition": "true by definition",
    "setting": "a setting of the run, not a result",
}


class _LedgerRole(SphinxRole):
    """Reports what the ledger refuses with file and line; ``-W`` turns that into a failed build."""

    def refused(self, error: Exception) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        LOGGER.warning(str(error), location=self.get_location(), type="lithe", subtype=self.name)
        return [nodes.problematic(self.rawtext, self.rawtext)], []


class ResultRole(_LedgerRole):
    """``{result}`records:field | how``` prints a number of the records; see lithe.ledger.query."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            asked = query.parse(self.text)
            note_records(self.env, asked.patterns)
            answer = query.answer(asked, book_folder(self.env))
        except ledger.LedgerError as error:
            return self.refused(error)
        anchor = record_anchor(answer.records[0])
        return [link_to(anchor, answer.text, answer.provenance, ["result"])], []


class ClaimRole(_LedgerRole):
    """``{claim}`id``` prints the verdict on a claim, linked to its row."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        root = book_folder(self.env)
        try:
            note_claims(self.env, self.text.partition(".")[0])
            claim = ledger.claim(self.text, root)
            note_records(self.env, [p for part in claim.comparisons for p in part.measure.patterns])
            found = ledger.verdict(claim, root)
        except ledger.LedgerError as error:
            return self.refused(error)
        return [linked_chip(found.verdict, f"{claim.says} {found.why}", claim.anchor)], []


class GivenRole(_LedgerRole):
    """``{given}`72.77M | released: results table``` prints a number that was not measured here."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        text, source = SPLIT.match(self.text).groups()
        kind, _, detail = (piece.strip() for piece in (source or "").partition(":"))
        if not text or kind not in KINDS:
            known = ", ".join(KINDS)
            problem = f"given: write number | source, source one of {known}; got {self.text!r}"
            return self.refused(ValueError(problem))
        title = f"{KINDS[kind]}: {detail}" if detail else KINDS[kind]
        return [nodes.abbreviation(text, text, explanation=title, classes=["given"])], []
