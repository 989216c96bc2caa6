"""Experiments that become records: which there are, which are done, and how they are run.

A room says what its experiments are (:class:`Experiments`); this module runs those that are not
on record, one by one or in several processes, and writes each record once. Under ``torchrun`` all
processes run one job after another together, each training spread over them, and the first one
writes. The command line of every room's ``run`` module is made of the same parts.
"""

from __future__ import annotations

import argparse
import io
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from tqdm import tqdm

from lithe import ledger, profiles
from lithe import processes as several
from lithe.ledger.provenance import environment
from lithe.ledger.records import Record

__all__ = [
    "Experiments",
    "Job",
    "Measured",
    "devices",
    "exit_code",
    "read_config",
    "whole_number",
]

ConfigT = TypeVar("ConfigT", bound=BaseModel)
Job = tuple[str, int]  # name of the experiment, and its seed
#: Fields of a config that say which jobs there are, not what one of them does.
SELECTION = frozenset({"profile", "exhibits", "variants", "seeds", "workers"})


@dataclass(frozen=True)
class Measured:
    """What one experiment found.

    Attributes:
        metrics: as :func:`lithe.ledger.record` takes them.
        curves: likewise, or ``None``.
        data: descriptions of the data sets that were used.
    """

    metrics: Mapping[str, Any]
    curves: Mapping[str, Sequence[float]] | None = None
    data: Sequence[Mapping[str, Any]] = ()


