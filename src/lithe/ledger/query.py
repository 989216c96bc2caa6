"""The little language in which prose asks for a number: ``records:field | how | format``.

=============================================  ==================================================
``dcff/bench/small/0:scoring_speedup``         the number of one record, rounded by its unit
``…:params | .2f``                             with a format specification (or ``k M G B T``)
``…:top1 | nounit``                            without its unit
``dcff/x/small/*:top1 | mean``                 mean ± 95% interval over a glob; also ``median``,
                                               ``min``, ``max``, ``sum``
``…:top1 | n``                                 how many items each number is over; ``seeds``: how
                                               many records match
``dcff/x/small/*:top1 - dcff/y/small/*:top1``  paired on the seed: mean difference and interval
``… / …``                                      the same, of the ratio
=============================================  ==================================================

After a subtraction the pipe may repeat ``diff``, after a division ``ratio``. In the cell of a
Markdown table a pipe would end the cell: there a semicolon stands for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lithe.ledger.errors import LedgerError
from lithe.ledger.formatting import count, number, plus_minus, with_unit
from lithe.ledger.records import Record
from lithe.ledger.sampling import Sample, gather

__all__ = ["Answer", "Query", "answer", "parse"]

FIXED = "\N{NO-BREAK SPACE}"
AGGREGATES = ("mean", "median", "min", "max", "sum", "n", "seeds")
COMPARES = {"-": "difference", "\N{MINUS SIGN}": "difference", "/": "ratio"}
EXPLICIT = {"diff": "difference", "ratio": "ratio"}
SIDE = r"([^\s:|]+/[^\s:|]+):([A-Za-z0-9_.-]+)"
EXPRESSION = re.compile(rf"{SIDE}(?:\s+([-/\u2212])\s+{SIDE})?")
FORMAT = re.compile(r",?(\.\d)?[dfge%]?|[kMGBT]")


@dataclass(frozen=True)
class Query:
    """A parsed question; ``compare`` is None without a second side."""

    records: str
    field: str
    against: str | None = None
    against_field: str | None = None
    compare: str | None = None
    aggregate: str | None = None
    spec: str | None = None
    unit: bool = True

    @property
    def patterns(self) -> list[str]:
        """The record ids and globs that the answer depends on."""
        return [self.records] + ([self.against] if self.against else [])


@dataclass(frozen=True)
class Answer:
    """The number as printed, and the records it came from."""

    text: str
    records: tuple[Record, ...]

    @property
    def provenance(self) -> str:
        """Records, commits and last date, for whoever asks where the number is from."""
        groups: dict[str, list[str]] = {}
        for record in self.records:
            group, _, seed = record.id.rpartition("/")
            groups.setdefault(group, []).append(seed)
        ids = ", ".join(f"{group}/{_seeds(seeds)}" for group, seeds in groups.items())
        commits = sorted({_commit(record) for record in self.records})
        day = max(record.time for record in self.records).date().isoformat()
        return f"record {ids}; commit {', '.join(commits)}; {day}"


def parse(text: str) -> Query:
    """Read a question.

    Raises:
        LedgerError: it does not follow the grammar; the message says which word does not.
    """
    expression, *pipes = (piece.strip() for piece in re.split(r"[|;]", text))
    found = EXPRESSION.fullmatch(expression)
    if not found:
        raise LedgerError(f"expected paper/experiment/profile/seed:field, got {expression!r}")
    records, field, sign, against, other = found.groups()
    compare = COMPARES[sign] if sign else None
    options: dict[str, object] = {}
    for word in pipes:
        options |= _option(word, compare)
    return Query(records, field, against, other, compare, **options)


def answer(query: Query, root: str | Path | None = None) -> Answer:
    """Look the number up.

    Raises:
        LedgerError: a record or field is missing, or several records match without an aggregate.
    """
    sample = gather(
        query.records,
        query.field,
        against=query.against,
        against_field=query.against_field,
        compare=query.compare or "difference",
        root=root,
    )
    if not sample.rows:
        wanted = " with a partner in ".join(query.patterns)
        raise LedgerError(f"no record matches {wanted}")
    try:
        text = _compared(query, sample) if query.compare else _plain(query, sample)
    except ValueError as error:
        raise LedgerError(f"{query.records}:{query.field}: {error}") from None
    return Answer(text, sample.records)


def _plain(query: Query, sample: Sample) -> str:
    if query.aggregate in ("n", "seeds"):
        return _counted(query, sample)
    if query.aggregate is None and len(sample.rows) > 1:
        have = count(len(sample.rows), "record")
        raise LedgerError(f"{query.records} matches {have}: say which of {', '.join(AGGREGATES)}")
    unit = sample.unit if query.unit else ""
    interval = sample.interval() if query.aggregate == "mean" else None
    if interval:
        return plus_minus(interval.mean, interval.half_width, unit, query.spec)
    value = sample.point(query.aggregate or "mean")
    return with_unit(number(value, sample.unit, sample.items, query.spec), unit)


def _counted(query: Query, sample: Sample) -> str:
    """The items behind each number, or how many numbers there are."""
    if query.aggregate == "seeds":
        return str(len(sample.rows))
    if sample.items is None:
        raise LedgerError(f"{query.records}:{query.field} does not say how many items it is over")
    return f"{sample.items:,}"


def _compared(query: Query, sample: Sample) -> str:
    if query.aggregate in ("n", "seeds"):
        return _counted(query, sample)
    unit = sample.unit if query.unit else ""
    interval = sample.interval()
    if interval is None:
        return with_unit(number(sample.values[0], sample.unit, sample.items, query.spec), unit)
    low, mid, high = (
        number(value, sample.unit, None, query.spec)
        for value in (interval.low, interval.mean, interval.high)
    )
    return f"{with_unit(mid, unit)} (95% CI {low} to {high}, n{FIXED}={FIXED}{interval.n})"


def _option(word: str, compare: str | None) -> dict[str, object]:
    if word in EXPLICIT:
        if compare != EXPLICIT[word]:
            raise LedgerError(f"{word!r} needs two sides, as in a:x {'-/'[word == 'ratio']} b:x")
        return {}
    if word in AGGREGATES:
        if compare and word not in ("mean", "n", "seeds"):
            raise LedgerError(f"a comparison is averaged over the pairs, it has no {word!r}")
        return {"aggregate": word}
    if word in ("unit", "nounit"):
        return {"unit": word == "unit"}
    if word and FORMAT.fullmatch(word):
        return {"spec": word}
    raise LedgerError(f"{word!r} is neither an aggregate nor a number format such as .2f")


def _seeds(seeds: list[str]) -> str:
    numbers = [int(seed) for seed in seeds]
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}\N{EN DASH}{numbers[-1]}"
    return "+".join(seeds)


def _commit(record: Record) -> str:
    if record.code.commit is None:
        return "unknown"
    return record.code.commit[:7] + ("+changes" if record.code.dirty else "")
