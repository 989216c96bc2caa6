"""Where the book, its results and the results of a smoke run lie."""

from __future__ import annotations

import os
from pathlib import Path

from lithe.ledger.errors import LedgerError

__all__ = ["book_root", "claims_folder", "results_folder"]


def book_root(root: str | Path | None = None) -> Path:
    """Find the book folder, the one that holds ``claims/`` and ``results/``.

    Args:
        root: the folder itself. Without it: the environment variable ``LITHE_BOOK``, else the
            nearest ``book/`` with a ``claims/`` in it at or above the working directory, else the
            ``book/`` of the checkout that this package is imported from.

    Raises:
        LedgerError: none of these is there.
    """
    if root is not None:
        return Path(root)
    if named := os.environ.get("LITHE_BOOK"):
        return Path(named)
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[3]
    for folder in (here, *here.parents, checkout):
        if (folder / "book" / "claims").is_dir():
            return folder / "book"
    raise LedgerError(
        f"no book/ with claims/ at or above {here.name or here}: set LITHE_BOOK or pass root"
    )


def claims_folder(root: str | Path | None = None) -> Path:
    """The folder of the ``<paper>.yml`` files.

    Raises:
        LedgerError: there is no such folder, so that a mistyped book never looks like an empty one.
    """
    folder = book_root(root) / "claims"
    if not folder.is_dir():
        raise LedgerError(
            f"no folder {folder}: root and LITHE_BOOK name the book/ that holds claims/"
        )
    return folder


def results_folder(root: str | Path | None = None, profile: str = "small") -> Path:
    """The folder of the records of a profile.

    A smoke run proves that the code runs, not what it measures: unless ``root`` is given its
    records go to ``runs/results`` beside the book, which git ignores.
    """
    if root is None and profile == "smoke":
        return book_root().parent / "runs" / "results"
    return book_root(root) / "results"
