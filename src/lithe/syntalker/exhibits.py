"""All records of the SynTalker chapters that need no training, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lithe.syntalker import data_exhibits, metric_exhibits, model_exhibits

__all__ = ["EXHIBITS", "Shown"]

#: Metrics, curves, and the data sets that were used.
Shown = tuple[dict[str, Any], dict[str, list[float]] | None, list[dict[str, Any]]]
EXHIBITS: dict[str, Callable[[], Shown]] = (
    model_exhibits.EXHIBITS | data_exhibits.EXHIBITS | metric_exhibits.EXHIBITS
)
