"""Compiled objects on disk, so that a second start compiles nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lithe.files import write_atomic

__all__ = ["folder", "load", "store"]


def folder() -> Path:
    """Where compiled objects lie: LITHE_CACHE, or the user's cache folder.

    They are run as they are: it must be a folder that nobody else can write to.
    """
    own = os.environ.get("LITHE_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lithe" / "kernels"


def load(key: str) -> bytes | None:
    """The object under a key, or None where there is none that is whole.

    The first 32 bytes of a file are the SHA-256 of the rest and the key: a truncated, altered or
    renamed file is no object.
    """
    try:
        data = (folder() / f"{key}.o").read_bytes()
    except (OSError, RuntimeError):  # the latter: a user without a home
        return None
    return data[32:] if data[:32] == _seal(key, data[32:]) else None


def store(key: str, content: bytes) -> bool:
    """Keep an object; False where the folder cannot be written, which is no error."""
    try:
        own = folder()
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(own / f"{key}.o", _seal(key, content) + content)
    except (OSError, RuntimeError):
        return False
    return True


def _seal(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()
