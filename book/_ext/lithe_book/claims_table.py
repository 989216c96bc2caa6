"""``{claims-table}``: the claims of the ledger with what was measured, verdict and command."""

from __future__ import annotations

from collections.abc import Callable

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from lithe import ledger
from lithe.ledger.judging import claimed_text

from .chips import chip
from .dependencies import book_folder, note_claims, note_records
from .links import note_anchor
from .rows import Cell, details, line, table

__all__ = ["ClaimsTable"]

LOGGER = logging.getLogger(__name__)
HEADS = ("Claim", "Paper", "Here", "Verdict")
TIERS = ("T0", "T1", "T2", "T3")


def _one_of(choices: tuple[str, ...]) -> Callable[[str | None], str]:
    """An option that takes one of ``choices``; docutils' own would turn them to lower case."""

    def checked(argument: str | None) -> str:
        if argument is None or argument.strip() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}; got {argument!r}")
        return argument.strip()

    return checked


class ClaimsTable(SphinxDirective):
    """Options ``:paper:``, ``:tier:`` and ``:verdict:`` each keep only what matches.

    ``:only:`` keeps claims whose id begins with one of its words, ``:without:`` drops them.
    """

    option_spec = {  # noqa: RUF012
        "paper": directives.unchanged_required,
        "tier": _one_of(TIERS),
        "verdict": _one_of(ledger.VERDICTS),
        "only": directives.unchanged_required,
        "without": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        try:
            found = [verdict for verdict in self._verdicts() if self._wanted(verdict)]
        except ledger.LedgerError as error:
            LOGGER.warning(str(error), location=self.get_location(), type="lithe")
            return []
        if not found:
            return [line("No claim of this kind.")]
        rows = [self._row(verdict) for verdict in found]
        return [table("claims", HEADS, rows, (46, 18, 18, 18))]

    def _verdicts(self) -> list[ledger.Verdict]:
        root, paper = book_folder(self.env), self.options.get("paper")
        note_claims(self.env, paper)
        claims = [c for c in ledger.claims(root) if paper in (None, c.paper)]
        if paper and not claims:
            raise ledger.LedgerError(f"claims-table: no claims of paper {paper!r}")
        parts = [part for claim in claims for part in claim.comparisons]
        note_records(self.env, {p for part in parts for p in part.measure.patterns})
        return [ledger.verdict(claim, root) for claim in claims]

    def _wanted(self, found: ledger.Verdict) -> bool:
        tier, verdict = self.options.get("tier"), self.options.get("verdict")
        only, without = (tuple(self.options.get(x, "").split()) for x in ("only", "without"))
        named = not only or found.claim.id.startswith(only)
        dropped = bool(without) and found.claim.id.startswith(without)
        return (
            named
            and not dropped
            and tier in (None, found.claim.tier)
            and verdict in (None, found.verdict)
        )

    def _row(self, found: ledger.Verdict) -> tuple[str | None, list[Cell]]:
        claim = found.claim
        anchor = claim.anchor if note_anchor(self.env, claim.anchor) else None
        name = nodes.literal(claim.id, claim.id)
        what = [
            line(claim.says),
            line(name, f" · {claim.tier} · {claim.where}", classes=["claim-place"]),
            *details("why, and how to run it", *_how(found)),
        ]
        paper, ours = _values(found)
        return anchor, [what, paper, ours, [line(chip(found.verdict))]]


def _values(found: ledger.Verdict) -> tuple[Cell, Cell]:
    """What the paper says and what we measured, a line for each part of the claim."""
    parts = found.claim.comparisons
    if not parts:
        return [line(found.paper)], [line(found.ours)]
    names = [f"{part.name}: " if part.name else "" for part in parts]
    paper = [line(name + claimed_text(part)) for name, part in zip(names, parts)]
    if found.verdict == "not run":
        return paper, [line(found.ours)]
    return paper, [line(name + f.ours) for name, f in zip(names, found.findings)]


def _how(found: ledger.Verdict) -> list[nodes.Node]:
    """The sentences with the numbers, the tests with their reasons, the command and its cost."""
    claim = found.claim
    lines = _reasons(found)
    if claim.control:
        lines.append(line(f"Control: {claim.control}."))
    lines += [line(f"Reported by {t.source}: {t.value}; {t.note}.") for t in claim.third_party]
    if claim.note:
        lines.append(line(f"Note: {claim.note}."))
    if claim.command:
        lines.append(line(nodes.literal(claim.command, claim.command), f" ({claim.cost})"))
    if claim.deviation:
        lines.append(line("Deviation ", _reference(claim.deviation), "."))
    return lines


def _reasons(found: ledger.Verdict) -> list[nodes.Node]:
    claim = found.claim
    told = [f"{f.why[:1].upper()}{f.why[1:]}." for f in found.findings if f.verdict != "not run"]
    tests = [f"Test: {p.test.kind.replace('_', ' ')}; {p.test.reason}." for p in claim.comparisons]
    blocked = [f"Not run: {claim.blocked}."] if claim.blocked else []
    return [line(text) for text in dict.fromkeys([*told, *blocked, *tests])]


def _reference(deviation: str) -> nodes.Node:
    """A link to the entry of the register of deviations."""
    return addnodes.pending_xref(
        "",
        nodes.inline(deviation, deviation),
        refdomain="std",
        reftype="ref",
        reftarget=deviation.lower(),
        refexplicit=True,
    )
