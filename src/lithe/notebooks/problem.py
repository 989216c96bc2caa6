"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one notebook.

    Attributes:
        notebook: file name.
        check: name of the check, such as ``"pairing"``.
        message: what is wrong and what would be right.
        cell: position of the cell from 0, where one cell is to blame.
        severity: ``"error"``, or ``"stale"`` when only a refresh is due because ``src`` or the
            lock changed.
    """

    notebook: str
    check: str
    message: str
    cell: int | None = None
    severity: Literal["error", "stale"] = "error"

    def __str__(self) -> str:
        where = "" if self.cell is None else f", cell {self.cell}"
        return f"{self.notebook}{where}: {self.check}: {self.message}"