class Experiments(ABC, Generic[ConfigT]):
    """The experiments of one room, as jobs of a config.

    A config has the fields ``profile`` and ``workers``. Objects are sent to other processes by
    their class: keep no state in them.

    Attributes:
        paper: first part of the records' names.
        notebook: whose profiles are configs.
        config: class of the configs.
    """

    paper: str
    notebook: str
    config: type[ConfigT]

    @abstractmethod
    def jobs(self, config: ConfigT) -> Iterator[Job]:
        """Every job that a config asks for."""

    @abstractmethod
    def sources(self, experiment: str) -> Sequence[str]:
        """Modules and packages whose source decides what an experiment finds."""

    @abstractmethod
    def params(self, config: ConfigT, job: Job, root: str | Path | None) -> dict[str, Any]:
        """What a record depends on: not the other jobs, nor how many processes there are."""

    @abstractmethod
    def measure(self, config: ConfigT, job: Job, root: str | Path | None) -> Measured:
        """Carry out one job."""

    def needs(self, config: ConfigT, job: Job) -> Sequence[Job]:
        """Jobs of the same config that have to be on record before this one begins."""
        return ()

    def trains(self, config: ConfigT, job: Job) -> bool:
        """Whether several processes share a job; the first one alone carries out the others."""
        return job[0] not in getattr(config, "exhibits", ())

    def run(
        self, config: ConfigT, *, root: str | Path | None = None, processes: int | None = None
    ) -> list[str]:
        """Measure all that ``config`` asks for; what is on record already is not run again.

        A record counts as done when its parameters and the source that made it are unchanged, so
        an interrupted run goes on where it stopped, inside a training too.

        Args:
            config: what to measure. Its ``workers`` carry out several jobs side by side; where
                several processes share each training, jobs follow each other.
            root: where records go; the book's results (``small``, ``full``) or ``runs``
                (``smoke``).
            processes: how many share each training, started under torchrun on this machine, their
                log shown here; ``None`` takes the environment's ``LITHE_PROCESSES``, or 1. In a
                process that torchrun started there are as many as it started.

        Returns:
            Ids of all records, old and new.

        Raises:
            ValueError: ``processes`` is no whole number from 1 up.
            lithe.processes.ProcessesError: one of the processes failed; what is on record stays.
        """
        if several.wanted(processes) > 1:
            return several.run(_home(self), config, processes, root=root)
        jobs = list(self.jobs(config))
        for job in jobs:
            self.code(job[0])  # before an edit can change it
        # one decides for all: what it writes next, another might have seen already
        todo = several.of_the_first([j for j in jobs if not self.is_done(config, j, root)])
        quiet = True if config.profile == "smoke" or not several.is_first() else None
        with tqdm(total=len(todo), desc=self.paper, disable=quiet) as bar:
            for done, _ in enumerate(self._measured(config, todo, root), 1):
                bar.update()
                if bar.disable and several.count() > 1 and several.is_first():
                    print(f"{self.paper}: {done} of {len(todo)} measured", file=sys.stderr)
        return [self.name(config, job) for job in jobs]

    def name(self, config: ConfigT, job: Job) -> str:
        """Id of a job's record."""
        return f"{self.paper}/{job[0]}/{config.profile}/{job[1]}"

    def code(self, experiment: str) -> dict[str, Any]:
        """The source that this process runs, as it was when first asked for."""
        return _code(tuple(self.sources(experiment)))

    def is_done(self, config: ConfigT, job: Job, root: str | Path | None) -> bool:
        """Whether a job's record is there, with these parameters, from this source."""
        found = ledger.find(self.name(config, job), root=root)
        return bool(found) and self._is_of(found[0], config, job, root)

    def _is_of(self, record: Record, config: ConfigT, job: Job, root: str | Path | None) -> bool:
        return record.params == self.params(config, job, root) and ledger.is_current(record)

    def checkpoints(self, config: ConfigT, job: Job) -> Path | None:
        """Where a run that may be interrupted keeps its state; smoke runs are too short for that.

        Beside the book, wherever the notebook or the command was started. The source is part of
        the place: what other source trained must not be read back as this one's.
        """
        if config.profile == "smoke":
            return None
        source = self.code(job[0])["sha256"][:12]
        runs = ledger.book_root().parent / "runs" / "checkpoints" / self.paper
        return runs / config.profile / job[0] / str(job[1]) / source

    def record(self, config: ConfigT, job: Job, root: str | Path | None) -> None:
        """Carry out one job and write its record; of several processes, the first one writes."""
        first = several.is_first()
        if not first and not self.trains(config, job):
            return
        params = self.params(config, job, root)
        with ledger.meter() as spent:
            found = self.measure(config, job, root)
        if not first:
            return
        ledger.record(
            self.paper,
            job[0],
            config.profile,
            job[1],
            params,
            found.metrics,
            data=found.data,
            code=self.code(job[0]),
            cost=spent,
            curves=found.curves or None,
            root=root,
            device=devices() if self.trains(config, job) else None,
        )

    def _measured(
        self, config: ConfigT, jobs: Sequence[Job], root: str | Path | None
    ) -> Iterator[None]:
        """Measure jobs in an order that their needs allow, here or side by side."""
        if several.count() > 1 or config.workers == 1 or len(jobs) < 2:
            for job in _in_order(jobs, lambda job: self.needs(config, job)):
                self.record(config, job, root)
                several.wait_for_all()  # the next job may need this one's record
                yield
            return
        waiting = dict.fromkeys(_in_order(jobs, lambda job: self.needs(config, job)))
        with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
            running: dict[Future[None], Job] = {}
            try:
                while waiting or running:
                    open_jobs = {*waiting, *running.values()}
                    ready = [job for job in waiting if not open_jobs & set(self.needs(config, job))]
                    for job in ready:
                        del waiting[job]
                        running[pool.submit(_alone, self, config, job, root)] = job
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        del running[future]
                        future.result()
                        yield
            except BaseException:  # what has not begun shall not begin; what runs is waited for
                pool.shutdown(cancel_futures=True)
                raise

    def command(
        self,
        parser: argparse.ArgumentParser,
        arguments: Sequence[str] | None = None,
        row: Callable[[argparse.Namespace], None] | None = None,
    ) -> int:
        """Run the command line of the room.

        Args:
            parser: with ``config``, ``--profile`` and, for rows at full length, ``--key``; see
                :meth:`parser`.
            arguments: of the command line.
            row: what ``--key`` does.

        Returns:
            As :func:`exit_code`.
        """
        with redirect_stderr(sys.stderr if several.is_first() else io.StringIO()):
            options = self._request(parser, arguments, row)

        def carry_out() -> None:
            if options.key and row:
                row(options)
                return
            config = (
                read_config(options.config, self.config)
                if options.config
                else profiles.load(self.notebook, options.profile, self.config)
            )
            found = self.run(config)
            if several.is_first():
                print("\n".join(found))

        return exit_code(carry_out)

    def _request(
        self,
        parser: argparse.ArgumentParser,
        arguments: Sequence[str] | None,
        row: Callable[[argparse.Namespace], None] | None,
    ) -> argparse.Namespace:
        """The command line, read; a request that makes no sense ends here."""
        options = parser.parse_args(arguments)
        options.key = key = getattr(options, "key", None)
        wanted = [options.config, key, None if key else options.profile]
        if sum(choice is not None for choice in wanted) != 1:
            choices = "a config file, --profile or --key" if row else "a config file or --profile"
            parser.error(f"give {choices}, and only one of them")
        if key and options.profile not in (None, "full"):
            parser.error("--key trains at full length: leave --profile out or say full")
        return options

    def parser(self, description: str | None) -> argparse.ArgumentParser:
        """The options that every room has."""
        parser = argparse.ArgumentParser(
            prog=f"python -m lithe.{self.paper}.run", description=description
        )
        parser.add_argument("config", nargs="?", help="a JSON file with the fields of Config")
        parser.add_argument(
            "--profile", choices=profiles.PROFILES, help="the chapter's numbers; with --key: full"
        )
        return parser


