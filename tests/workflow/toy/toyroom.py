"""A room of trivial experiments: milliseconds each, and a diary of what was measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lithe.experiments import Experiments, Measured


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = "small"
    workers: int = 1
    seeds: tuple[int, ...] = (0,)
    names: tuple[str, ...] = ("first", "second")
    broken: tuple[str, ...] = ()
    scale: float = 1.0
    seconds: float = 0.0


class Toy(Experiments[Config]):
    """``second`` doubles what the record of ``first`` says; names in ``broken`` fail."""

    paper, notebook, config = "toy", "99_toy", Config

    def jobs(self, config):
        return ((name, seed) for seed in config.seeds for name in config.names)

    def needs(self, config, job):
        return [("first", job[1])] if job[0] == "second" else []

    def sources(self, experiment):
        return ("toysource",)

    def params(self, config, job, root):
        return {"scale": config.scale, "broken": job[0] in config.broken}

    def measure(self, config, job, root):
        diary("begin", job, config.scale)
        if job[0] in config.broken:
            raise ValueError(f"{job[0]} cannot be measured")
        time.sleep(config.seconds)
        value = config.scale * (job[1] + len(job[0]))
        if job[0] == "second":
            from lithe import ledger

            found = ledger.read(self.name(config, ("first", job[1])), root=root)
            value = 2 * found.metric("value").value
        diary("end", job, config.scale)
        return Measured({"value": value}, {"line": [value, 1.0]})


def diary(word, job, scale):
    """Append a line in one write, which the system keeps whole."""
    place = os.environ.get("TOY_DIARY")
    if place:
        line = f"{word} {job[0]} {job[1]} {scale} {time.time():.6f}\n"
        with Path(place).open("ab", buffering=0) as handle:
            handle.write(line.encode())


EXPERIMENTS = Toy()
