"""Markers: a small file per job that says with what inputs its record was made.

The record is written first and the marker after it, both whole or not at all. Where a run is
killed in between there is a record without a marker; the next plan takes it as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lithe.files import write_json
from lithe.ledger.place import results_folder

__all__ = ["exclusive", "fingerprint", "read", "write"]


def path(state: Path, record: str) -> Path:
    """Where the marker of a record lies."""
    return state / "done" / f"{record}.json"


def read(state: Path, record: str) -> dict[str, Any] | None:
    """The marker of a record; none where there is none, or it is not readable."""
    try:
        found = json.loads(path(state, record).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "inputs" in found else None


def write(state: Path, records: Sequence[str], inputs: Mapping[str, str], plan: str = "") -> Path:
    """Mark the records that are there now as made with these inputs, in the course of a plan."""
    told = {
        "plan": plan,
        "inputs": dict(inputs),
        "records": list(records),
        "sha256": fingerprint(records),
        "time": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }
    return write_json(path(state, records[0]), told)


def fingerprint(records: Sequence[str]) -> str:
    """Hash over the files of some records; empty where one is not there."""
    total = hashlib.sha256()
    for record in records:
        file = results_folder(None, record.split("/")[2]) / f"{record}.json"
        try:
            total.update(file.read_bytes())
        except OSError:
            return ""
    return total.hexdigest()


@contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends; wait for whoever has it.

    A killed engine leaves its jobs running. The next engine's job waits here for the orphan and
    then finds the work done, rather than doing it a second time beside it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
