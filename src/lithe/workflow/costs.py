"""What a plan will take: time, graphics cards, disk, and the data that is not here."""

from __future__ import annotations

from collections.abc import Sequence

from lithe import ledger
from lithe.workflow.plan import Plan
from lithe.workflow.task import Task

__all__ = ["lines"]


def lines(plan: Plan, cores: int = 2, each: bool = False) -> list[str]:
    """A dry run: by chapter what stands, what is to be run and why, and what that takes.

    Args:
        plan: of any profile.
        cores: that would share the work.
        each: a line for every job as well.
    """
    told: list[str] = []
    for chapter in dict.fromkeys(task.chapter for task in plan.tasks):
        mine = [task for task in plan.tasks if task.chapter == chapter]
        told += _chapter(chapter, mine)
        if each:
            told += [f"    {_job(task)}" for task in mine]
    told += [_total(plan, cores)]
    missing = list(dict.fromkeys(text for task in plan.todo for text in task.missing))
    told += ["missing:", *(f"  {text}" for text in missing)] if missing else []
    return told + _blocked(plan)


def _blocked(plan: Plan) -> list[str]:
    """Claims of the papers whose rows are planned that no command can answer, and why."""
    papers = {task.paper for task in plan.tasks if task.profile == "full"}
    found = [claim for claim in ledger.claims() if claim.paper in papers and claim.blocked]
    told = [f"  {claim.id}: {claim.blocked}" for claim in found]
    return ["cannot be run:", *told] if told else []


def _chapter(chapter: str, tasks: Sequence[Task]) -> list[str]:
    todo = [task for task in tasks if task.why]
    told = [f"{chapter}: {len(tasks)} jobs, {len(tasks) - len(todo)} unchanged, {_spent(todo)}"]
    for why in dict.fromkeys(task.why for task in todo):
        same = [task for task in todo if task.why == why]
        names = list(dict.fromkeys(task.experiment for task in same))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        told.append(f"  {len(same)} to run, {why}: {', '.join(names[:3])}{more}")
    return told


def _spent(todo: Sequence[Task]) -> str:
    gpu, disk = sum(task.gpu_hours for task in todo), sum(task.disk_gb for task in todo)
    if gpu:
        return f"{len(todo)} to run in {gpu:.0f} GPU-hours and {disk:.0f} GB"
    return f"{len(todo)} to run in {duration(sum(task.seconds for task in todo))} of one core"


def _job(task: Task) -> str:
    cost = f"{task.gpu_hours:g} GPU-hours" if task.gpus else duration(task.seconds)
    asks = f"{task.threads} threads, {task.mem_mb} MB" + (f", {task.gpus} GPU" * bool(task.gpus))
    state = task.why or "unchanged"
    needs = f", after {', '.join(task.needs)}" if task.needs else ""
    return f"{task.id}: {state}; {cost}, {asks}{needs}"


def _total(plan: Plan, cores: int) -> str:
    """All of it; on several cores no faster than the work shared out, or the longest job."""
    todo, mine = plan.todo, [task for task in plan.todo if not task.gpus]
    told = f"in all {len(plan.tasks)} jobs, {len(todo)} to run in {len(plan.batches)} batches"
    gpu = sum(task.gpu_hours for task in todo)
    if gpu:
        told += f"; {gpu:.0f} GPU-hours, {sum(task.disk_gb for task in todo):.0f} GB of checkpoints"
    if mine:
        shared = sum(task.seconds * min(task.threads, cores) for task in mine) / cores
        longest = max(task.seconds for task in mine)
        told += f"; about {duration(max(shared, longest))} on {cores} cores"
    return told


def duration(seconds: float) -> str:
    """``"40 s"``, ``"12 min"`` or ``"3.5 h"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