def _home(experiments: Experiments) -> str:
    """The module that other processes import the experiments from."""
    name = type(experiments).__module__
    spec = getattr(sys.modules[name], "__spec__", None)  # of a module that was started itself
    return spec.name if name == "__main__" and spec else name


@cache
def _code(sources: tuple[str, ...]) -> dict[str, Any]:
    return ledger.code_state(sources)


def _alone(experiments: Experiments, config: BaseModel, job: Job, root: str | Path | None) -> None:
    """One job in a process of its own, on one thread."""
    import torch

    torch.set_num_threads(1)
    experiments.code(job[0])
    experiments.record(config, job, root)


def _in_order(jobs: Sequence[Job], needs: Callable[[Job], Sequence[Job]]) -> Iterator[Job]:
    """The jobs, each after those that it needs.

    Raises:
        ValueError: some need each other.
    """
    waiting = dict.fromkeys(jobs)
    while waiting:
        ready = next((job for job in waiting if not waiting.keys() & set(needs(job))), None)
        if ready is None:
            raise ValueError(f"these experiments wait for each other: {list(waiting)}")
        del waiting[ready]
        yield ready


def devices() -> str | None:
    """What several processes compute on, as a record says it: ``"2 x cpu"``; ``None`` alone."""
    return f"{several.count()} x {environment()['device']}" if several.count() > 1 else None


def read_config(path: str | Path, config: type[ConfigT]) -> ConfigT:
    """The config of a JSON file.

    Raises:
        ValueError: it cannot be read, or holds an unknown key or an impossible value.
    """
    try:
        return config.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {profiles.reasons(error, config.model_fields)}") from None


def exit_code(carry_out: Callable[[], None]) -> int:
    """Carry out a command; say what went wrong in one line.

    Of several processes that torchrun started, the first one to fail says it, and they end.

    Returns:
        0 on success, 1 when a run failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    from lithe.training import CheckpointError, DivergenceError

    try:
        several.join()
        carry_out()
    except (CheckpointError, DivergenceError, ledger.LedgerError) as error:
        return _ended(f"error: {error}", 1)
    except ValueError as error:  # data, configs and profiles that do not fit
        return _ended(f"error: {error}", 2)
    except KeyboardInterrupt:
        return _ended("interrupted; the same command goes on, what is on record stays", 130)
    except several.ProcessesError as error:
        return _ended(f"error: {error}", 1)
    except Exception as error:
        if several.lost_another(error):
            return _ended(f"error: {several.LOST}", 1)
        if several.first_to_end():
            raise
        return 1
    finally:
        several.leave()
    return 0


def _ended(sentence: str, code: int) -> int:
    if several.first_to_end():
        print(sentence, file=sys.stderr, flush=True)
    return code


def whole_number(text: str) -> int:
    """A seed from the command line.

    Raises:
        argparse.ArgumentTypeError: it is no whole number from 0 up.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number, 0 or more")
    return int(text)
