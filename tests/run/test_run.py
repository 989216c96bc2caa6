from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from lithe.profiles import ProfileError
from lithe.run import RunError, find, main, parse_parameter, run

NOTEBOOK = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
profile = "smoke"
overrides = {}
seconds = 0

# %%
import os
import pathlib
import time

pathlib.Path("started").touch()
time.sleep(seconds)
print(profile, overrides, os.path.basename(os.getcwd()), os.environ["PYTHONHASHSEED"])

# %%
assert overrides.get("lr", 1) > 0, "lr must be positive"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    params = tmp_path / "notebooks" / "params" / "01_tiny"
    params.mkdir(parents=True)
    (params / "smoke.yaml").write_text("lr: 1e-3\n")
    (params / "small.yaml").write_text("lr: 1e-3\nwidths: [4]\n")
    (tmp_path / "notebooks" / "01_tiny.py").write_text(NOTEBOOK)
    return tmp_path / "notebooks"


def outputs(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for cell in cells for o in cell.get("outputs", []))


def test_a_run_is_parametrised_executed_and_cleaned(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.chdir(folder.parent)
    status = main(["01_tiny", "--profile", "small", "-p", "lr=1e-2", "-p", "widths=[4, 8]"])
    done = Path(capsys.readouterr().out.strip())
    assert status == 0
    assert outputs(done) == "small {'lr': 0.01, 'widths': [4, 8]} notebooks 0\n"
    assert sorted(path.name for path in done.parent.iterdir()) == [done.name]
    assert done.parent == folder.parent / "runs" / "01_tiny"
    assert done.name.startswith("small-")
    notebook = nbformat.read(done, as_version=4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert {key for cell in notebook.cells for key in cell.metadata} == {"tags"}
    assert os.environ["PYTHONHASHSEED"] == "7"


def test_a_failing_run_keeps_the_error_and_says_where(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    status = main([str(folder / "01_tiny.py"), "-p", "lr=-1", "--out", str(tmp_path / "out")])
    err = capsys.readouterr().err
    assert status == 1
    assert "lr must be positive" in err
    [kept] = (tmp_path / "out" / "01_tiny").iterdir()
    assert kept.name.endswith(".failed.ipynb")
    assert f"kept: {kept}" in err
    cells = nbformat.read(kept, as_version=4).cells
    errors = [o for c in cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert [error.evalue for error in errors] == ["lr must be positive"]


def test_an_interrupted_run_is_kept_as_failed(folder: Path):
    command = [sys.executable, "-m", "lithe.run", "01_tiny", "-p", "seconds=60"]
    running = subprocess.Popen(
        command, cwd=folder.parent, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not (folder / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"kept as .failed.ipynb" in err
    [kept] = (folder.parent / "runs" / "01_tiny").iterdir()
    assert kept.name.endswith(".failed.ipynb")
    assert '"KeyboardInterrupt"' in kept.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["01_tiny", "-p", "learning=1"], "unknown parameter 'learning' (known: lr, seconds, wid"),
        (["01_tiny", "-p", "width=1"], "did you mean 'widths'?"),
        (["01_tiny", "-p", "second=1"], "did you mean 'seconds'?"),
        (["01_tiny", "-p", "profile=small"], "use --profile"),
        (["01_tiny", "-p", "overrides={}"], "-p key=value for one value"),
        (["01_tiny", "-p", "lr"], "not of the form key=value"),
        (["01_tiny", "-p", "a.b=1"], "not of the form key=value"),
        (["01_tiny", "-p", "lr=[1"], "not readable as YAML"),
        (["01_tiny", "--profile", "small_"], "did you mean 'small'?"),
        (["01_tiny", "--profile", "full"], "has no profile 'full'"),
        (["01_tini"], "no notebook '01_tini' (there: 01_tiny); did you mean '01_tiny'?"),
        (["nowhere/01_tiny.ipynb"], "no notebook"),
    ],
)
def test_requests_that_make_no_sense_are_refused_before_anything_runs(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    arguments: list[str],
    message: str,
):
    monkeypatch.chdir(folder.parent)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (folder.parent / "runs").exists()


def test_a_notebook_without_parameters_is_refused(folder: Path):
    source = folder / "01_tiny.py"
    source.write_text(NOTEBOOK.replace(' tags=["parameters"]', ""))
    with pytest.raises(ProfileError, match="no cell tagged 'parameters'"):
        run(source)


def test_the_py_of_a_pair_is_what_runs(folder: Path):
    nbformat.write(nbformat.v4.new_notebook(), folder / "01_tiny.ipynb")
    assert find(folder / "01_tiny.ipynb") == folder / "01_tiny.py"
    (folder / "01_tiny.py").unlink()
    assert find(folder / "01_tiny") == folder / "01_tiny.ipynb"


def test_a_broken_notebook_is_refused(tmp_path: Path):
    (tmp_path / "x.ipynb").write_text("{")
    with pytest.raises(ProfileError, match=r"x\.ipynb"):
        run(tmp_path / "x.ipynb")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("lr=1e-3", ("lr", 1e-3)), ("name=a=b", ("name", "a=b")), ("x=", ("x", None))],
)
def test_parameters_are_read(text: str, expected: tuple):
    assert parse_parameter(text) == expected


def test_a_cell_that_raises_reaches_the_caller_with_the_path(folder: Path):
    source = folder / "01_tiny.py"
    source.write_text(NOTEBOOK.split("# %%\nimport os")[0] + "# %%\nimport os\n\nos._exit(3)\n")
    with pytest.raises(RunError, match=r"[Kk]ernel") as caught:
        run(source, out=folder.parent / "out")
    assert '"DeadKernelError"' in caught.value.path.read_text()


@pytest.mark.parametrize("content", ["[]", '{"nbformat": 4, "cells": 3}', "\udcff"])
def test_a_notebook_of_another_shape_is_refused(tmp_path: Path, content: str):
    (tmp_path / "x.ipynb").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ProfileError, match=r"x\.ipynb cannot be read: "):
        run(tmp_path / "x.ipynb")


def test_results_that_have_no_place_are_refused_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture
):
    (folder / "file").touch()
    request = [str(folder / "01_tiny.py"), "--out", str(folder / "file")]
    assert main(request) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "give another one with --out" in line


def test_a_kernel_that_is_not_there_keeps_nothing_and_promises_nothing(
    folder: Path, capsys: pytest.CaptureFixture
):
    source = folder / "01_tiny.py"
    source.write_text(NOTEBOOK.replace("name: python3", "name: nowhere"))
    assert main([str(source)]) == 1
    error = capsys.readouterr().err
    assert "nowhere" in error
    assert "kept:" not in error or Path(error.rpartition("kept: ")[2].strip()).is_file()
