"""Curves of a run, kept in a file of their own beside the record."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lithe.files import write_atomic
from lithe.ledger.errors import LedgerError

__all__ = ["read_curves", "write_curves"]


def write_curves(record_path: Path, values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Write one-dimensional curves as JSON beside a record; what is not finite becomes null.

    The file is named after its content (``3.json`` has ``3.curves-0a1b2c3d.json``): whoever writes
    the same record at the same time writes another file, so record and curves always fit.

    Returns:
        What the record keeps of them: file name, hash, lengths.
    """
    lists = {str(name): _curve(str(name), curve) for name, curve in values.items()}
    text = json.dumps(lists, sort_keys=True, allow_nan=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = record_path.with_suffix(f".curves-{digest[:8]}.json")
    write_atomic(path, text)
    return {
        "file": path.name,
        "sha256": digest,
        "lengths": {name: len(curve) for name, curve in lists.items()},
    }


def read_curves(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """The curves of a file, float64, NaN for null.

    Raises:
        LedgerError: the file is gone, or not the one with this hash.
    """
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise LedgerError(f"curves {path.name} are missing, or were changed")
    lists = json.loads(content)
    return {name: np.array([np.nan if v is None else v for v in c]) for name, c in lists.items()}


def _curve(name: str, values: Sequence[float]) -> list[float | None]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise LedgerError(f"curve {name!r} must be a list of numbers, got {values!r:.80}") from None
    if array.ndim != 1:
        raise LedgerError(f"curve {name!r} must be a list of numbers, got shape {array.shape}")
    return [value if math.isfinite(value) else None for value in array.tolist()]
