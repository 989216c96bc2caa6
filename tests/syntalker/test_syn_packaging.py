"""The small weights travel with the package: every file of a bundle is named to the installer."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import lithe.syntalker
from lithe.syntalker import bundle

ROOM = Path(lithe.syntalker.__file__).parent
REPOSITORY = ROOM.parents[2]


def test_every_file_of_the_shipped_bundle_is_package_data():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["lithe.syntalker"]
    folder = PurePosixPath(bundle.PRETRAINED.relative_to(ROOM).as_posix())
    for name in (bundle.PLAN, *bundle._files()):
        assert any((folder / name).match(pattern) for pattern in patterns), name


def test_git_does_not_ignore_the_weights():
    paths = [str(bundle.PRETRAINED / name) for name in (bundle.PLAN, *bundle._files())]
    asked = ["git", "-C", str(REPOSITORY), "check-ignore", *paths]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert found.stdout == ""
