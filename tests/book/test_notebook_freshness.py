"""The stored outputs were made by this code, this package and this lock: else ``make refresh``."""

from __future__ import annotations

from pathlib import Path

import pytest

from lithe.notebooks.checks import check

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
EXECUTED = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
@pytest.mark.parametrize("severity", ["error", "stale"])
def test_outputs_are_fresh(path: Path, severity: str):
    problems = [p for p in check(path) if p.check == "freshness" and p.severity == severity]
    assert not problems, "\n" + "\n".join(map(str, problems))
