"""Verdicts: every claim put to its test with the records that are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lithe.ledger.claim_files import claims
from lithe.ledger.errors import LedgerError
from lithe.ledger.judging import Finding, claimed_text, judge, judge_order
from lithe.ledger.sampling import Sample, gather
from lithe.ledger.schema import Claim, Part

__all__ = ["VERDICTS", "Verdict", "verdict", "verdicts"]

VERDICTS = ("reproduced", "partly", "not reproduced", "contradicted", "not run")


@dataclass(frozen=True)
class Verdict:
    """What the records say about one claim.

    Attributes:
        claim_id: id of the claim.
        verdict: one of ``VERDICTS``.
        paper: the value that the paper states, as text.
        ours: the value measured here, as text; a dash where nothing was measured.
        why: one sentence with the numbers.
        claim: the claim itself.
        findings: one for each comparison of the claim.
        samples: the numbers behind each finding.
    """

    claim_id: str
    verdict: str
    paper: str
    ours: str
    why: str
    claim: Claim = field(repr=False)
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    samples: tuple[tuple[Sample, ...], ...] = field(default=(), repr=False)

    @property
    def record_ids(self) -> list[str]:
        """Ids of all records that the verdict rests on, controls included."""
        found = [r.id for group in self.samples for sample in group for r in sample.records]
        return list(dict.fromkeys(found))


def verdicts(root: str | Path | None = None) -> list[Verdict]:
    """The verdict on every claim of the book, in the order of the claims files.

    Args:
        root: the book folder; default :func:`lithe.ledger.place.book_root`.

    Raises:
        LedgerError: a claims file or a record is damaged, or a claim has neither its records nor a
            command that would make them.
    """
    return [verdict(claim, root) for claim in claims(root)]


def verdict(claim: Claim, root: str | Path | None = None) -> Verdict:
    """Put one claim to its test; see :mod:`lithe.ledger.judging` for what each test says."""
    parts = claim.comparisons
    samples = tuple(_samples(part, root) for part in parts)
    if not parts:
        findings = (Finding("not run", "–", claim.blocked or ""),)
    else:
        findings = tuple(_finding(claim, part, group) for part, group in zip(parts, samples))
    paper = "; ".join(_named(p.name, claimed_text(p)) for p in parts) or _stated(claim)
    word = combine([finding.verdict for finding in findings])
    names = [part.name for part in parts] or [""]
    ours = "; ".join(_named(name, f.ours) for name, f in zip(names, findings))
    ours = "–" if word == "not run" else ours
    why = "; ".join(_named(name, f.why) for name, f in zip(names, findings))
    if len({finding.why for finding in findings}) == 1:
        why = findings[0].why
    return Verdict(claim.id, word, paper, ours, why, claim, findings, samples)


def combine(words: list[str]) -> str:
    """One verdict out of those on the parts of a claim.

    All the same: that. Some part reproduced, or judged ``partly``: ``partly``. Otherwise the
    gravest of what is left: contradicted, not reproduced, not run.
    """
    if len(set(words)) == 1:
        return words[0]
    if {"reproduced", "partly"} & set(words):
        return "partly"
    return "contradicted" if "contradicted" in words else "not reproduced"


def _samples(part: Part, root: str | Path | None) -> tuple[Sample, ...]:
    m = part.measure
    patterns = m.records if isinstance(m.records, list) else [m.records]
    return tuple(
        gather(
            pattern,
            m.field,
            against=m.against,
            against_field=m.against_field,
            compare=m.compare,
            scale=m.scale,
            root=root,
        )
        for pattern in patterns
    )


def _finding(claim: Claim, part: Part, samples: tuple[Sample, ...]) -> Finding:
    if not all(sample.rows for sample in samples):
        return _not_run(claim, part)
    if part.test.kind == "order":
        return judge_order(part, list(samples))
    finding = judge(part, samples[0], exact=claim.tier == "T0")
    if samples[0].unpaired:
        left = ", ".join(samples[0].unpaired)
        return Finding(finding.verdict, finding.ours, f"{finding.why}; without a partner: {left}")
    return finding


def _not_run(claim: Claim, part: Part) -> Finding:
    if claim.blocked:
        return Finding("not run", "–", claim.blocked)
    if not claim.command:
        missing = ", ".join(part.measure.patterns)
        raise LedgerError(
            f"claim {claim.id}: no record for {missing}, and no command that would make it"
        )
    return Finding("not run", "–", f"to run: {claim.command} ({claim.cost})")


def _named(name: str, text: str) -> str:
    return f"{name}: {text}" if name else text


def _stated(claim: Claim) -> str:
    value = claim.claimed
    if value is None:
        return "–"
    words = value.value if isinstance(value.value, str) else str(value.value)
    return f"{words} {value.unit}".strip()
