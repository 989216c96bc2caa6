"""Commands that write records themselves, as experiments: timing runs, rows at full length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lithe import ledger
from lithe.experiments import Experiments, Job, Measured

__all__ = ["EXPERIMENTS", "CommandConfig", "CommandFailed"]


class CommandFailed(RuntimeError):
    """A command that ended with another status than 0."""


class CommandConfig(BaseModel):
    """One command.

    Attributes:
        profile: of its records.
        run: module and arguments, as after ``python -m``.
        records: ids of all records that it writes.
        workers: for the sake of :class:`~lithe.experiments.Experiments`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str
    run: tuple[str, ...]
    records: tuple[str, ...]
    workers: int = 1


class _Commands(Experiments[CommandConfig]):
    paper, notebook, config = "command", "", CommandConfig

    def jobs(self, config: CommandConfig) -> Iterator[Job]:
        _, experiment, _, seed = config.records[0].split("/")
        yield experiment, int(seed)

    def name(self, config: CommandConfig, job: Job) -> str:
        return config.records[0]

    def sources(self, experiment: str) -> Sequence[str]:
        """Not known before a record says it."""
        return ()

    def params(self, config: CommandConfig, job: Job, root: str | Path | None) -> dict[str, Any]:
        """A record says itself what it was run with; without one, the command is all there is."""
        found = ledger.find(config.records[0], root=root)
        return dict(found[0].params) if found else {"run": list(config.run)}

    def measure(self, config: CommandConfig, job: Job, root: str | Path | None) -> Measured:
        raise NotImplementedError("commands measure and record in one: use record")

    def code(self, experiment: str) -> dict[str, Any]:
        return {}

    def record(self, config: CommandConfig, job: Job, root: str | Path | None) -> None:
        """Run the command here, in this process.

        Raises:
            CommandFailed: it ended with another status than 0, or a record is missing.
        """
        module, *arguments = config.run
        status = import_module(module).main(arguments)
        if status:
            raise CommandFailed(f"python -m {' '.join(config.run)} ended with status {status}")
        missing = [name for name in config.records if not ledger.find(name, root=root)]
        if missing:
            raise CommandFailed(f"{module} wrote no record {', '.join(missing)}")


EXPERIMENTS = _Commands()
