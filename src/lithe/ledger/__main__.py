"""``python -m lithe.ledger table | explain CLAIM | check``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

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
    """Print one line a claim: id, tier, verdict, what the paper says, what we measured."""
    rows = [("claim", "tier", "verdict", "paper", "here")]
    everything = verdicts(options.root)
    papers = sorted({found.claim.paper for found in everything})
    if options.paper is not None and options.paper not in papers:
        raise LedgerError(f"no paper {options.paper!r}; there are: {', '.join(papers) or 'none'}")
    for found in everything:
        if _wanted(found, options):
            claimed = found.claim
            rows.append((claimed.id, claimed.tier, found.verdict, found.paper, found.ours))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        columns = [text.ljust(width) for text, width in zip(row, widths)]
        print("  ".join([*columns, f"{row[3]}  |  {row[4]}"]))
    return 0


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


def _wanted(found: Verdict, options: argparse.Namespace) -> bool:
    return (
        options.paper in (None, found.claim.paper)
        and options.tier in (None, found.claim.tier)
        and options.verdict in (None, found.verdict)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.ledger", description=__doc__)
    parser.add_argument("--root", help="the book folder (default: the one around)")
    commands = parser.add_subparsers(required=True)
    tabled = commands.add_parser("table", help="all claims and their verdicts")
    tabled.add_argument("--paper")
    tabled.add_argument("--tier", choices=["T0", "T1", "T2", "T3"])
    tabled.add_argument("--verdict", choices=VERDICTS)
    tabled.set_defaults(run=table)
    explained = commands.add_parser("explain", help="one claim, with all its numbers")
    explained.add_argument("claim")
    explained.set_defaults(run=explain)
    checked = commands.add_parser("check", help="schema of all claims and records")
    checked.set_defaults(run=check)
    return parser


if __name__ == "__main__":
    sys.exit(main())
