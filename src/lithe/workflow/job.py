"""One job: a papermill run of a small notebook, which measures and leaves a record and a marker."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lithe.files import write_json
from lithe.ledger.place import results_folder
from lithe.workflow import inputs, marker, rooms
from lithe.workflow.plan import Plan
from lithe.workflow.task import Task

__all__ = ["NOTEBOOK", "carry_out", "failure", "is_done", "run_batch"]

NOTEBOOK = Path(__file__).resolve().parents[3] / "workflow" / "notebooks" / "job.py"


def carry_out(
    room: str,
    experiment: str,
    seed: int,
    profile: str,
    config: Mapping[str, Any],
    workflow: Mapping[str, Any] | None = None,
) -> list[str]:
    """Measure one experiment of a room and write its record; what the job's notebook calls.

    Args:
        room: see :func:`lithe.workflow.rooms.load`.
        experiment: of the room.
        seed: of the job.
        profile: of the record.
        config: of the room.
        workflow: ``state`` folder, ``records``, ``data``, ``before`` (fingerprint of the records
            when the plan was made), ``plan`` and ``threads``; without it nothing is marked.

    Returns:
        Ids of its records.
    """
    experiments, job = rooms.load(room), (experiment, seed)
    chosen = experiments.config.model_validate({**config, "profile": profile})
    if workflow is None:
        experiments.record(chosen, job, None)
        return [experiments.name(chosen, job)]
    state, records = Path(workflow["state"]), list(workflow["records"])
    _set_threads(workflow["threads"])
    with marker.exclusive(state / "locks" / f"{records[0]}.kernel"):
        parts = inputs.of(experiments, chosen, job, workflow["data"])
        if not _finished(state, records, parts):
            _swept(records)
            experiments.code(experiment)
            if not _written_since(workflow["before"], records, experiments, chosen, job):
                experiments.record(chosen, job, None)
            marker.write(state, records, parts, workflow["plan"])
    return records


def run_batch(plan_file: str | Path, name: str) -> int:
    """Run the jobs of a batch, each through papermill; what the engine calls.

    A job that fails does not keep the others of its batch from running.

    Returns:
        0 when all are done, and then the batch's ticket is written; else 1.
    """
    plan = Plan.read(plan_file)
    batch = plan.batch(name)
    failed = [task for task in batch.tasks if not _attempt(plan, plan.task(task))]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    write_json(plan.ticket(name), {"tasks": batch.tasks})
    return 0


def failure(state: Path, record: str) -> Path:
    """Where a job that failed leaves why."""
    return state / "failed" / f"{record}.json"


def _attempt(plan: Plan, task: Task) -> bool:
    """Run one job, unless it was finished while this one waited for its turn."""
    with marker.exclusive(plan.state / "locks" / f"{task.id}.run"):
        if is_done(plan, task):
            return True
        RunError, run = _papermill()

        try:
            run(
                NOTEBOOK,
                task.profile,
                out=plan.state / "notebooks" / task.id,
                room=task.room,
                experiment=task.experiment,
                seed=task.seed,
                config=task.config,
                workflow={
                    "plan": plan.id,
                    "state": str(plan.state),
                    "records": task.records,
                    "data": task.data,
                    "before": task.before,
                    "threads": task.threads,
                },
            )
        except RunError as error:
            return _told(plan, task, str(error), error.path)
        failure(plan.state, task.id).unlink(missing_ok=True)
        print(f"done: {task.id}", flush=True)
        return True


def _papermill() -> tuple[type[Exception], Any]:
    """The wrapper round papermill, imported when there is something to run.

    What reads notebooks draws in a checker of schemas, and that one, where it is installed, a
    parser of international addresses that takes a second to build. No notebook's schema asks
    for such an address: it is left out.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from lithe.run import RunError, run

    return RunError, run


def _told(plan: Plan, task: Task, error: str, notebook: Path) -> bool:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    told = {
        "plan": plan.id,
        "error": lines[-1] if lines else "no message",
        "notebook": str(notebook),
        "time": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }
    write_json(failure(plan.state, task.id), told)
    print(f"{task.id}: {told['error']}\nkept: {notebook}", file=sys.stderr, flush=True)
    return False


def is_done(plan: Plan, task: Task) -> bool:
    """Whether a job was finished, by its plan or by an orphan of a killed engine's."""
    told = marker.read(plan.state, task.id)
    here = marker.fingerprint(task.records)
    if not (told and here) or told.get("sha256") != here:
        return False
    return told.get("plan") == plan.id or inputs.key(told["inputs"]) == task.key


def _finished(state: Path, records: Sequence[str], parts: Mapping[str, str]) -> bool:
    told = marker.read(state, records[0])
    here = marker.fingerprint(records)
    return bool(told and here) and told["inputs"] == dict(parts) and told["sha256"] == here


def _written_since(
    before: str, records: Sequence[str], experiments: Any, config: Any, job: tuple[str, int]
) -> bool:
    """Whether a run was ended between its record, written after the plan, and its marker."""
    here = marker.fingerprint(records)
    return bool(here) and here != before and experiments.is_done(config, job, None)


def _swept(records: Sequence[str]) -> None:
    """Remove what writers that were killed left beside a record; nobody else writes it now."""
    for record in records:
        place, seed = results_folder(None, record.split("/")[2]) / record, record.split("/")[3]
        for pattern in (f".{seed}-*.json", f".{seed}.curves-*.json"):
            for left in place.parent.glob(pattern):
                left.unlink(missing_ok=True)


def _set_threads(threads: int) -> None:
    """As many threads as the engine counts for the job, where torch is used at all."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
