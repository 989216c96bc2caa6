from __future__ import annotations

from pathlib import Path

import pytest

from lithe.notebooks.imports import PACKAGE, source_files

FILES = {
    "__init__.py": "",
    "ground.py": "def f():\n    from lib.below import g\n",
    "below.py": "g = 1\n",
    "apart.py": "",
    "room/__init__.py": "",
    "room/run.py": "from ..other import thing\nfrom . import model\n",
    "room/model.py": "",
    "room/table.json": "{}",
    "room/__pycache__/x.pyc": "",
    "other/__init__.py": "from lib import below\n",
    "other/thing.py": "",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "lib"


OTHER = ["below.py", "other/__init__.py", "other/thing.py"]
ROOM = ["room/__init__.py", "room/model.py", "room/run.py", "room/table.json"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import numpy", []),
        ("import lib.ground", ["below.py", "ground.py"]),
        ("from lib import apart", ["apart.py"]),
        ("from lib.below import g", ["below.py"]),
        ("def f():\n    import lib.other.thing", OTHER),
        ("from lib.room.run import x", sorted(OTHER + ROOM)),
        ("import library", []),
        ("import lib\n\nlib.ground.f()", ["below.py", "ground.py"]),
        ("import lib as short\n\nshort.apart", ["apart.py"]),
    ],
)
def test_the_closure_over_imports(package: Path, code: str, expected: list[str]):
    found = [path.relative_to(package).as_posix() for path in source_files(code, package)]
    assert found == sorted(["__init__.py", *expected])


def test_a_notebook_rests_on_what_it_imports_of_lithe_and_no_more():
    found = {path.relative_to(PACKAGE).as_posix() for path in source_files("import lithe.files")}
    assert found == {"__init__.py", "files.py"}
