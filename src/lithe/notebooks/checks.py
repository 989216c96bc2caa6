"""All checks of one notebook."""

from __future__ import annotations

from pathlib import Path

from lithe.notebooks import chapter, outputs
from lithe.notebooks.freshness import freshness
from lithe.notebooks.pairing import pairing
from lithe.notebooks.problem import Problem
from lithe.notebooks.refreshing import read_twin

__all__ = ["Problem", "check", "sources"]

NOTEBOOK_LIMIT = 300_000  # bytes


def check(path: str | Path) -> list[Problem]:
    """Find everything that is wrong with a committed notebook, without running it.

    Args:
        path: either half of a pair.

    Returns:
        Problems, those of severity ``"stale"`` last; empty when all is well.
    """
    target = Path(path).with_suffix(".ipynb")
    problems = pairing(target)
    notebook = read_twin(target)
    if notebook is None:
        return problems
    checks = {**outputs.CHECKS, "cell-length": chapter.long_cells}
    if chapter.is_chapter(target.stem):
        checks["chapter-template"] = chapter.parts
    for name, find in checks.items():
        problems += [Problem(target.name, name, text, cell) for cell, text in find(notebook)]
    problems += _size(target) + freshness(notebook, target)
    return sorted(problems, key=lambda problem: problem.severity == "stale")


def sources(folder: Path, names: list[str] | None = None) -> list[Path]:
    """The ``.py`` files of notebooks in a folder, all or those whose name starts as given.

    Args:
        folder: the notebooks folder.
        names: ``["01", "02_onexn"]``; all when empty.

    Raises:
        ValueError: a name fits no notebook.
    """
    found = sorted(path for path in folder.glob("*.py") if path.stem[:2].isdigit())
    if not names:
        return found
    chosen: list[Path] = []
    for name in names:
        stem = Path(name).stem
        fits = [path for path in found if path.stem == stem or path.stem.split("_")[0] == stem]
        if not fits:
            there = ", ".join(path.stem for path in found) or "none"
            raise ValueError(f"no notebook {name!r} (there: {there})")
        chosen += [path for path in fits if path not in chosen]
    return chosen


def _size(path: Path) -> list[Problem]:
    size = path.stat().st_size
    if size <= NOTEBOOK_LIMIT:
        return []
    return [Problem(path.name, "size", f"{size} bytes, at most {NOTEBOOK_LIMIT}")]
