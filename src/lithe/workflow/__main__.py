"""``python -m lithe.workflow run | job | drift | bench``; see the book's page on many runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lithe import profiles
from lithe.ledger import LedgerError
from lithe.workflow.sweep import SweepError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 when all is done, 1 when a job is not (or drifted), 2 when the request makes no sense,
        130 on Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    here = words.index("--") if "--" in words else len(words)
    options = _parser().parse_args(words[:here])
    options.more = words[here + 1 :]
    if options.more and options.command is not run_command:
        _parser().error("only run passes what follows -- on to Snakemake")
    try:
        return options.command(options)
    except (SweepError, profiles.ProfileError, LedgerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on, what is on record stays", file=sys.stderr)
        return 130


def run_command(options: argparse.Namespace) -> int:
    """Plan, and carry out unless only the plan is wanted."""
    from lithe.workflow import costs, engine

    _move(options.root)
    plan = engine.make_plan(options.profile, options.chapters, options.sweeps, options.cores)
    if options.dry_run:
        print("\n".join(costs.lines(plan, options.cores, each=options.each)))
        return 0
    try:
        return engine.run(plan, options.cores, options.on, options.more, quiet=not options.verbose)
    except engine.Busy as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def job_command(options: argparse.Namespace) -> int:
    """Run one batch; Snakemake calls this."""
    from lithe.workflow.job import run_batch

    return run_batch(options.plan, options.batch)


def drift_command(options: argparse.Namespace) -> int:
    """Measure a sample of records again and compare."""
    from lithe.workflow import drift

    return drift.main(options)


def bench_command(options: argparse.Namespace) -> int:
    """Time trivial runs with and without the engine."""
    from lithe.workflow import bench

    return bench.main(options.runs, options.cores)


def _move(root: Path | None) -> None:
    """Let records, markers and checkpoints lie in another folder than the book's own."""
    if root is not None:
        (root / "book" / "claims").mkdir(parents=True, exist_ok=True)
        os.environ["LITHE_BOOK"] = str((root / "book").resolve())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.workflow", description=__doc__)
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run", help="run the sweeps of a profile; after -- for Snakemake")
    add = running.add_argument
    add("chapters", nargs="*", help="01_dcff; all if none is named")
    add("--profile", choices=profiles.PROFILES, default="small")
    add("--cores", type=int, default=2, help="of this machine (default: 2)")
    add("--on", metavar="FOLDER", help="a Snakemake profile, such as workflow/profiles/slurm")
    add("--dry-run", "-n", action="store_true", help="print plan, cost and missing data")
    add("--each", action="store_true", help="with --dry-run: a line for every job")
    add("--sweeps", type=Path, help="folder of sweep files (default: workflow/sweeps)")
    add("--root", type=Path, help="where records go (default: the book)")
    add("--verbose", action="store_true", help="Snakemake's own account of every job")
    running.set_defaults(command=run_command)
    one = commands.add_parser("job", help="run one batch of a plan; Snakemake calls this")
    one.add_argument("plan", type=Path)
    one.add_argument("batch")
    one.set_defaults(command=job_command)
    drifting = commands.add_parser("drift", help="measure a sample of records again, and compare")
    drifting.add_argument("chapters", nargs="*", help="01_dcff; all if none is named")
    drifting.add_argument("--minutes", type=float, default=5.0, help="to spend (default: 5)")
    drifting.add_argument("--cores", type=int, default=2)
    drifting.add_argument("--keep", type=Path, help="folder for the new records")
    drifting.set_defaults(command=drift_command)
    timed = commands.add_parser("bench", help="what the engine costs, over trivial runs")
    timed.add_argument("--runs", type=int, default=100)
    timed.add_argument("--cores", type=int, default=2)
    timed.set_defaults(command=bench_command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
