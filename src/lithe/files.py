"""Writes that are whole or not there at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["write_atomic", "write_json", "write_with"]


def write_with(path: str | Path, writer: Callable[[Path], None]) -> Path:
    """Let ``writer`` fill a temporary file beside ``path``, then rename it into place.

    A reader sees the old file or the new one, never a part of either. On any error, an
    interrupt included, the temporary file is removed and ``path`` is left as it was.

    Args:
        path: where the finished file goes; missing parent folders are made.
        writer: called with the temporary path (same suffix as ``path``).

    Returns:
        ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        writer(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write text (UTF-8) or bytes to ``path`` atomically; see :func:`write_with`."""
    data = content.encode() if isinstance(content, str) else content
    return write_with(path, lambda temporary: temporary.write_bytes(data) and None)


def write_json(path: str | Path, value: Any) -> Path:
    """Write ``value`` as sorted, indented JSON (no NaN, no infinity) atomically.

    Raises:
        ValueError: ``value`` holds NaN or infinity, which JSON cannot carry.
    """
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return write_atomic(path, text + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
