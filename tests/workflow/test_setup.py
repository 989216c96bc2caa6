"""Setting up says in one line what is missing, from a folder with spaces in its name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "workflow" / "setup.sh"

OLD = """#!/bin/sh
case "$2" in
  *"print("*) echo 3.9 ;;
  *) exit 1 ;;
esac
"""

# Makes a .venv whose pip cannot download.
OFFLINE = """#!/bin/sh
case "$1 $2" in
  "-m venv")
    mkdir -p "$3/bin"
    printf '#!/bin/sh\\necho "ERROR: Could not find a version of torch"; exit 1\\n' \
      > "$3/bin/python"
    chmod +x "$3/bin/python" ;;
  *"print("*) echo 3.11 ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "a folder with spaces"
    place.mkdir()
    shutil.copy(SCRIPT, place / "setup.sh")
    (place / "requirements.lock").write_text("torch==2.13.0\n")
    return place


def complaint(folder: Path, python: str) -> str:
    """What setting up with this Python says on stderr; it has to fail."""
    done = subprocess.run(
        ["bash", "setup.sh", python], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def fake(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_no_python_is_named(folder: Path) -> None:
    assert "install Python 3.11" in complaint(folder, "")
    assert "does not run" in complaint(folder, "/nowhere/python")


def test_an_old_python_is_named(folder: Path) -> None:
    assert "Python 3.9 is not supported (3.11 to 3.13 are)" in complaint(folder, fake(folder, OLD))


def test_a_failed_download_shows_what_pip_said(folder: Path) -> None:
    said = complaint(folder, fake(folder, OFFLINE))
    assert "Could not find a version of torch" in said
    assert ".venv/install.log" in said
    assert not (folder / ".venv" / "ready").exists()
