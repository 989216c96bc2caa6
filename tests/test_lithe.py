"""The package itself: instant to import, every part there, wrong names refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lithe


@pytest.mark.parametrize("name", [name for name in lithe.__all__ if name != "__version__"])
def test_every_part_loads_on_first_use(name):
    assert getattr(lithe, name).__name__ == f"lithe.{name}"


def test_unknown_part_is_refused_with_the_list():
    with pytest.raises(AttributeError, match="dcff"):
        _ = lithe.dcf


def test_import_alone_loads_no_torch():
    code = "import sys, lithe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
