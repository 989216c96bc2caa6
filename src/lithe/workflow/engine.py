"""Snakemake as the engine: one at a time in a place, started again after any end."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from lithe import ledger
from lithe.workflow import planning, summary, sweep
from lithe.workflow.plan import Plan

__all__ = ["Busy", "enter", "make_plan", "report", "run", "state_folder"]

SNAKEFILE = Path(__file__).resolve().parents[3] / "workflow" / "Snakefile"
HELD = "LITHE_WORKFLOW_HELD"
_held: list[TextIO] = []


class Busy(RuntimeError):
    """Another engine is at work in the same place."""


def state_folder() -> Path:
    """Markers, locks, logs and executed notebooks: ``runs/workflow`` beside the book."""
    return ledger.book_root().resolve().parent / "runs" / "workflow"


def make_plan(
    profile: str,
    chapters: Sequence[str] = (),
    sweeps: str | Path | None = None,
    cores: int = 2,
) -> Plan:
    """Plan the sweeps of a profile; nothing is written.

    Args:
        profile: ``"smoke"``, ``"small"`` or ``"full"``.
        chapters: those wanted; all where empty.
        sweeps: folder of the sweep files; the book's own if not given.
        cores: that will share the jobs.
    """
    state = state_folder()
    found = sweep.read(profile, tuple(chapters), sweeps)
    return Plan.make(planning.tasks(found, state), state, cores)


def enter(config: Mapping[str, Any], again: bool) -> Plan:
    """The plan of a Snakefile: made where Snakemake starts, read where it goes on elsewhere.

    Args:
        config: of the Snakefile: ``profile``, ``chapter`` (several with commas), ``sweeps``,
            ``cores``; or ``plan``, the file of one that was made before.
        again: this is a part of Snakemake on another machine, or one that only unlocks.

    Raises:
        Busy: another engine is at work here.
    """
    state = state_folder()
    if again:
        return Plan.read(config.get("plan") or state / "plan.json")
    if HELD not in os.environ:
        hold(state)
    if "plan" in config:
        return Plan.read(config["plan"])
    chapters = [name for name in str(config.get("chapter", "")).split(",") if name]
    profile, cores = str(config.get("profile", "small")), int(config.get("cores", 2))
    plan = make_plan(profile, chapters, config.get("sweeps"), cores)
    begin(plan)
    return plan


def hold(state: Path) -> TextIO:
    """Be the only engine in a place until this process and those it hands the file to are gone.

    Raises:
        Busy: another is.
    """
    state.mkdir(parents=True, exist_ok=True)
    handle = (state / "engine.lock").open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise Busy(f"another run is at work in {state}: wait for it, or end it first") from None
    _held.append(handle)
    return handle


def begin(plan: Plan) -> None:
    """Write a plan down, and drop what the engine of an earlier one waited for."""
    shutil.rmtree(plan.state / "plans", ignore_errors=True)
    plan.write()


def run(
    plan: Plan,
    cores: int = 2,
    profile: str | Path | None = None,
    arguments: Sequence[str] = (),
    quiet: bool = True,
) -> int:
    """Carry a plan out with Snakemake and tell how every job ended.

    Jobs that fail do not keep the others from running. An engine that was killed here before left
    a lock; it is taken away, for only one engine is at work in a place.

    Args:
        plan: see :func:`make_plan`.
        cores: processor cores to use, on one machine.
        profile: folder of a Snakemake profile; ``workflow/profiles/local`` if not given.
        arguments: more of Snakemake's own.
        quiet: leave out Snakemake's account of every job.

    Returns:
        0 when every job is done, else 1.

    Raises:
        Busy: another engine is at work here.
    """
    if not plan.batches:
        return report(plan)
    with hold(plan.state) as handle:
        begin(plan)
        environment = os.environ | {HELD: str(handle.fileno())}
        line = _line(plan, cores, profile, arguments, quiet)
        if any((plan.state / ".snakemake" / "locks").glob("*")):
            unlock = [*line, "--unlock", "--quiet", "all"]
            subprocess.run(unlock, env=environment, cwd=plan.state, check=False)
        held = [handle.fileno()]
        subprocess.run(line, env=environment, cwd=plan.state, check=False, pass_fds=held)
        return report(plan)


def report(plan: Plan) -> int:
    """Print how every job of a plan ended; 0 when all are done, else 1."""
    ends = summary.ends(plan)
    print("\n".join(summary.lines(plan, ends)), flush=True)
    return 0 if all(end.state == "done" for end in ends) else 1


def _line(
    plan: Plan, cores: int, profile: str | Path | None, arguments: Sequence[str], quiet: bool
) -> list[str]:
    chosen = Path(profile) if profile else SNAKEFILE.parent / "profiles" / "local"
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE)),
        *("--cores", str(cores), "--workflow-profile", str(chosen)),
        *("--config", f"plan={plan.path}", "told=1"),
        *(["--quiet", "rules", "host", "reason"] if quiet else []),
        *arguments,
    ]
