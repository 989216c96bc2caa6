"""How every job of a plan ended, and why those that failed did."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lithe.workflow import job
from lithe.workflow.plan import Plan
from lithe.workflow.task import Task

__all__ = ["End", "ends", "lines"]


@dataclass(frozen=True)
class End:
    """How one job ended: ``"done"``, ``"failed"`` or ``"not run"``, and why."""

    task: Task
    state: str
    why: str


def ends(plan: Plan) -> list[End]:
    """How every job ended that a plan wanted to run."""
    return [_end(plan, task) for task in plan.todo]


def lines(plan: Plan, found: list[End]) -> list[str]:
    """The table at the end of a run: one line a chapter, then one for each job that is not done."""
    told = []
    for chapter in dict.fromkeys(task.chapter for task in plan.tasks):
        ran = [end for end in found if end.task.chapter == chapter]
        stood = sum(task.chapter == chapter and not task.why for task in plan.tasks)
        counts = [f"{stood} unchanged"]
        counts += [
            f"{count} {state}"
            for state in ("done", "failed", "not run")
            if (count := sum(end.state == state for end in ran))
        ]
        told.append(f"{chapter}: {', '.join(counts)}")
    missed = [end for end in found if end.state != "done"]
    width = max((len(end.task.id) for end in missed), default=0)
    return told + [f"  {end.task.id.ljust(width)}  {end.state}: {end.why}" for end in missed]


def _end(plan: Plan, task: Task) -> End:
    if job.is_done(plan, task):
        return End(task, "done", "")
    try:
        why = json.loads(job.failure(plan.state, task.id).read_bytes())
    except (OSError, ValueError):
        why = {}
    if why.get("plan") == plan.id:
        return End(task, "failed", f"{why['error']}  (kept: {_short(why['notebook'])})")
    name = next(batch.name for batch in plan.batches if task.id in batch.tasks)
    log = plan.state / "logs" / f"{name}.log"
    if log.is_file() and plan.id in log.read_text(errors="replace"):
        return End(task, "failed", f"ended without a word; see {_short(log)}")
    waits = [need for need in task.needs if any(t.id == need for t in plan.todo)]
    return End(task, "not run", f"needs {', '.join(waits)}" if waits else "not begun")


def _short(path: str | Path) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
