"""Rows of the papers' tables at full length, read off the claims: command, hours, data.

A claim of tier T2 says which one command would answer it and what that costs. Each such command is
a job here; nothing of it is written down a second time.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from lithe import ledger
from lithe.workflow.sweep import Ask, Command, Rows, SweepError

__all__ = ["Row", "hours", "rows"]

NUMBERS = {
    name: count
    for count, name in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=1
    )
} | {"a": 1, "an": 1}
HOURS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0}
AMOUNT = re.compile(r"\b(\d+(?:\.\d+)?|[a-z]+) (minute|hour|day)s?\b")
LOOP = re.compile(r"for (\w+) in (.+?); do (.+?); done")
WORD = re.compile(r"[A-Z][A-Z0-9_]{2,}")


@dataclass(frozen=True)
class Row:
    """One row, ready to plan.

    Attributes:
        command: what to run, words replaced by folders where these are known.
        asks: of the scheduler.
        gpu_hours: that it adds; 0 where it shares the training of a row before it.
        disk_gb: of its checkpoints.
        missing: data that has to be brought first, in words.
    """

    command: Command
    asks: Ask
    gpu_hours: float
    disk_gb: float
    missing: list[str]


def rows(wanted: Rows, profile: str, paper: str | None = None) -> Iterator[Row]:
    """Every row that the claims and the sweep name, each command once per seed.

    Args:
        wanted: of a sweep.
        profile: of the records.
        paper: whose claims; by default that of the key in ``record``.

    Raises:
        SweepError: a cost without hours, or a word of a command that no data stands for.
    """
    name, _, _ = wanted.record.partition("/")
    paid: set[str] = set()
    seen: set[str] = set()
    for line, cost in (
        *_claimed(paper or name),
        *((e["command"], e["cost"]) for e in wanted.extra),
    ):
        for module, arguments, share in _expanded(line):
            key = _option(arguments, "--key")
            if key is None or not any(fnmatchcase(key, glob) for glob in wanted.keys):
                continue
            once = key.partition("-")[0] if wanted.once_per == "network" else " ".join(arguments)
            for seed in wanted.seeds:
                row = _row(wanted, profile, module, arguments, hours(cost) / share, seed, key)
                if row.command.records[0] in seen:
                    continue
                seen.add(row.command.records[0])
                if (owed := f"{once} {seed}") in paid:
                    row = replace(row, gpu_hours=0.0, disk_gb=0.0)
                paid.add(owed)
                yield row


def hours(cost: str) -> float:
    """The first amount of time in a claim's cost: ``"about five days on one GPU"`` is 120.

    Raises:
        SweepError: there is none.
    """
    for number, unit in AMOUNT.findall(cost):
        if number in NUMBERS or number[0].isdigit():
            return float(NUMBERS.get(number, 0) or number) * HOURS[unit]
    raise SweepError(f"no hours in the cost {cost!r}: say 'about N hours'")


def _claimed(paper: str) -> list[tuple[str, str]]:
    """Commands at full length and their costs, in the order of the claims; loops last."""
    found = [
        (claim.command, claim.cost or "")
        for claim in ledger.claims()
        if claim.paper == paper and claim.command and "--key" in claim.command
    ]
    return sorted(dict.fromkeys(found), key=lambda pair: pair[0].startswith("for "))


def _expanded(line: str) -> Iterator[tuple[str, list[str], int]]:
    """Module, arguments and share of the cost; loops and lists of sparsities are several rows."""
    if loop := LOOP.fullmatch(line):
        name, values, body = loop[1], loop[2].split(), loop[3]
        for value in values:
            for module, arguments, share in _expanded(body.replace(f"${name}", value)):
                yield module, arguments, share * len(values)
        return
    words = shlex.split(line)
    if words[:2] != ["python", "-m"] or len(words) < 3:
        raise SweepError(f"a row is run by python -m MODULE ..., got {line!r}")
    module, arguments = words[2], words[3:]
    if "--sparsity" not in arguments:
        yield module, arguments, 1
        return
    at = arguments.index("--sparsity") + 1
    end = next((i for i in range(at, len(arguments)) if arguments[i].startswith("--")), None)
    values = arguments[at:end]
    rest = arguments[end:] if end is not None else []
    for value in values:
        yield module, [*arguments[:at], value, *rest], len(values)


def _row(
    wanted: Rows,
    profile: str,
    module: str,
    arguments: list[str],
    cost: float,
    seed: int,
    key: str,
) -> Row:
    sparsity = float(_option(arguments, "--sparsity") or 0.5)
    percent = f"{100 * sparsity:.0f}"
    name = wanted.record.format(key=key, low=key.lower(), percent=percent)
    if key.endswith("-dense"):
        name = name.removesuffix(f"-p{percent}")
    filled, missing = _filled(arguments, wanted, key)
    run = (module, *filled, "--seed", str(seed))
    command = Command(run=run, records=(f"{name}/{profile}/{seed}",), hours=cost)
    return Row(command, Ask(threads=8, mem_mb=32000, gpus=1), cost, wanted.disk_gb, missing)


def _filled(arguments: list[str], wanted: Rows, key: str) -> tuple[list[str], list[str]]:
    """The arguments with folders for words, and what is not there."""
    filled, missing = [], []
    for argument in arguments:
        if not WORD.fullmatch(argument):
            filled.append(argument)
            continue
        if argument not in wanted.data:
            raise SweepError(f"the command of {key} names {argument}, of which data says nothing")
        data = wanted.data[argument]
        folder = os.environ.get(data.env)
        value = data.value.format(folder=folder, key=key, network=key.partition("-")[0])
        there = bool(folder) and Path(value).expanduser().exists()
        filled.append(value if folder else argument)
        if not there:
            missing.append(f"{argument}: {data.says} ({data.disk_gb:g} GB); set {data.env}")
    return filled, missing


def _option(arguments: list[str], name: str) -> str | None:
    if name not in arguments[:-1]:
        return None
    return arguments[arguments.index(name) + 1]
