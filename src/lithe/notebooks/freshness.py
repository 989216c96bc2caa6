"""Were the stored outputs made by the code that stands above them?"""

from __future__ import annotations

from pathlib import Path

from nbformat import NotebookNode

from lithe.notebooks import stamp
from lithe.notebooks.problem import Problem

__all__ = ["freshness"]

STALE = {
    "src_sha256": "src/lithe changed since the outputs were made; run make refresh",
    "lock_sha256": "requirements.lock changed since the outputs were made; run make refresh",
}


def freshness(notebook: NotebookNode, path: Path) -> list[Problem]:
    """Recompute the stamp and compare.

    Returns:
        An error when the notebook's own code or smoke profile changed or there is no stamp;
        problems of severity ``"stale"`` when the package or the lock changed.
    """
    stored = stamp.read(notebook)
    if not stored:
        message = "not stamped: execute it with make refresh, not by hand"
        return [Problem(path.name, "freshness", message)]
    if stored.get("code_sha256") != stamp.code_sha256(notebook, path):
        message = "the code or the smoke profile changed after it was executed; run make refresh"
        return [Problem(path.name, "freshness", message)]
    now = {"src_sha256": stamp.src_sha256(notebook), "lock_sha256": stamp.lock_sha256()}
    return [
        Problem(path.name, "freshness", STALE[key], severity="stale")
        for key, value in now.items()
        if stored.get(key) != value
    ]
