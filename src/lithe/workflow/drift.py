"""Drift: measure a sample of records again, elsewhere, and compare with those of the book."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lithe import ledger
from lithe.workflow import engine
from lithe.workflow.costs import duration
from lithe.workflow.plan import Plan
from lithe.workflow.task import Task

__all__ = ["Difference", "compare", "environment", "main", "sample"]

RELATIVE = 1e-4  # what other kernels and thread counts move a number by, short of training
STATES = ("equal", "close", "time", "drifted")
TIMES = {"ns", "us", "µs", "ms", "s", "min", "h"}  # differ on every machine, and are no drift


@dataclass(frozen=True)
class Difference:
    """One metric, on record and measured again.

    Attributes:
        record: its id.
        metric: its name.
        was: value on record.
        now: value measured again.
        allowed: how far apart is no drift.
        unit: of both.
    """

    record: str
    metric: str
    was: float
    now: float
    allowed: float
    unit: str = ""

    @property
    def state(self) -> str:
        """``"equal"`` to the last digit, ``"close"``, ``"drifted"``; or a ``"time"``."""
        if self.now == self.was:
            return "equal"
        if self.unit in TIMES or self.unit.endswith("/s"):
            return "time"
        return "close" if abs(self.now - self.was) <= self.allowed else "drifted"


def main(options: argparse.Namespace) -> int:
    """Draw a sample, run it in a folder of its own, and print what differs.

    Returns:
        0 when nothing drifted and every job ran, else 1.
    """
    whole = engine.make_plan("small", options.chapters, cores=options.cores)
    chosen = sample(whole.tasks, 60 * options.minutes * options.cores)
    if not chosen:
        print(f"no record can be measured again in {options.minutes:g} minutes")
        return 1
    before = {task.id: ledger.read(task.id) for task in chosen}
    spreads = {task.id: _spreads(task) for task in chosen}
    spent = duration(sum(task.seconds for task in chosen))
    print(f"{len(chosen)} of {len(whole.tasks)} records again, {spent} of one core by the ledger")
    claims = ledger.book_root() / "claims"
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(options.keep or scratch).resolve()
        status = _run(chosen, place, claims, options.cores)
        after = {task.id: found[0] for task in chosen if (found := ledger.find(task.id))}
    timed = {task.id for task in chosen if task.timed}
    pairs = [(before[name], record) for name, record in after.items()]
    found = [d for was, now in pairs for d in compare(was, now, spreads[was.id])]
    print("\n".join([*_table(found, timed), *environment(pairs)]))
    drifted = any(d.state == "drifted" and d.record not in timed for d in found)
    return 1 if status or drifted else 0


def sample(tasks: Iterable[Task], seconds: float) -> list[Task]:
    """The cheapest records, one seed of each experiment, with what they need.

    Args:
        tasks: of a plan; those without a record, and those whose data is not here, are left out.
        seconds: of one core to spend.
    """
    known = {task.id: task for task in tasks if task.before and task.room != "command"}
    first: dict[tuple[str, str], Task] = {}
    for task in known.values():
        kind = (task.paper, task.experiment)
        if not task.missing and (kind not in first or task.seed < first[kind].seed):
            first[kind] = task
    chosen: dict[str, Task] = {}
    for task in sorted(first.values(), key=lambda task: task.seconds):
        more = {t.id: t for t in _with_needs(task, known) if t.id not in chosen}
        cost = sum(t.seconds for t in more.values())
        if cost <= seconds:
            seconds -= cost
            chosen |= more
    return list(chosen.values())


def compare(
    was: ledger.Record, now: ledger.Record, spreads: dict[str, float] | None = None
) -> list[Difference]:
    """Every metric of a record against that of another.

    Args:
        was: on record.
        now: measured again.
        spreads: by metric, how far the seeds on record lie apart. A number that a training ends
            in is not to be had again to the digit on another machine; one that moves by less than
            another seed moves it has not drifted.

    Returns:
        A difference for each metric that either has; one that is gone, or new, is ``nan`` there.
    """
    spreads = spreads or {}
    nan = float("nan")
    found = []
    for name in dict.fromkeys([*was.metrics, *now.metrics]):
        old = was.metrics[name].value if name in was.metrics else nan
        new = now.metrics[name].value if name in now.metrics else nan
        allowed = max(RELATIVE * abs(old), spreads.get(name, 0.0))
        unit = (was.metrics.get(name) or now.metrics[name]).unit
        found.append(Difference(was.id, name, float(old), float(new), allowed, unit))
    return found


def environment(pairs: Sequence[tuple[ledger.Record, ledger.Record]]) -> list[str]:
    """What differs between the machines and versions of the records, one line each."""
    lines = []
    for field in ledger.Record.model_fields["env"].annotation.model_fields:
        changes: dict[tuple[str, str], int] = {}
        for was, now in pairs:
            change = (str(getattr(was.env, field)), str(getattr(now.env, field)))
            if change[0] != change[1]:
                changes[change] = changes.get(change, 0) + 1
        lines += [f"  {field}: {a} -> {b} ({n} records)" for (a, b), n in changes.items()]
    return ["environment:", *(lines or ["  the same"])]


def _run(chosen: Sequence[Task], place: Path, claims: Path, cores: int) -> int:
    """Run the sample with the book in another place, where no checkpoint of the first run is."""
    shutil.copytree(claims, place / "book" / "claims", dirs_exist_ok=True)
    os.environ["LITHE_BOOK"] = str(place / "book")
    again = [replace(task, why="drift", before="") for task in chosen]
    return engine.run(Plan.make(again, engine.state_folder(), cores), cores)


def _with_needs(task: Task, known: dict[str, Task]) -> list[Task]:
    needs = [known[need] for need in task.needs if need in known]
    return [*(t for need in needs for t in _with_needs(need, known)), task]


def _spreads(task: Task) -> dict[str, float]:
    """By metric, from the least to the most over the seeds on record."""
    values: dict[str, list[float]] = {}
    for record in ledger.find(f"{task.paper}/{task.experiment}/{task.profile}/*"):
        for name, metric in record.metrics.items():
            values.setdefault(name, []).append(float(metric.value))
    return {name: max(v) - min(v) for name, v in values.items()}


def _table(found: Sequence[Difference], timed: set[str]) -> list[str]:
    """One line a record, and one for each metric that drifted."""
    lines = []
    for record in dict.fromkeys(d.record for d in found):
        mine = [d for d in found if d.record == record]
        counts = [f"{n} {s}" for s in STATES if (n := sum(d.state == s for d in mine))]
        note = "  (times: not counted)" if record in timed else ""
        lines.append(f"{record}: {', '.join(counts)}{note}")
        if record not in timed:
            lines += [
                f"  {d.metric}: {d.was:.8g} -> {d.now:.8g}, allowed {d.allowed:.2g}"
                for d in mine
                if d.state == "drifted"
            ]
    return lines
