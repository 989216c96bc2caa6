"""Checksums: is this file, or this array, the one that was meant?"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
from torch import Tensor

from lithe.data.errors import DataError

__all__ = ["file_digest", "tensor_digest", "verify_file", "verify_manifest"]


def file_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes; ``algorithm`` is any name that ``hashlib`` knows."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def tensor_digest(*tensors: Tensor) -> str:
    """Hex sha256 of the dtype, shape and bytes (C order) of CPU or GPU tensors, in order."""
    digest = hashlib.sha256()
    for tensor in tensors:
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def verify_file(path: Path, expected: str, algorithm: str = "sha256") -> None:
    """Refuse a file whose hex digest does not begin with ``expected``.

    Raises:
        DataError: the file is missing or its digest is another one.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; restore the folder {path.parent} and try again")
    found = file_digest(path, algorithm)
    if not found.startswith(expected):
        raise DataError(
            f"{path} is damaged or cut short: its {algorithm} is {found}, not {expected}; "
            "fetch the file again"
        )


def _listed(listing: Path) -> dict[str, str]:
    """Whole sha256 digests by file name; a cut digest would let almost any file pass."""
    expected = {}
    for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.strip().partition(" ")
        if line.strip() and not (name and re.fullmatch(r"[0-9a-f]{64}", digest)):
            raise DataError(
                f"{listing} is damaged: {line[:80]!r} is not '<sha256>  <name>'; restore it"
            )
        expected[name.strip().lstrip("*").removeprefix("./")] = digest
    return expected


def verify_manifest(folder: Path, names: list[str], manifest: str = "MANIFEST.sha256") -> None:
    """Check the named files of a folder against its ``sha256sum`` manifest.

    Raises:
        DataError: the manifest is missing, does not list a name, or a file differs from it.
    """
    listing = folder / manifest
    if not listing.is_file():
        raise DataError(f"{listing} is missing; restore the folder {folder} and try again")
    expected = _listed(listing)
    for name in names:
        if name not in expected:
            raise DataError(f"{listing} does not list {name}; restore the manifest")
        verify_file(folder / name, expected[name])
