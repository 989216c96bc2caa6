"""A plan as a file: what the engine and the jobs read, wherever they run."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from lithe.files import write_json
from lithe.workflow.task import Batch, Task

__all__ = ["Plan", "batches"]

CHEAP = 10.0  # seconds: below, starting a process for one job alone costs more than it is worth
MOST = 10  # jobs of one batch


@dataclass(frozen=True)
class Plan:
    """All tasks of some sweeps, and batches of those that are to be run.

    Attributes:
        id: new for every plan; part of the names of the files that the engine waits for.
        state: folder of markers, locks, logs and executed notebooks.
        tasks: done ones too.
        batches: of the rest.
    """

    id: str
    state: Path
    tasks: list[Task]
    batches: list[Batch]

    @classmethod
    def make(cls, tasks: Sequence[Task], state: Path, cores: int = 2) -> Plan:
        """A plan of tasks, with batches for so many cores."""
        todo = [task for task in tasks if task.why]
        return cls(uuid.uuid4().hex[:12], state, list(tasks), batches(todo, cores))

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """The plan that was written."""
        told = json.loads(Path(path).read_bytes())
        return cls(
            told["id"],
            Path(told["state"]),
            [Task(**task) for task in told["tasks"]],
            [Batch(**batch) for batch in told["batches"]],
        )

    def write(self) -> Path:
        """Write the plan whole, in place of the one before."""
        return write_json(self.path, asdict(self) | {"state": str(self.state)})

    @property
    def path(self) -> Path:
        """Where it is written."""
        return self.state / "plan.json"

    @property
    def todo(self) -> list[Task]:
        """Tasks to be run."""
        return [task for task in self.tasks if task.why]

    def task(self, name: str) -> Task:
        """A task by the id of its record."""
        return self._tasks[name]

    def batch(self, name: str) -> Batch:
        """A batch by its name."""
        return self._batches[name]

    def ticket(self, name: str) -> Path:
        """The file that a batch leaves when all its jobs are done; the engine waits for it."""
        return self.state / "plans" / self.id / f"{name}.json"

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        return {task.id: task for task in self.tasks}

    @cached_property
    def _batches(self) -> dict[str, Batch]:
        return {batch.name: batch for batch in self.batches}


def batches(todo: Sequence[Task], cores: int = 2) -> list[Batch]:
    """Put jobs of a few seconds each together; any other stays alone, long ones first.

    Together go jobs of one room that ask for the same, need nothing and are not needed. No batch
    is so large that another core would wait for it.

    Args:
        todo: tasks to be run.
        cores: that will share them.
    """
    ids = {task.id for task in todo}
    needed = {need for task in todo for need in task.needs}
    groups: dict[tuple, list[Task]] = {}
    for task in sorted(todo, key=lambda task: -task.seconds):
        alone = task.seconds > CHEAP or ids & set(task.needs) or task.id in needed
        sort = (task.id,) if alone else (task.room, task.threads, task.gpus)
        groups.setdefault(sort, []).append(task)
    made: list[list[Task]] = []
    for group in groups.values():
        count = max(math.ceil(len(group) / MOST), min(len(group), 2 * cores))
        made += [group[i::count] for i in range(count)]
    names = {task.id: _name(group) for group in made for task in group}
    return [_batch(group, names) for group in made]


def _name(group: Sequence[Task]) -> str:
    more = f".and-{len(group) - 1}-more" if len(group) > 1 else ""
    return group[0].file + more


def _batch(group: Sequence[Task], names: dict[str, str]) -> Batch:
    seconds = sum(task.seconds for task in group)
    return Batch(
        name=names[group[0].id],
        tasks=[task.id for task in group],
        needs=sorted({names[need] for task in group for need in task.needs if need in names}),
        threads=max(task.threads for task in group),
        mem_mb=max(task.mem_mb for task in group),
        minutes=math.ceil(10 + 4 * seconds / 60),  # other machines are slower, and busy
        gpus=max(task.gpus for task in group),
    )
