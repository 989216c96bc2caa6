"""Numbers out of records: one field over a glob, alone or paired with a control on the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Literal

from lithe.ledger.errors import LedgerError
from lithe.ledger.records import Record, find

if TYPE_CHECKING:  # it draws in scipy, which most readers of the ledger never need
    from lithe.stats import Paired

__all__ = ["Aggregate", "Compare", "Row", "Sample", "gather"]

Compare = Literal["difference", "ratio", "percent"]
Aggregate = Literal["mean", "median", "min", "max", "sum", "each"]
POINTS = {"mean": fmean, "median": median, "min": min, "max": max, "sum": sum}


@dataclass(frozen=True)
class Row:
    """One record's number; with a control also the control's number and the two compared."""

    record_id: str
    own: float
    control_id: str | None
    control: float | None
    value: float


@dataclass(frozen=True)
class Sample:
    """Rows of one field, with the unit of ``value`` and the items behind each number."""

    rows: tuple[Row, ...]
    unit: str
    items: int | None
    records: tuple[Record, ...]
    unpaired: tuple[str, ...]

    @property
    def values(self) -> list[float]:
        """The compared numbers, one per row."""
        return [row.value for row in self.rows]

    def point(self, aggregate: str) -> float:
        """One number out of all rows: their mean, median, min, max or sum."""
        return float(POINTS[aggregate](self.values))

    def interval(self) -> Paired | None:
        """Mean, 95% Student interval and sign test of the compared values; None below two rows."""
        if len(self.rows) < 2:
            return None
        from lithe.stats import paired

        return paired(self.values, [0.0] * len(self.rows))


def gather(
    records: str,
    field: str,
    *,
    against: str | None = None,
    against_field: str | None = None,
    compare: Compare = "difference",
    scale: float = 1.0,
    root: str | Path | None = None,
) -> Sample:
    """Collect ``field`` over the records of a glob.

    Args:
        records: record id or glob.
        field: metric name, or a dotted path to another number of the record.
        against: record id or glob of the control. A record is compared with the control of the same
            seed; seeds that only one side has are left out and named in ``unpaired``.
        against_field: the control's field, when it is another.
        compare: ``difference`` (own - control), ``ratio`` (own / control) or ``percent``
            (100 (own / control - 1)).
        scale: factor on both numbers before they are compared, e.g. 1e-6 for millions.
        root: the book folder.

    Returns:
        The sample; without rows when no record matches.

    Raises:
        LedgerError: a field is missing, or two records of one side have the same seed.
    """
    own = find(records, root)
    if against is None:
        rows = [Row(r.id, v := r.metric(field).value * scale, None, None, v) for r in own]
        return Sample(tuple(rows), _unit(own, field), _items(own, field), tuple(own), ())
    theirs = find(against, root)
    ours_by_seed, theirs_by_seed = _by_seed(own, records), _by_seed(theirs, against)
    seeds = sorted(ours_by_seed.keys() & theirs_by_seed.keys())
    other = against_field or field
    rows = [_row(ours_by_seed[s], theirs_by_seed[s], field, other, compare, scale) for s in seeds]
    single = ours_by_seed.keys() ^ theirs_by_seed.keys()
    left = [r.id for r in (*own, *theirs) if r.seed in single]
    unit = {"difference": _points(_unit(own, field)), "ratio": "×", "percent": "%"}[compare]
    return Sample(tuple(rows), unit, _items(own, field), (*own, *theirs), tuple(left))


def _row(own: Record, control: Record, field: str, other: str, compare: str, scale: float) -> Row:
    a, b = own.metric(field).value * scale, control.metric(other).value * scale
    if compare == "difference":
        return Row(own.id, a, control.id, b, a - b)
    if b == 0:
        raise LedgerError(f"{compare} of {own.id} to {control.id}: {other!r} of the control is 0")
    value = a / b if compare == "ratio" else 100 * a / b - 100
    return Row(own.id, a, control.id, b, value)


def _by_seed(records: Sequence[Record], pattern: str) -> dict[int, Record]:
    by_seed: dict[int, Record] = {}
    for record in records:
        if record.seed in by_seed:
            twin = by_seed[record.seed].id
            raise LedgerError(f"cannot pair {pattern} on the seed: {twin} and {record.id} share it")
        by_seed[record.seed] = record
    return by_seed


def _unit(records: Sequence[Record], field: str) -> str:
    units = {record.metric(field).unit for record in records}
    if len(units) > 1:
        raise LedgerError(f"{field!r} has several units: {', '.join(sorted(units))}")
    return units.pop() if units else ""


def _items(records: Sequence[Record], field: str) -> int | None:
    items = {record.metric(field).n for record in records}
    return items.pop() if len(items) == 1 else None


def _points(unit: str) -> str:
    """The difference of two percentages is in points: 3% of what would be unclear."""
    return "points" if unit == "%" else unit
