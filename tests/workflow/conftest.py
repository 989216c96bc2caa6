"""A place with a toy room in it: its sweep, its records, and the command that runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

TOY = Path(__file__).parent / "toy"


@dataclass
class Place:
    """A folder with a sweep of the toy room; everything is run in processes of their own."""

    folder: Path
    toy: Path = TOY
    more: dict[str, str] = field(default_factory=dict)

    def sweep(self, **config: Any) -> None:
        (self.folder / "sweeps").mkdir(exist_ok=True)
        told = {"chapter": "99_toy", "profile": "small", "room": "toyroom:EXPERIMENTS"}
        told |= {"config": config, "asks": [{"minutes": 0.01, "mem_mb": 100}]}
        (self.folder / "sweeps" / "toy.yml").write_text(yaml.safe_dump(told))

    @property
    def line(self) -> list[str]:
        words = ["lithe.workflow", "run", "--sweeps", str(self.folder / "sweeps")]
        return [sys.executable, "-m", *words, "--root", str(self.folder)]

    @property
    def environment(self) -> dict[str, str]:
        found = [str(self.toy), os.environ.get("PYTHONPATH", "")]
        told = {"PYTHONPATH": os.pathsep.join(filter(None, found))}
        return os.environ | told | {"TOY_DIARY": str(self.folder / "diary")} | self.more

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.line, *more],
            env=self.environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *more: str) -> tuple[int, str]:
        with self.start(*more) as process:
            told, _ = process.communicate(timeout=300)
        return process.returncode, told

    def diary(self, word: str) -> list[str]:
        """Jobs of which the diary says ``begin`` or ``end``, as ``name seed``."""
        path = self.folder / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [" ".join(line.split()[1:3]) for line in lines if line.startswith(word)]

    def records(self, book: Path | None = None) -> dict[str, Any]:
        """Every record by its id: parameters, what was measured, and the curves."""
        found = {}
        for path in sorted(((book or self.folder / "book") / "results").rglob("*.json")):
            told = json.loads(path.read_text())
            if "metrics" in told:
                curves = json.loads((path.parent / told["curves"]["file"]).read_text())
                found[told["id"]] = (told["params"], told["metrics"], curves)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    pytest.importorskip(
        "snakemake", reason="Snakemake is not installed: pip install -e .[workflow]"
    )
    pytest.importorskip("papermill", reason="papermill is not installed: pip install -e .[book]")
    folder = tmp_path / "a place"
    folder.mkdir()
    return Place(folder)
