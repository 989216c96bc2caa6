"""Turning what a run holds into what JSON can hold, refusing what it cannot."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel

from lithe.ledger.errors import LedgerError

__all__ = ["mapping", "metric", "scalar"]

METRIC_KEYS = {"value", "unit", "n"}


def scalar(name: str, value: Any) -> int | float:
    """A finite Python number out of a number, or a NumPy or torch scalar.

    Raises:
        LedgerError: not one number, or NaN or infinity; the message has ``name``.
    """
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        if getattr(value, "size", 1) != 1 and not callable(getattr(value, "size", None)):
            raise LedgerError(f"{name!r} must be one number, got an array of {value.size}")
        try:
            value = value.item()
        except (RuntimeError, ValueError):
            raise LedgerError(f"{name!r} must be one number, got {value!r:.80}") from None
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int | float):
        raise LedgerError(f"{name!r} must be a number, got {value!r:.80}")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise LedgerError(f"{name!r} is beyond 64 bits; give it in a larger unit")
    if not math.isfinite(value):
        raise LedgerError(f"{name!r} must be finite, got {value}: record the count of such values")
    return value


def metric(name: str, value: Any) -> dict[str, Any]:
    """``{"value", "unit", "n"}`` out of a bare number or of such a mapping."""
    if not isinstance(value, Mapping):
        return {"value": scalar(name, value)}
    unknown = sorted(set(value) - METRIC_KEYS)
    if unknown or "value" not in value:
        raise LedgerError(f"metric {name!r} takes value, unit and n, got {sorted(value)}")
    entry = dict(value) | {"value": scalar(name, value["value"])}
    if entry.get("n") is not None:
        entry["n"] = scalar(f"{name}.n", entry["n"])
    return entry


def mapping(params: Mapping[str, Any] | BaseModel) -> dict[str, Any]:
    """The parameters of a run as JSON values.

    An absolute path would tie the record to one machine: only its last part is kept.
    """
    if isinstance(params, BaseModel):
        params = params.model_dump()
    if dataclasses.is_dataclass(params) and not isinstance(params, type):
        params = dataclasses.asdict(params)
    if not isinstance(params, Mapping):
        raise LedgerError(f"params must be a mapping or a model, got {type(params).__name__}")
    return {str(key): _value(f"params.{key}", value) for key, value in params.items()}


def _value(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _value(name, value.value)
    if isinstance(value, str | PurePath):
        return Path(value).name if Path(value).is_absolute() else str(value)
    if isinstance(value, Mapping):
        return {str(key): _value(f"{name}.{key}", inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [_value(f"{name}[{i}]", inner) for i, inner in enumerate(items)]
    if isinstance(value, BaseModel):
        return _value(name, value.model_dump())
    return scalar(name, value)
