"""Plans: every job of some sweeps, which of them are done, and what the rest will take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel, ValidationError

from lithe import ledger, profiles
from lithe.experiments import Experiments, Job
from lithe.workflow import inputs, marker, paper_rows, rooms
from lithe.workflow.sweep import Ask, Command, Sweep, SweepError
from lithe.workflow.task import Task

__all__ = ["tasks"]


def tasks(sweeps: Iterable[Sweep], state: Path) -> list[Task]:
    """All jobs of some sweeps, each once, with why it is to be run.

    Args:
        sweeps: see :func:`lithe.workflow.sweep.read`.
        state: folder of the markers.

    Raises:
        SweepError: a sweep does not fit its room, or two want one record of different parameters.
    """
    found: dict[str, Task] = {}
    keys: dict[str, str] = {}
    for sweep in sweeps:
        for task, made in _of_sweep(sweep, state):
            if keys.setdefault(task.id, made) != made:
                raise SweepError(f"{sweep.chapter}: {task.id} is also another sweep's, not alike")
            found.setdefault(task.id, task)
    return [replace(t, needs=[n for n in t.needs if n in found]) for t in found.values()]


def _of_sweep(sweep: Sweep, state: Path) -> Iterator[tuple[Task, str]]:
    if sweep.room:
        yield from _of_room(sweep, state)
    for command in sweep.commands:
        yield _command(sweep.chapter, sweep.profile, command, command.asks, state)
    if sweep.rows:
        for row in paper_rows.rows(sweep.rows, sweep.profile):
            task, made = _command(sweep.chapter, sweep.profile, row.command, row.asks, state)
            yield (
                replace(
                    task,
                    gpu_hours=row.gpu_hours,
                    seconds=3600 * row.command.hours,
                    disk_gb=row.disk_gb,
                    missing=row.missing,
                ),
                made,
            )


def _of_room(sweep: Sweep, state: Path) -> Iterator[tuple[Task, str]]:
    experiments = rooms.load(sweep.room or "")
    config = _config(sweep, experiments)
    data = [(ask.match, list(ask.data)) for ask in sweep.asks]
    for job in dict.fromkeys(experiments.jobs(config)):
        if not sweep.wants(*job):
            continue
        ask = sweep.ask(job[0])
        task = Task(
            id=experiments.name(config, job),
            chapter=sweep.chapter,
            room=sweep.room or "",
            experiment=job[0],
            seed=job[1],
            profile=sweep.profile,
            config=config.model_dump(mode="json"),
            data=data,
            records=[experiments.name(config, job)],
            needs=[experiments.name(config, need) for need in experiments.needs(config, job)],
        )
        yield _judged(task, experiments, config, ask, state)


def _command(
    chapter: str, profile: str, command: Command, ask: Ask, state: Path
) -> tuple[Task, str]:
    experiments = rooms.load("command")
    config = experiments.config(profile=profile, run=command.run, records=command.records)
    [job] = experiments.jobs(config)
    task = Task(
        id=command.records[0],
        chapter=chapter,
        room="command",
        experiment=job[0],
        seed=job[1],
        profile=profile,
        config=config.model_dump(mode="json"),
        data=[("*", list(ask.data))],
        records=list(command.records),
    )
    judged, made = _judged(task, experiments, config, ask, state)
    return replace(judged, seconds=_seconds(task, 3600 * command.hours)), made


def _config(sweep: Sweep, experiments: Experiments[Any]) -> Any:
    try:
        if sweep.config is not None:
            given = {"profile": sweep.profile} | sweep.config
            return experiments.config.model_validate(given)
        overrides = dict(sweep.overrides)
        return profiles.load(sweep.chapter, sweep.profile, experiments.config, **overrides)
    except (ValidationError, profiles.ProfileError) as error:
        raise SweepError(f"sweep of {sweep.chapter} at {sweep.profile}: {error}") from None


def _judged(
    task: Task, experiments: Experiments[Any], config: BaseModel, ask: Ask, state: Path
) -> tuple[Task, str]:
    """The task with its state and its cost, and the key of its inputs."""
    job = (task.experiment, task.seed)
    parts = inputs.of(experiments, config, job, task.data)
    absent = [name for name in ask.data if inputs.data_hash((name,)) == inputs.MISSING]
    why = _why(task, parts, experiments, config, job, state)
    seconds = _seconds(task, 60 * ask.minutes)
    made = inputs.key(parts)
    return replace(
        task,
        why=why,
        key=made,
        before=marker.fingerprint(task.records),
        seconds=seconds,
        threads=ask.threads,
        mem_mb=_megabytes(task, ask.mem_mb),
        gpus=ask.gpus,
        timed=ask.timed,
        missing=[f"{name} of the shared data" for name in absent],
    ), made


def _why(
    task: Task,
    parts: dict[str, str],
    experiments: Experiments[Any],
    config: BaseModel,
    job: Job,
    state: Path,
) -> str:
    """Why a job is to be run; empty where its record stands.

    A marker of the record that lies there decides by its key. A record without a marker came with
    the book, or its run was ended before the marker: it stands if parameters and source are these,
    and torch and numpy those of the lock.
    """
    records = [_record(name) for name in task.records]
    if None in records:
        return "no record"
    if records[0].params != experiments.params(config, job, None):
        return "params changed"
    told = marker.read(state, task.id)
    if told and told.get("sha256") == marker.fingerprint(task.records):
        changed = [name for name in parts if told["inputs"].get(name) != parts[name]]
        if changed:
            return f"{', '.join(changed)} changed"
    if not all(_is_current(record) for record in records):
        return "source changed"
    return "" if told or all(map(inputs.fits_lock, records)) else "made with other versions"


def _record(name: str) -> ledger.Record | None:
    try:
        return ledger.read(name)
    except ledger.LedgerError:
        return None


def _is_current(record: ledger.Record) -> bool:
    try:
        return inputs.source(tuple(record.code.sources)) == record.code.sha256
    except ledger.LedgerError:
        return False


@cache
def _costs(paper: str, experiment: str, profile: str) -> tuple[list[float], list[float]]:
    """Wall seconds and megabytes of the records that an experiment has, over all seeds."""
    try:
        found: Sequence[ledger.Record] = ledger.find(f"{paper}/{experiment}/{profile}/*")
    except ledger.LedgerError:
        found = []
    walls = [r.cost.wall_s for r in found if r.cost.wall_s is not None]
    return walls, [r.cost.peak_mb for r in found if r.cost.peak_mb]


def _seconds(task: Task, otherwise: float) -> float:
    paper, experiment, profile, _ = task.id.split("/")
    walls, _ = _costs(paper, experiment, profile)
    return float(median(walls)) if walls else otherwise


def _megabytes(task: Task, otherwise: int) -> int:
    """A third more than a record took: processes that measured several jobs say the most of all."""
    paper, experiment, profile, _ = task.id.split("/")
    _, peaks = _costs(paper, experiment, profile)
    return max(500, round(1.3 * max(peaks))) if peaks else otherwise
