"""Claims and records as flat tables: filtered, and written as CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lithe.files import write_atomic, write_with
from lithe.ledger.assessment import verdicts
from lithe.ledger.errors import LedgerError
from lithe.ledger.records import find

__all__ = ["CLAIM_COLUMNS", "RECORD_COLUMNS", "claim_rows", "filtered", "record_rows", "write"]

Row = dict[str, Any]

CLAIM_COLUMNS = (
    *("claim", "paper", "tier", "verdict", "says", "claimed", "here", "why", "where"),
    *("control", "deviation", "command", "cost", "blocked"),
)
RECORD_COLUMNS = (
    *("record", "paper", "experiment", "profile", "seed", "metric", "value", "unit", "n"),
    *("wall_s", "peak_mb", "device", "cpu", "torch", "commit", "time"),
)


def claim_rows(root: str | Path | None = None) -> list[Row]:
    """A row for every claim, with its verdict; columns as :data:`CLAIM_COLUMNS`."""
    return [
        {
            "claim": found.claim.id,
            "paper": found.claim.paper,
            "tier": found.claim.tier,
            "verdict": found.verdict,
            "says": found.claim.says,
            "claimed": found.paper,
            "here": found.ours,
            "why": found.why,
            "where": found.claim.where,
            "control": found.claim.control or "",
            "deviation": found.claim.deviation or "",
            "command": found.claim.command or "",
            "cost": found.claim.cost or "",
            "blocked": found.claim.blocked or "",
        }
        for found in verdicts(root)
    ]


def record_rows(root: str | Path | None = None) -> list[Row]:
    """A row for every metric of every record; columns as :data:`RECORD_COLUMNS`."""
    return [
        {
            "record": record.id,
            "paper": record.paper,
            "experiment": record.experiment,
            "profile": record.profile,
            "seed": record.seed,
            "metric": name,
            "value": float(metric.value),
            "unit": metric.unit,
            "n": metric.n,
            "wall_s": record.cost.wall_s,
            "peak_mb": record.cost.peak_mb,
            "device": record.env.device,
            "cpu": record.env.cpu,
            "torch": record.env.torch,
            "commit": record.code.commit,
            "time": record.time.isoformat(),
        }
        for record in find("*/*/*/*", root)
        for name, metric in record.metrics.items()
    ]


def filtered(rows: Iterable[Row], filters: Sequence[str], columns: Sequence[str]) -> list[Row]:
    """The rows that every filter lets through.

    Args:
        rows: of one table.
        filters: ``column=glob``. Of several for one column, one has to match; columns all.
        columns: of the table.

    Raises:
        LedgerError: a filter is not of that form, or names no column.
    """
    wanted: dict[str, list[str]] = {}
    for text in filters:
        column, equals, glob = text.partition("=")
        if not equals:
            raise LedgerError(f"--filter takes column=value, got {text!r}")
        if column not in columns:
            near = get_close_matches(column, columns, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise LedgerError(f"no column {column!r}; there are: {', '.join(columns)}{hint}")
        wanted.setdefault(column, []).append(glob)
    return [
        row
        for row in rows
        if all(
            any(fnmatchcase(_text(row[column]), glob) for glob in globs)
            for column, globs in wanted.items()
        )
    ]


def write(path: str | Path, rows: Sequence[Row], columns: Sequence[str]) -> Path:
    """Write a table to a file, by its suffix: ``.csv`` or ``.parquet``.

    Raises:
        LedgerError: another suffix, or Parquet where pyarrow is not installed.
    """
    path = Path(path)
    writers: Mapping[str, Callable[..., Path]] = {".csv": _write_csv, ".parquet": _write_parquet}
    if path.suffix not in writers:
        raise LedgerError(f"{path.name}: the suffix has to be {' or '.join(writers)}")
    return writers[path.suffix](path, rows, columns)


def _write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_atomic(path, text.getvalue())


def _write_parquet(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> Path:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise LedgerError("Parquet needs pyarrow: pip install pyarrow, or write .csv") from None
    table = pyarrow.table({column: [row[column] for row in rows] for column in columns})
    return write_with(path, lambda temporary: pyarrow.parquet.write_table(table, temporary))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
