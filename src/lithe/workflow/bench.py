"""What the engine costs: trivial runs through Snakemake and papermill against papermill alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from lithe.experiments import Experiments, Job, Measured
from lithe.workflow.job import NOTEBOOK

__all__ = ["TRIVIAL", "main", "papermill_alone", "through_the_engine"]

ROOM = "lithe.workflow.bench:TRIVIAL"


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = "small"
    seeds: int = 1
    workers: int = 1


class _Trivial(Experiments[_Config]):
    paper, notebook, config = "trivial", "", _Config

    def jobs(self, config: _Config) -> Iterator[Job]:
        return (("nothing", seed) for seed in range(config.seeds))

    def sources(self, experiment: str) -> Sequence[str]:
        return ("lithe.files",)

    def params(self, config: _Config, job: Job, root: str | Path | None) -> dict[str, Any]:
        return {}

    def measure(self, config: _Config, job: Job, root: str | Path | None) -> Measured:
        return Measured({"seed": job[1]})


TRIVIAL = _Trivial()


def main(runs: int, cores: int) -> int:
    """Print, as JSON, the seconds of both and their ratio; the aim is a ratio of at most 2.2.

    The ratio is of the engine's wall time to what papermill alone takes serially, divided by the
    cores.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = _cpu()
        alone = papermill_alone(Path(folder) / "alone", runs)
        between = _cpu()
        whole = through_the_engine(Path(folder) / "engine", runs, cores)
        end = _cpu()
    told = {
        "runs": runs,
        "cores": cores,
        "papermill_alone_s": round(alone, 2),
        "engine_s": round(whole, 2),
        "ratio": round(whole / (alone / cores), 3),
        "papermill_alone_cpu_s": round(between - start, 2),
        "engine_cpu_s": round(end - between, 2),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(told, indent=1))
    return 0


def _cpu() -> float:
    """Processor seconds of this process and of all that it waited for; no load changes them."""
    return sum(os.times()[:4])


def papermill_alone(place: Path, runs: int) -> float:
    """Seconds of the same notebook with the same parameters in a loop in one process."""
    import papermill

    from lithe.notebooks.refreshing import read_source

    (place / "book" / "claims").mkdir(parents=True)
    before = os.environ.get("LITHE_BOOK")
    os.environ["LITHE_BOOK"] = str(place / "book")
    start = time.perf_counter()
    for seed in range(runs):
        papermill.execute_notebook(
            read_source(NOTEBOOK),
            str(place / f"{seed}.ipynb"),
            parameters={
                "profile": "small",
                "room": ROOM,
                "experiment": "nothing",
                "seed": seed,
                "config": {"seeds": runs},
            },
            progress_bar=False,
            extra_arguments=["--log-level=40"],  # as in lithe.run
        )
    seconds = time.perf_counter() - start
    os.environ.pop("LITHE_BOOK")
    if before is not None:
        os.environ["LITHE_BOOK"] = before
    return seconds


def through_the_engine(place: Path, runs: int, cores: int) -> float:
    """Seconds of the command, plan and all, that runs them through Snakemake.

    Raises:
        RuntimeError: it did not run them all.
    """
    sweeps = place / "sweeps"
    sweeps.mkdir(parents=True)
    told = {"chapter": "trivial", "profile": "small", "room": ROOM, "config": {"seeds": runs}}
    told["asks"] = [{"minutes": 0.01}]
    (sweeps / "trivial.yml").write_text(yaml.safe_dump(told))
    line = [sys.executable, "-m", "lithe.workflow", "run", "--sweeps", str(sweeps)]
    line += ["--root", str(place), "--cores", str(cores)]
    start = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    written = len(list((place / "book" / "results").rglob("*.json")))
    if done.returncode or written != runs:
        raise RuntimeError(f"{written} of {runs} records were written: {done.stdout}{done.stderr}")
    return seconds
