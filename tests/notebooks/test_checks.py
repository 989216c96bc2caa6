"""Each check passes on a good notebook and fails on one that is bad in exactly that way."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from lithe.notebooks import Problem, check
from lithe.notebooks.checks import sources
from lithe.notebooks.refreshing import combine, read_source

PARAMETERS, PRINTS, PICTURE, VALUE = 1, 2, 3, 4  # cells of the small notebook


def edit(path: Path, change: Callable[[NotebookNode], object]) -> list[Problem]:
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)
    return check(path)


def stream(name: str, text: str) -> NotebookNode:
    return nbformat.v4.new_output("stream", name=name, text=text)


def test_a_refreshed_pair_has_no_problems(pair: Path):
    assert check(pair) == []
    assert check(pair.with_suffix(".py")) == []


def bad_size(notebook: NotebookNode) -> None:
    notebook.cells[PRINTS].outputs = [stream("stdout", "x" * 300_001)]


def bad_png(notebook: NotebookNode) -> None:
    data = base64.b64encode(b"x" * 60_001).decode()
    notebook.cells[PICTURE].outputs[0].data["image/png"] = data


def bad_widget(notebook: NotebookNode) -> None:
    kind = "application/vnd.jupyter.widget-view+json"
    output = nbformat.v4.new_output("display_data", {kind: {"model_id": "1"}})
    notebook.cells[PRINTS].outputs.append(output)


SOMEONE = "/".join(("", "home", "me"))  # a path as some machine might print it


def bad_error(notebook: NotebookNode) -> None:
    output = nbformat.v4.new_output("error", ename="ValueError", evalue="no")
    notebook.cells[PRINTS].outputs.append(output)


def bad_path(notebook: NotebookNode) -> None:
    notebook.cells[PRINTS].outputs = [stream("stdout", f"saved to {SOMEONE}/x.json\n")]


def unexecuted(notebook: NotebookNode) -> None:
    for cell in notebook.cells[1:]:
        cell.update(outputs=[], execution_count=None)


BAD = {
    "size": (bad_size, "at most 300000"),
    "pictures": (bad_png, "PNG of 60001 bytes"),
    "widgets": (bad_widget, "widget"),
    "quiet": (bad_error, "stored error ValueError"),
    "absolute-path": (bad_path, f"'{SOMEONE}'"),
    "execution-order": (unexecuted, "execution count is None, should be 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_output_is_found(pair: Path, name: str):
    change, message = BAD[name]
    found = [str(problem) for problem in edit(pair, change) if problem.check == name]
    assert found
    assert message in found[0]


def test_an_unexecuted_notebook_is_refused_for_its_missing_outputs(pair: Path):
    missing = [p.cell for p in edit(pair, unexecuted) if p.check == "outputs-present"]
    assert missing == [PRINTS, PICTURE, VALUE]


def test_counts_out_of_order_are_found(pair: Path):
    problems = edit(pair, lambda notebook: notebook.cells[VALUE].update(execution_count=7))
    assert [(p.check, p.cell) for p in problems] == [("execution-order", VALUE)]


def test_stderr_is_found(pair: Path):
    warn = stream("stderr", "UserWarning: careful\n")
    problems = edit(pair, lambda notebook: notebook.cells[PRINTS].outputs.append(warn))
    assert [(p.check, p.cell) for p in problems] == [("quiet", PRINTS)]
    assert "careful" in problems[0].message


def test_a_picture_without_alt_text_is_found(pair: Path):
    problems = edit(pair, lambda notebook: notebook.cells[PICTURE].metadata.clear())
    assert [p.check for p in problems] == ["pairing", "pictures"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n.cells[PRINTS].update(source="print(profile)"), "source differs"),
        (lambda n: n.cells[PARAMETERS].metadata.update(tags=[]), "tags differs"),
        (lambda n: n.cells[PICTURE].metadata.mystnb.image.update(alt="no"), "mystnb differs"),
        (lambda n: n.cells[0].update(source="# Other"), "source differs"),
        (lambda n: n.cells.pop(), "the .ipynb has only 4 cells"),
        (lambda n: n.metadata.pop("kernelspec"), "kernelspec differs"),
    ],
)
def test_a_pair_out_of_sync_is_found(pair: Path, change: Callable, message: str):
    problems = [p for p in edit(pair, change) if p.check == "pairing"]
    assert len(problems) == 1
    assert message in problems[0].message
    assert "make refresh" in problems[0].message


def test_either_half_missing_is_found(pair: Path):
    pair.unlink()
    assert [str(p) for p in check(pair)] == [
        "01_tiny.ipynb: pairing: missing half of a pair; run make refresh"
    ]
    source = pair.with_suffix(".py")
    pair.write_text(nbformat.writes(nbformat.v4.new_notebook()))
    source.unlink()
    assert check(pair)[0].notebook == "01_tiny.py"


def test_a_twin_in_conflict_is_found_and_refresh_starts_anew(pair: Path):
    whole = nbformat.read(pair, as_version=4)
    pair.write_text("<<<<<<< ours\n" + pair.read_text())
    [problem] = check(pair)
    assert "merge conflict" in problem.message
    again = combine(read_source(pair.with_suffix(".py")), pair)
    assert [cell.id for cell in again.cells] == [cell.id for cell in whole.cells]


def test_outputs_older_than_the_code_are_found_though_the_pair_is_in_sync(pair: Path):
    source = pair.with_suffix(".py")
    source.write_text(source.read_text().replace("6 * 7", "6 * 8"))
    problems = edit(pair, lambda notebook: notebook.cells[VALUE].update(source="6 * 8"))
    assert [(p.check, p.severity) for p in problems] == [("freshness", "error")]


def test_a_changed_smoke_profile_makes_the_outputs_stale(pair: Path):
    (pair.parent / "params" / "01_tiny" / "smoke.yaml").write_text("epochs: 2\n")
    assert [p.check for p in check(pair)] == ["freshness"]


@pytest.mark.parametrize("key", ["src_sha256", "lock_sha256"])
def test_a_changed_package_or_lock_is_stale_and_names_the_command(pair: Path, key: str):
    problems = edit(pair, lambda notebook: notebook.metadata.lithe.executed.update({key: "0"}))
    assert [(p.check, p.severity) for p in problems] == [("freshness", "stale")]
    assert "make refresh" in problems[0].message


def test_a_notebook_that_refresh_never_saw_is_found(pair: Path):
    problems = edit(pair, lambda notebook: notebook.metadata.pop("lithe"))
    assert [p.check for p in problems] == ["freshness"]
    assert "not stamped" in problems[0].message


def test_a_cell_of_26_lines_is_too_long_and_25_with_comments_is_not(pair: Path):
    for lines, expected in ((25, []), (26, ["cell-length"])):
        code = "# why\n\n" + "\n".join(f"x{i} = {i}" for i in range(lines))
        problems = edit(pair, lambda n, code=code: n.cells[PARAMETERS].update(source=code))
        assert [p.check for p in problems if p.check == "cell-length"] == expected


def test_sources_are_chosen_by_number_or_name(pair: Path):
    folder = pair.parent
    assert [path.name for path in sources(folder)] == ["01_tiny.py"]
    assert sources(folder, ["01"]) == sources(folder, ["01_tiny", "01"]) == sources(folder)
    with pytest.raises(ValueError, match=r"no notebook '02' \(there: 01_tiny\)"):
        sources(folder, ["02"])
