"""Where real data for tests and small runs lies; it is never part of the project."""

from __future__ import annotations

import os
from pathlib import Path

from lithe.data.errors import DataError

__all__ = ["shared_folder"]

_REPOSITORY = Path(__file__).resolve().parents[3]


def shared_folder(folder: str | Path | None = None) -> Path:
    """The folder of shared real data.

    Args:
        folder: the folder itself; by default ``$LITHE_SHARED``, else ``../shared`` beside the
            repository.

    Raises:
        DataError: there is no such folder.
    """
    default = os.environ.get("LITHE_SHARED") or _REPOSITORY.parent / "shared"
    path = Path(folder if folder is not None else default).expanduser()
    if not path.is_dir():
        raise DataError(
            f"no shared data at {path}: set LITHE_SHARED to the folder that holds data/cifar10"
        )
    return path
