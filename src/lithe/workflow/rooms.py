"""The rooms as the workflow sees them: each an :class:`~lithe.experiments.Experiments`.

Rooms are named by where their experiments are, and imported when a job of theirs is planned or run.
Two rooms are older than that class; thin coats make them look like it, so that the source behind
their records stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lithe import profiles
from lithe.experiments import Experiments, Job, Measured

__all__ = ["ROOMS", "load"]

ROOMS = {
    "dcff": "lithe.workflow.rooms:dcff",
    "onexn": "lithe.workflow.rooms:onexn",
    "pssnet": "lithe.pssnet.run:EXPERIMENTS",
    "arm": "lithe.arm.run:EXPERIMENTS",
    "syntalker": "lithe.syntalker.run:EXPERIMENTS",
    "generation": "lithe.syntalker.generation_run:EXPERIMENTS",
    "command": "lithe.workflow.commands:EXPERIMENTS",
}


def load(room: str) -> Experiments[Any]:
    """The experiments of a room.

    Args:
        room: a key of :data:`ROOMS`, or ``"module:NAME"``.

    Raises:
        lithe.profiles.ProfileError: there is no such room.
    """
    target = ROOMS.get(room, room)
    module, colon, name = target.partition(":")
    if not colon:
        known = profiles.nearest(room, ROOMS)
        raise profiles.ProfileError(f"no room {room!r}; there are: {', '.join(ROOMS)}{known}")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise profiles.ProfileError(f"room {room!r} cannot be loaded: {error}") from None
    return found if isinstance(found, Experiments) else found()


class _Coat(Experiments[Any]):
    """A room whose ``run`` module has the same parts under names of its own."""

    def __init__(self, module: Any):
        self.module, self.config = module, module.Config

    def jobs(self, config: BaseModel) -> Iterator[Job]:
        return self.module._jobs(config)

    def params(self, config: BaseModel, job: Job, root: str | Path | None) -> dict[str, Any]:
        return self.module._params(config, job)

    def measure(self, config: BaseModel, job: Job, root: str | Path | None) -> Measured:
        raise NotImplementedError(f"{self.paper} measures and records in one: use record")

    def record(self, config: BaseModel, job: Job, root: str | Path | None) -> None:
        self.module._measure(config, job, root)


class _Dcff(_Coat):
    paper, notebook = "dcff", "01_dcff"

    def sources(self, experiment: str) -> Sequence[str]:
        return self.module.SOURCES


class _OneXN(_Coat):
    paper, notebook = "onexn", "02_onexn"

    def sources(self, experiment: str) -> Sequence[str]:
        shown = self.module._kind(experiment) == "exhibit"
        return self.module.SHOWN if shown else self.module.CONTEST

    def needs(self, config: BaseModel, job: Job) -> Sequence[Job]:
        """A seed's variants start from its dense network."""
        waits = self.module._waits(config, job, job[1])
        return ((f"{config.data}-dense", job[1]),) if waits else ()


def dcff() -> Experiments[Any]:
    """DCFF's experiments."""
    return _Dcff(import_module("lithe.dcff.run"))


def onexn() -> Experiments[Any]:
    """Those of 1xN."""
    return _OneXN(import_module("lithe.onexn.run"))
