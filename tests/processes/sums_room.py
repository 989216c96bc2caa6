"""A room whose training is a sum over processes, and which fails when told to."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from lithe import processes
from lithe.experiments import Experiments, Measured


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = "smoke"
    workers: int = 1
    exhibits: tuple[str, ...] = ("shown",)
    names: tuple[str, ...] = ("first", "second")
    #: What goes wrong in "second" in the last process: "error", "bug", "killed" or "slow".
    wrong: str = ""


class Sums(Experiments[Config]):
    paper, notebook, config = "sums", "99_sums", Config

    def jobs(self, config):
        yield from ((name, 0) for name in (*config.exhibits, *config.names))

    def needs(self, config, job):
        return [("first", 0)] if job[0] == "second" else []

    def sources(self, experiment):
        return ("lithe.files",)

    def params(self, config, job, root):
        return {}

    def measure(self, config, job, root):
        rank, count = processes.rank(), processes.count()
        print(f"{job[0]} in {rank}, process {os.getpid()}", flush=True)
        if job[0] in config.exhibits:
            return Measured({"rank": rank})
        if config.wrong and job[0] == "second" and rank == count - 1:
            go_wrong(config.wrong)
        total = torch.tensor(float(rank + 1))
        if count > 1:
            torch.distributed.all_reduce(total)
        return Measured({"sum": float(total), "processes": count})


def go_wrong(how: str) -> None:
    if how == "error":
        raise ValueError("the data of process 1 do not fit")
    if how == "bug":
        raise AttributeError("nobody thought of this")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


EXPERIMENTS = Sums()
run = EXPERIMENTS.run

if __name__ == "__main__":
    os.environ["LITHE_BOOK"] = str(Path(sys.argv[1]).parent)
    sys.exit(EXPERIMENTS.command(EXPERIMENTS.parser("sums")))
