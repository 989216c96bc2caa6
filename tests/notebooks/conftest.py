"""A folder of notebooks as the repository has one, with one small pair in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lithe.notebooks import refresh

ROOT = Path(__file__).resolve().parents[2]

HEADER = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

"""

BODY = """\
# %% [markdown]
# # A small notebook

# %% tags=["parameters"]
profile = "smoke"
overrides = {}

# %%
import os

from lithe.files import write_json

threads, seed = os.environ["OMP_NUM_THREADS"], os.environ["PYTHONHASHSEED"]
print(profile, threads, seed, os.path.basename(os.getcwd()))

# %% mystnb={"image": {"alt": "one red pixel"}}
from IPython.display import Image, display

RED = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
display(Image(data=__import__("base64").b64decode(RED)))

# %%
6 * 7
"""


def make_folder(folder: Path, body: str = BODY) -> Path:
    """Make ``folder`` a notebooks folder; returns the ``.py`` of its one notebook."""
    (folder / "params" / "01_tiny").mkdir(parents=True)
    (folder / "params" / "01_tiny" / "smoke.yaml").write_text("epochs: 1\n")
    shutil.copy(ROOT / "notebooks" / "jupytext.toml", folder)
    source = folder / "01_tiny.py"
    source.write_text(HEADER + body)
    return source


@pytest.fixture(scope="session")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A refreshed pair, made once; its ``.py``. Not to be changed: copy it first."""
    source = make_folder(tmp_path_factory.mktemp("book") / "notebooks")
    refresh(source)
    return source


@pytest.fixture
def pair(refreshed: Path, tmp_path: Path) -> Path:
    """The ``.ipynb`` of a copy of the refreshed pair, to be damaged."""
    folder = shutil.copytree(refreshed.parent, tmp_path / "notebooks")
    return folder / "01_tiny.ipynb"
