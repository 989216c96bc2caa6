"""The committed notebooks: pairs in sync, and every rule that needs no execution."""

from __future__ import annotations

from pathlib import Path

import pytest

from lithe.notebooks.checks import check

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
STEMS = sorted({p.stem for p in NOTEBOOKS.glob("[0-9][0-9]_*") if p.suffix in {".py", ".ipynb"}})


def test_there_is_a_notebook():
    assert STEMS, f"no NN_name.py in {NOTEBOOKS}"


@pytest.mark.parametrize("stem", STEMS)
def test_a_committed_notebook_keeps_the_rules(stem: str):
    problems = [p for p in check(NOTEBOOKS / f"{stem}.ipynb") if p.check != "freshness"]
    assert not problems, "\n" + "\n".join(map(str, problems))


@pytest.mark.parametrize("stem", STEMS)
def test_a_notebook_has_all_three_profiles(stem: str):
    has_parameters = 'tags=["parameters"]' in (NOTEBOOKS / f"{stem}.py").read_text()
    there = {path.stem for path in (NOTEBOOKS / "params" / stem).glob("*.yaml")}
    assert not has_parameters or there == {"smoke", "small", "full"}
