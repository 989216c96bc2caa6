"""Curves of a run, kept in a file of their own beside the record."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lithe.files import write_atomic
from lithe.ledger.errors import LedgerError
from lithe.ledger.place import results_folder

if TYPE_CHECKING:
    from lithe.ledger.records import Record

__all__ = ["curve_path", "curves", "write_curves"]


def curve_path(record_path: Path) -> Path:
    """``3.json`` has its curves in ``3.curves.json``."""
    return record_path.with_suffix(".curves.json")


def write_curves(path: Path, values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Write one-dimensional curves as JSON; a value that is not finite becomes null.

    Returns:
        What the record keeps of them: file name, hash, lengths.
    """
    lists = {str(name): _curve(str(name), curve) for name, curve in values.items()}
    text = json.dumps(lists, sort_keys=True, allow_nan=False) + "\n"
    write_atomic(path, text)
    return {
        "file": path.name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "lengths": {name: len(curve) for name, curve in lists.items()},
    }


def curves(record: Record, root: str | Path | None = None) -> dict[str, np.ndarray]:
    """The curves of a record, float64, NaN where the run had no finite value.

    Raises:
        LedgerError: the record has none, or the file is not the one that it was written with.
    """
    if record.curves is None:
        raise LedgerError(f"record {record.id} has no curves")
    folder = results_folder(root, record.profile) / record.id
    path = folder.parent / record.curves.file
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != record.curves.sha256:
        raise LedgerError(f"record {record.id}: {path.name} is missing or was changed")
    lists = json.loads(content)
    return {name: np.array([np.nan if v is None else v for v in c]) for name, c in lists.items()}


def _curve(name: str, values: Sequence[float]) -> list[float | None]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise LedgerError(f"curve {name!r} must be a list of numbers, got shape {array.shape}")
    return [value if math.isfinite(value) else None for value in array.tolist()]
