"""What a job's result depends on, as one key: parameters, source, data, lock, and what it needs.

A job whose key is that of its record is not run again. The parts are kept apart in the marker, so
that a plan can say which of them changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lithe import ledger
from lithe.experiments import Experiments, Job
from lithe.ledger.provenance import source_hash

__all__ = ["MISSING", "data_hash", "digest", "key", "lock_hash", "locked", "of", "source"]

MISSING = "missing"
NOWHERE = Path(__file__).parent / "nowhere"  # a book without records: what is known beforehand
NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
DataOf = Sequence[tuple[str, Sequence[str]]]


def of(
    experiments: Experiments[Any], config: BaseModel, job: Job, data: DataOf = ()
) -> dict[str, str]:
    """The parts of a job's key, each a hash.

    Args:
        experiments: of the room.
        config: of the sweep.
        job: experiment and seed.
        data: globs of experiments, each with the files or folders that these read.

    Returns:
        ``params``, ``source``, ``data``, ``lock`` and ``needs``. Parameters are those that are
        known before anything was measured; what a job takes out of another's record is in
        ``needs``, the keys of those jobs.
    """
    paths = next((tuple(p) for pattern, p in data if fnmatchcase(job[0], pattern)), ())
    needs = [key(of(experiments, config, need, data)) for need in experiments.needs(config, job)]
    return {
        "params": digest(experiments.params(config, job, NOWHERE)),
        "source": source(tuple(experiments.sources(job[0]))),
        "data": data_hash(paths),
        "lock": lock_hash(),
        "needs": digest(needs) if needs else "",
    }


def key(parts: Mapping[str, str]) -> str:
    """The key that the parts make."""
    return digest(dict(parts))


def digest(value: Any) -> str:
    """SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=list).encode()).hexdigest()


@cache
def source(sources: tuple[str, ...]) -> str:
    """Hash of the source of some modules, as the ledger computes it; asked for once a process."""
    return source_hash(sources) if sources else ""


@cache
def data_hash(paths: tuple[str, ...]) -> str:
    """Hash over names and contents of shared data; :data:`MISSING` where a part is not there."""
    if not paths:
        return ""
    from lithe.data import DataError
    from lithe.data.shared import shared_folder

    try:
        folder = shared_folder()
    except DataError:
        return MISSING
    total = hashlib.sha256()
    for name in paths:
        place = folder / name
        files = sorted(f for f in place.rglob("*") if f.is_file()) if place.is_dir() else [place]
        for file in files:
            if not file.is_file():
                return MISSING
            total.update(f"{file.relative_to(folder).as_posix()}\0".encode())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


@cache
def locked() -> dict[str, str]:
    """The lock's versions of the packages that can reach a result.

    Those that ``lithe`` itself requires, and what they require in turn. Tools that draw pages, run
    tests or carry out this workflow cannot change what is measured.
    """
    path = Path(__file__).resolve().parents[3] / "requirements.lock"
    if not path.is_file():
        return {}
    pins = (line.partition("==") for line in path.read_text().splitlines() if "==" in line)
    versions = {_plain(name): version.strip() for name, _, version in pins}
    return {name: versions[name] for name in sorted(_reached("lithe")) if name in versions}


@cache
def lock_hash() -> str:
    """Hash of :func:`locked`."""
    return digest(locked())


def fits_lock(record: ledger.Record) -> bool:
    """Whether a record was made with the torch and the numpy of the lock."""
    pins = locked()
    made = {"torch": record.env.torch, "numpy": record.env.numpy}
    return all(
        name not in pins or version is None or version.partition("+")[0] == pins[name]
        for name, version in made.items()
    )


def _reached(first: str) -> set[str]:
    """Names of the distributions that one requires, extras left out, as far as installed."""
    seen: set[str] = set()
    waiting = [first]
    while waiting:
        name = _plain(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        waiting += [NAME.match(line)[1] for line in required if "extra ==" not in line]
    return seen


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
