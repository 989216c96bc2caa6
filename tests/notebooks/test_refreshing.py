from __future__ import annotations

import hashlib
from pathlib import Path

import jupytext
import nbformat
import pytest

from lithe.notebooks import NotebookError, execute, refresh, stamp
from lithe.notebooks.__main__ import main
from lithe.notebooks.execution import set_profile
from lithe.notebooks.refreshing import combine, read_source


def test_refresh_runs_on_one_thread_in_the_notebooks_folder(refreshed: Path):
    notebook = nbformat.read(refreshed.with_suffix(".ipynb"), as_version=4)
    assert notebook.cells[2].outputs[0].text == "smoke 1 0 notebooks\n"
    assert [c.execution_count for c in notebook.cells if c.cell_type == "code"] == [1, 2, 3, 4]
    assert "version" not in notebook.metadata.language_info
    assert set(notebook.metadata.lithe.executed) == {
        "code_sha256", "src_sha256", "lock_sha256", "seconds",
    }  # fmt: skip


def test_the_stamp_stays_out_of_the_py(refreshed: Path):
    notebook = jupytext.read(refreshed.with_suffix(".ipynb"))
    assert "executed" not in jupytext.writes(notebook, fmt="py:percent")


def test_a_new_notebook_gets_the_same_ids_every_time(pair: Path):
    before = [cell.id for cell in nbformat.read(pair, as_version=4).cells]
    pair.unlink()
    again = combine(read_source(pair.with_suffix(".py")), pair)
    assert [cell.id for cell in again.cells] == before
    assert len(set(before)) == len(before)


def test_cells_keep_their_ids_round_an_edit(pair: Path):
    before = [cell.id for cell in nbformat.read(pair, as_version=4).cells]
    source = pair.with_suffix(".py")
    text = source.read_text()
    source.write_text(text.replace("# %%\nimport os", "# %%\nnew = 1\n\n# %%\nimport os"))
    after = [cell.id for cell in combine(read_source(source), pair).cells]
    assert [name for name in after if name in before] == before
    assert len(set(after)) == len(before) + 1


def test_equal_cells_get_different_ids(pair: Path):
    source = pair.with_suffix(".py")
    source.write_text(source.read_text() + "\n# %%\n1\n\n# %%\n1\n")
    ids = [cell.id for cell in combine(read_source(source), pair).cells]
    assert len(set(ids)) == len(ids) == 7


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('too wide')", r"01_tiny\.py, cell 4: [\s\S]*ValueError: too wide"),
        ("import warnings\nwarnings.warn('careful')", r"cell 4 wrote to stderr[\s\S]*careful"),
    ],
)
def test_a_bad_cell_is_named_and_the_twin_stays(pair: Path, code: str, message: str):
    before = pair.read_bytes()
    source = pair.with_suffix(".py")
    source.write_text(source.read_text().replace("6 * 7", code))
    with pytest.raises(NotebookError, match=message):
        refresh(source)
    assert pair.read_bytes() == before


def test_execute_at_another_profile_leaves_the_parameters_as_they_were(pair: Path):
    execute(pair, profile="small")
    notebook = nbformat.read(pair, as_version=4)
    assert notebook.cells[2].outputs[0].text.startswith("small 1 0")
    assert 'profile = "smoke"' in notebook.cells[1].source


def test_execute_refuses_an_unknown_profile_and_a_notebook_without_one(pair: Path):
    with pytest.raises(ValueError, match=r"unknown profile 'small_'.*did you mean 'small'"):
        execute(pair, profile="small_")
    with pytest.raises(ValueError, match="no cell tagged"):
        set_profile(nbformat.v4.new_notebook(), "small")


def test_a_header_without_language_is_refused(pair: Path):
    source = pair.with_suffix(".py")
    source.write_text(source.read_text().replace("#     language: python\n", ""))
    with pytest.raises(ValueError, match="kernelspec with display_name, language"):
        refresh(source)


def test_the_command_line_checks_and_refuses(pair: Path, capsys: pytest.CaptureFixture):
    assert main(["check", "--folder", str(pair.parent)]) == 0
    assert capsys.readouterr().out == "1 notebooks, 0 problems\n"
    assert main(["check", "--folder", str(pair.parent), "02"]) == 2
    assert "no notebook '02'" in capsys.readouterr().err
    pair.unlink()
    assert main(["nbval", "--folder", str(pair.parent)]) == 1  # refused before it runs


def test_the_stamp_is_the_hash_it_says(pair: Path):
    notebook = nbformat.read(pair, as_version=4)
    digest = hashlib.sha256()
    code = [cell.source.encode() for cell in notebook.cells if cell.cell_type == "code"]
    for part in [*code, b"epochs: 1\n"]:
        digest.update(len(part).to_bytes(8, "little") + part)
    assert stamp.read(notebook)["code_sha256"] == digest.hexdigest()
