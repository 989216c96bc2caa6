"""README.md shows what the ledger and the notebooks say, and the check notices when it does not."""

from __future__ import annotations

import re
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from lithe.book import readme

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    for name in ("README.md", "notebooks", "book/claims", "book/results", "book/_static"):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return tmp_path


def test_the_committed_readme_is_current():
    assert readme.current(ROOT) == []


def test_both_commands_stand_on_the_first_screen():
    first = (ROOT / "README.md").read_text().splitlines()[:20]
    assert any(line.startswith("make book") for line in first)
    assert any(line.startswith("make test") for line in first)


def test_a_typed_scoreboard_is_noticed_and_mended(checkout):
    page = checkout / "README.md"
    page.write_text(page.read_text().replace("| dcff |", "| dcff | 99 |"))
    assert readme.current(checkout) == ["the scoreboard"]
    readme.update(checkout)
    assert readme.current(checkout) == []


def test_another_picture_is_noticed(checkout):
    (checkout / "book/_static/dcff-contest.png").write_bytes(b"other")
    assert readme.current(checkout) == ["book/_static/dcff-contest.png"]


def test_missing_marks_and_figures_are_named(checkout):
    notebook = checkout / "notebooks/01_dcff.ipynb"
    with pytest.raises(readme.ReadmeError, match="fig-nowhere"):
        readme.figure(notebook, "fig-nowhere")
    (checkout / "README.md").write_text("nothing here")
    with pytest.raises(readme.ReadmeError, match="scoreboard"):
        readme.current(checkout)


def test_the_code_on_the_first_page_runs(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.S)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with redirect_stdout(StringIO()):
        for block in blocks:
            exec(block, names)  # our own text: what a reader would paste
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} >= {"small", "fast"}
    assert names["deployed"].current.macs <= names["budget"]
