"""Jobs and batches of a plan, as they are kept in its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Batch", "Task"]


@dataclass(frozen=True)
class Task:
    """One job of a plan.

    Attributes:
        id: of its record; of the first where it writes several.
        chapter: whose sweep it is of.
        room: see :func:`lithe.workflow.rooms.load`.
        experiment: of the room.
        seed: of the job.
        profile: of the record.
        config: of the room, as JSON.
        data: globs of experiments, each with what they read of the shared data.
        records: ids of all records.
        needs: ids of tasks that come first.
        why: it is to be run; empty where its record stands.
        key: of its inputs when the plan was made.
        before: fingerprint of its records when the plan was made.
        seconds: expected.
        threads: of the processor.
        mem_mb: megabytes.
        gpus: graphics cards.
        gpu_hours: expected; 0 for what a processor does.
        disk_gb: of checkpoints.
        timed: what it measures is time.
        missing: data that is not here, in words.
    """

    id: str
    chapter: str
    room: str
    experiment: str
    seed: int
    profile: str
    config: dict[str, Any]
    data: list[tuple[str, list[str]]] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    why: str = ""
    key: str = ""
    before: str = ""
    seconds: float = 60.0
    threads: int = 1
    mem_mb: int = 3000
    gpus: int = 0
    gpu_hours: float = 0.0
    disk_gb: float = 0.0
    timed: bool = False
    missing: list[str] = field(default_factory=list)

    @property
    def paper(self) -> str:
        """First part of the record's id."""
        return self.id.partition("/")[0]

    @property
    def file(self) -> str:
        """Its name where a name may hold no slash."""
        return self.id.replace("/", ".")


@dataclass(frozen=True)
class Batch:
    """Jobs that the engine sees as one; mostly a single one, several where each takes seconds.

    Attributes:
        name: unique in the plan.
        tasks: ids.
        needs: names of batches that come first.
        threads: of the processor.
        mem_mb: megabytes.
        minutes: after which a cluster may end it.
        gpus: graphics cards.
    """

    name: str
    tasks: list[str]
    needs: list[str]
    threads: int
    mem_mb: int
    minutes: int
    gpus: int
