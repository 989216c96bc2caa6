"""``python -m lithe.ledger table | explain CLAIM | check``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from lithe.ledger import tables
from lithe.ledger.assessment import VERDICTS, Verdict, verdict, verdicts
from lithe.ledger.claim_files import claim, problems
from lithe.ledger.errors import LedgerError
from lithe.ledger.judging import Finding, claimed_text
from lithe.ledger.place import claims_folder, results_folder
from lithe.ledger.records import locate, read_file
from lithe.ledger.sampling import Sample
from lithe.ledger.schema import Claim, Part


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except LedgerError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def table(options: argparse.Namespace) -> int:
    """Print one line a claim, or one a metric of a record; or write the table to a file."""
    columns, made, shown = TABLES["records" if options.records else "claims"]
    rows = made(options.root)
    for name in ("paper", "tier", "verdict"):
        if (value := getattr(options, name)) is not None:
            if name not in columns:
                raise LedgerError(f"--{name} is about claims; records have none")
            options.filter = [*options.filter, f"{name}={value}"]
    papers = sorted({row["paper"] for row in rows})
    if options.paper is not None and options.paper not in papers:
        raise LedgerError(f"no paper {options.paper!r}; there are: {', '.join(papers) or 'none'}")
    rows = tables.filtered(rows, options.filter, columns)
    for path in filter(None, (options.csv, options.parquet)):
        print(f"{len(rows)} rows: {tables.write(path, rows, columns)}")
    if not (options.csv or options.parquet):
        _print(rows, shown)
    return 0


def _print(rows: Sequence[dict[str, Any]], shown: Sequence[str]) -> None:
    """Three columns in line; what the paper says and what was measured here after them."""
    heads = {"claimed": "paper"}
    lines = [tuple(heads.get(name, name) for name in shown)]
    lines += [tuple(_cell(row[name]) for name in shown) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    for line in lines:
        columns = [text.ljust(width) for text, width in zip(line, widths)]
        print("  ".join([*columns, "  |  ".join(line[3:])]))


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def explain(options: argparse.Namespace) -> int:
    """Print everything about one claim, down to the numbers and the command."""
    found = verdict(claim(options.claim, options.root), options.root)
    print("\n".join(explanation(found)))
    return 0


def check(options: argparse.Namespace) -> int:
    """Check the schema of all claims and records, and that every verdict can be computed."""
    faults = [
        fault for path in claims_folder(options.root).glob("*.yml") for fault in problems(path)
    ]
    folder = results_folder(options.root)
    for record_id, path in locate("*/*/*/*", options.root):
        try:
            read_file(path, record_id)
        except LedgerError as error:
            faults.append(f"results/{path.relative_to(folder).as_posix()}:1: {error}")
    if not faults:
        try:
            print(f"{len(verdicts(options.root))} claims, schema and records in order")
        except LedgerError as error:
            faults.append(str(error))
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


def explanation(found: Verdict) -> list[str]:
    """The lines that ``explain`` prints."""
    one = found.claim
    lines = [f"{one.id} ({one.tier}): {found.verdict}", f"  says       {one.says}"]
    lines += [f"  where      {one.where}"]
    for part, finding, samples in zip(one.comparisons, found.findings, found.samples):
        lines += _part_lines(part, finding, samples)
    lines += [f"  why        {found.why}"]
    lines += [
        f"  others     {other.source}: {other.value} {other.note}" for other in one.third_party
    ]
    return lines + _last_lines(one)


def _part_lines(part: Part, finding: Finding, samples: tuple[Sample, ...]) -> list[str]:
    test, measure = part.test, part.measure
    limits = [f"tolerance {test.tolerance:g}" if test.tolerance is not None else ""]
    limits += [f"{test.decimals} decimals" if test.decimals is not None else ""]
    stated = ", ".join(limit for limit in limits if limit) or "no tolerance"
    lines = [f"  part       {part.name}"] if part.name else []
    lines += [f"  paper      {claimed_text(part)}", f"  ours       {finding.ours}"]
    lines += [f"  test       {test.kind}, {stated}: {test.reason}"]
    lines += [f"  measure    {', '.join(measure.patterns)} : {measure.field} ({measure.aggregate})"]
    for sample in samples:
        for row in sample.rows:
            lines.append(f"    {row.record_id}  {row.own:.6g}")
            if row.control_id:
                lines[-1] += f"  against {row.control_id} {row.control:.6g}: {row.value:.6g}"
    return [*lines, f"  verdict    {finding.verdict}: {finding.why}"]


def _last_lines(one: Claim) -> list[str]:
    optional = {
        "control": one.control,
        "blocked": one.blocked,
        "command": one.command,
        "cost": one.cost,
        "deviation": one.deviation,
        "note": one.note,
    }
    return [f"  {name:<10} {text}" for name, text in optional.items() if text]


TABLES = {
    "claims": (
        tables.CLAIM_COLUMNS,
        tables.claim_rows,
        ("claim", "tier", "verdict", "claimed", "here"),
    ),
    "records": (
        tables.RECORD_COLUMNS,
        tables.record_rows,
        ("record", "metric", "value", "unit"),
    ),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.ledger", description=__doc__)
    parser.add_argument("--root", help="the book folder (default: the one around)")
    commands = parser.add_subparsers(required=True)
    tabled = commands.add_parser("table", help="all claims and their verdicts, or all records")
    tabled.add_argument("--paper")
    tabled.add_argument("--tier", choices=["T0", "T1", "T2", "T3"])
    tabled.add_argument("--verdict", choices=VERDICTS)
    tabled.add_argument(
        "--filter", action="append", default=[], metavar="COLUMN=GLOB",
        help="paper=dcff, verdict=partly, metric=top1; may be repeated",
    )  # fmt: skip
    tabled.add_argument("--records", action="store_true", help="a row for each metric on record")
    tabled.add_argument("--csv", metavar="FILE.csv", help="write the table instead of printing it")
    tabled.add_argument("--parquet", metavar="FILE.parquet", help="likewise; needs pyarrow")
    tabled.set_defaults(run=table)
    explained = commands.add_parser("explain", help="one claim, with all its numbers")
    explained.add_argument("claim")
    explained.set_defaults(run=explain)
    checked = commands.add_parser("check", help="schema of all claims and records")
    checked.set_defaults(run=check)
    return parser


if __name__ == "__main__":
    sys.exit(main())
