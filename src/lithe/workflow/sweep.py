"""Sweeps: which jobs there are, as chapter x method x seed x profile, and what they ask for.

A sweep is one YAML file. It names a chapter and a profile; the jobs are those that the chapter's
room makes of that profile, so nothing is written down twice. What a file adds is what only a
scheduler asks: threads, memory, minutes, graphics cards, and the data that has to be there.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lithe import profiles

__all__ = ["Ask", "Command", "Data", "Rows", "Sweep", "SweepError", "folder", "read"]

Profile = Literal["smoke", "small", "full"]


class SweepError(ValueError):
    """A sweep that does not exist, cannot be read or does not fit its room."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ask(_Strict):
    """What the jobs of some experiments ask for.

    Attributes:
        match: glob over the experiment's name; the first entry that matches counts.
        threads: processor threads of one job.
        mem_mb: memory of one job in megabytes, where no record says what it took.
        minutes: expected, where no record says how long it took.
        gpus: graphics cards of one job.
        data: files or folders inside the shared data that the job reads.
        timed: what it measures is time; it differs on every machine, and is no drift.
    """

    match: str = "*"
    threads: Annotated[int, Field(ge=1)] = 1
    mem_mb: Annotated[int, Field(ge=1)] = 3000
    minutes: Annotated[float, Field(gt=0)] = 5.0
    gpus: Annotated[int, Field(ge=0)] = 0
    data: tuple[str, ...] = ()
    timed: bool = False


class Command(_Strict):
    """A room's own command that writes records: timing runs, rows at full length.

    Attributes:
        run: module and its arguments, as after ``python -m``.
        records: ids of all records that it writes.
        hours: expected, of one graphics card (full) or of the processor.
        asks: see :class:`Ask`; ``match`` is not looked at.
    """

    run: Annotated[tuple[str, ...], Field(min_length=1)]
    records: Annotated[tuple[str, ...], Field(min_length=1)]
    hours: Annotated[float, Field(gt=0)] = 0.1
    asks: Ask = Ask()


class Data(_Strict):
    """Data that a reader has to bring, and that stands as a word in a command.

    Attributes:
        env: environment variable with its folder.
        says: what it is and where it comes from.
        disk_gb: how large it is.
        value: what the word becomes; ``{folder}`` and the parts of the row's key, ``{key}`` and
            ``{network}``, are filled in.
    """

    env: str
    says: str
    disk_gb: float
    value: str = "{folder}"


class Rows(_Strict):
    """Rows of a paper's tables at full length; commands and costs are read off the claims.

    Attributes:
        record: name of a row's record; ``{key}``, ``{percent}`` (of sparsity) are filled in.
        keys: globs of the keys that are wanted.
        seeds: each row runs once per seed.
        once_per: what rows share one training, and so one cost: ``"row"`` or ``"network"``.
        disk_gb: of one row's checkpoints.
        data: by the word that stands for it in the commands.
        extra: rows that no claim names, as ``command``, ``cost``.
    """

    record: str = "{key}"
    keys: tuple[str, ...] = ("*",)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    once_per: Literal["row", "network"] = "row"
    disk_gb: float = 1.0
    data: dict[str, Data] = {}
    extra: tuple[dict[Literal["command", "cost"], str], ...] = ()


class Sweep(_Strict):
    """One sweep file.

    Attributes:
        chapter: notebook whose profile is swept, ``"01_dcff"``.
        profile: of the jobs.
        room: key of :data:`lithe.workflow.rooms.ROOMS`, or ``"module:NAME"``; none for a sweep
            that has only commands or rows.
        methods: globs of the experiments that are wanted.
        seeds: those wanted; without it all that the profile has.
        overrides: fields of the room's config, in place of the profile's.
        config: all fields of the config, for a room whose chapter has no profiles.
        asks: what jobs ask for; the first that matches counts.
        commands: a room's own commands.
        rows: of the paper's tables.
    """

    chapter: str
    profile: Profile
    room: str | None = None
    methods: tuple[str, ...] = ("*",)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    overrides: dict[str, Any] = {}
    config: dict[str, Any] | None = None
    asks: tuple[Ask, ...] = ()
    commands: tuple[Command, ...] = ()
    rows: Rows | None = None

    @model_validator(mode="after")
    def _has_jobs(self) -> Sweep:
        if not (self.room or self.commands or self.rows):
            raise ValueError("names no room, no commands and no rows: there is nothing to run")
        if self.config is not None and self.overrides:
            raise ValueError("give config or overrides, not both")
        return self

    def ask(self, experiment: str) -> Ask:
        """What the jobs of an experiment ask for."""
        return next((a for a in self.asks if fnmatchcase(experiment, a.match)), Ask())

    def wants(self, experiment: str, seed: int) -> bool:
        """Whether a job of the room is one of this sweep."""
        named = any(fnmatchcase(experiment, pattern) for pattern in self.methods)
        return named and (self.seeds is None or seed in self.seeds)


def folder() -> Path:
    """The sweeps of the book, beside the Snakefile."""
    return Path(__file__).resolve().parents[3] / "workflow" / "sweeps"


def read(
    profile: str, chapters: tuple[str, ...] = (), sweeps: str | Path | None = None
) -> list[Sweep]:
    """The sweeps of a profile, in the order of their file names.

    Args:
        profile: ``"smoke"``, ``"small"`` or ``"full"``.
        chapters: those wanted; all where empty.
        sweeps: folder of the files; the book's own if not given.

    Raises:
        SweepError: a chapter has no sweep, or a file is not as it should be.
    """
    place = Path(sweeps) if sweeps else folder()
    found = [_read(path) for path in sorted(place.glob("*.yml"))]
    found = [sweep for sweep in found if sweep.profile == profile]
    known = sorted({sweep.chapter for sweep in found})
    for chapter in chapters:
        if chapter not in known:
            raise SweepError(
                f"no sweep of {chapter!r} at {profile!r} (there: {', '.join(known) or 'none'})"
                + profiles.nearest(chapter, known)
            )
    return [sweep for sweep in found if not chapters or sweep.chapter in chapters]


def _read(path: Path) -> Sweep:
    try:
        return Sweep.model_validate(profiles.parse_yaml(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise SweepError(
            f"sweeps/{path.name}: {profiles.reasons(error, Sweep.model_fields)}"
        ) from None
    except (OSError, UnicodeDecodeError, profiles.ProfileError) as error:
        raise SweepError(f"sweeps/{path.name}: {error}") from None
