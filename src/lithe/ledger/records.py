"""Records: what was measured here. One JSON file each, written whole."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from lithe.files import write_json
from lithe.ledger import plain
from lithe.ledger.curve_files import read_curves, write_curves
from lithe.ledger.errors import LedgerError
from lithe.ledger.place import results_folder
from lithe.ledger.provenance import code_state, environment, peak_megabytes, source_hash

__all__ = ["PROFILES", "Metric", "Record", "curves", "find", "is_current", "read", "record"]

PROFILES = ("smoke", "small", "full")
NAME = r"[a-z0-9][a-z0-9_.-]*"
RECORD_FILE = re.compile(r"\d+\.json")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metric(_Strict):
    """One measured number: value, unit (empty: a bare number), and over how many items."""

    value: int | FiniteFloat
    unit: str = ""
    n: int | None = Field(default=None, ge=1)


class CurveFile(_Strict):
    """The curves beside a record: file name, hash, and the length of each."""

    file: str
    sha256: str
    lengths: dict[str, int]


class Data(_Strict):
    """A data set as used: name, hash of its content, and sizes by split."""

    name: str
    sha256: str | None = None
    sizes: dict[str, int] = {}


class Code(_Strict):
    """The source that made the record; see :func:`lithe.ledger.provenance.code_state`."""

    commit: str | None
    dirty: bool | None
    sources: list[str]
    sha256: str


class Env(_Strict):
    """The machine; see :func:`lithe.ledger.provenance.environment`."""

    python: str
    torch: str | None
    numpy: str | None
    platform: str
    device: str
    threads: int | None
    cpu: str
    cores: int | None


class Cost(_Strict):
    """Wall seconds (None: not measured) and peak megabytes."""

    wall_s: FiniteFloat | None = Field(default=None, ge=0)
    peak_mb: FiniteFloat | None = Field(default=None, ge=0)


class Notebook(_Strict):
    """The notebook that ran: file name and hash."""

    name: str
    sha256: str


class Record(_Strict):
    """One measurement, as it stands in ``results/<paper>/<experiment>/<profile>/<seed>.json``."""

    id: str
    paper: str = Field(pattern=f"^{NAME}$")
    experiment: str = Field(pattern=f"^{NAME}$")
    profile: Literal["smoke", "small", "full"]
    seed: int = Field(ge=0)
    params: dict[str, Any]
    metrics: dict[str, Metric] = Field(min_length=1)
    curves: CurveFile | None
    data: list[Data]
    code: Code
    env: Env
    cost: Cost
    notebook: Notebook | None
    time: datetime

    @model_validator(mode="after")
    def _id_matches(self) -> Record:
        expected = f"{self.paper}/{self.experiment}/{self.profile}/{self.seed}"
        if self.id != expected:
            raise ValueError(f"id is {self.id!r}, its parts say {expected!r}")
        return self

    def metric(self, field: str) -> Metric:
        """A metric by name, or a number elsewhere by dotted path (``cost.wall_s``, ``params.lr``).

        Raises:
            LedgerError: no such field, or it holds no number.
        """
        if field in self.metrics:
            return self.metrics[field]
        value: Any = self.model_dump(include={"params", "cost", "env"})
        for key in field.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool | int | float):
            return Metric(value=value, unit=_UNITS.get(field, ""))
        known = ", ".join(sorted(self.metrics))
        raise LedgerError(f"record {self.id} has no field {field!r}; its metrics are: {known}")


_UNITS = {"cost.wall_s": "s", "cost.peak_mb": "MB"}


def record(
    paper: str,
    experiment: str,
    profile: str,
    seed: int,
    params: Mapping[str, Any] | BaseModel,
    metrics: Mapping[str, Any],
    *,
    data: Sequence[Any] = (),
    sources: Sequence[str] | None = None,
    cost: Mapping[str, Any] | float | None = None,
    curves: Mapping[str, Sequence[float]] | None = None,
    notebook: str | Path | None = None,
    root: str | Path | None = None,
    device: str | None = None,
    code: Mapping[str, Any] | None = None,
) -> Path:
    """Write a measurement down, with all that is needed to trust it later.

    An earlier record of the same id is replaced. Every record is its own file, renamed into place
    when whole, so processes that record at the same time lose nothing.

    Args:
        paper: the room, e.g. ``"dcff"``.
        experiment: lower case name, e.g. ``"cifar-released"``.
        profile: ``"smoke"``, ``"small"`` or ``"full"``.
        seed: the seed of this run, 0 where nothing is random.
        params: what was run; a mapping or a pydantic model.
        metrics: ``{name: number}`` or ``{name: {"value": number, "unit": str, "n": int}}``; finite.
            NumPy and torch scalars are taken as the numbers they hold.
        data: names, or mappings with ``name``, ``sha256``, ``sizes``.
        sources: packages whose code decides the result; default ``lithe.<paper>``.
        cost: wall seconds, or ``{"wall_s", "peak_mb"}`` (see :func:`lithe.ledger.meter`).
        curves: ``{name: list of numbers}``, written beside the record; NaN is kept as a gap.
        notebook: the notebook that ran, hashed.
        root: the book folder; default :func:`lithe.ledger.place.book_root`, but ``runs/results``
            for smoke records.
        device: what the run computed on, when it is not what torch would pick.
        code: what :func:`lithe.ledger.code_state` said when the run began: the source of a long
            run may be edited meanwhile. By default the state of ``sources`` at this moment.

    Returns:
        The path of the record.

    Raises:
        LedgerError: a name, number or key that a record cannot hold.
    """
    if profile not in PROFILES:
        raise LedgerError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    _require_mappings(metrics=metrics, curves=curves)
    if code is None:
        code = code_state((f"lithe.{paper}",) if sources is None else _several(sources))
    identity = f"{paper}/{experiment}/{profile}/{plain.scalar('seed', seed)}"
    path = results_folder(root, profile) / f"{identity}.json"
    entry = {
        "id": identity,
        "paper": paper,
        "experiment": experiment,
        "profile": profile,
        "seed": plain.scalar("seed", seed),
        "params": plain.mapping(params),
        "metrics": {str(name): plain.metric(str(name), value) for name, value in metrics.items()},
        "data": [
            item if isinstance(item, Mapping) else {"name": str(item)} for item in _several(data)
        ],
        "code": dict(code),
        "env": environment(device),
        "cost": _cost(cost),
        "notebook": _notebook(notebook),
        "time": datetime.now(UTC).replace(microsecond=0),
        "curves": None,
    }
    _validated(entry, identity)  # before anything is written
    if curves:
        entry["curves"] = write_curves(path, curves)
    written = _validated(entry, identity)
    replaced = _curve_file(path)
    write_json(path, written.model_dump(mode="json"))
    if replaced and replaced != _curve_file(path):
        path.with_name(replaced).unlink(missing_ok=True)
    return path


def _curve_file(path: Path) -> str | None:
    """The curve file that the record at ``path`` names, if there is such a record."""
    try:
        named = Record.model_validate_json(path.read_bytes()).curves
    except (OSError, ValidationError):
        return None
    return named.file if named else None


def read(record_id: str, root: str | Path | None = None) -> Record:
    """The record of an id ``paper/experiment/profile/seed``.

    Raises:
        LedgerError: the id is malformed, there is no such record, or its file is damaged.
    """
    parts = _parts(record_id)
    return read_file(results_folder(root, parts[2]) / f"{record_id}.json", record_id)


def read_file(path: Path, record_id: str) -> Record:
    """Read and check one record file; ``record_id`` is what its place says that it is."""
    try:
        found = Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise LedgerError(f"no record {record_id}: {path.name} is not in the results") from None
    except OSError as error:
        raise LedgerError(f"record {record_id} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise LedgerError(f"record {record_id}: {_first(error)}") from None
    if found.id != record_id:
        raise LedgerError(f"record {record_id}: the file says that it is {found.id}")
    return found


def curves(record: Record | str, root: str | Path | None = None) -> dict[str, np.ndarray]:
    """The curves of a record, float64, NaN where the run had no finite value.

    Args:
        record: the record, or its id.
        root: the book folder, as for :func:`read`.

    Raises:
        LedgerError: the record has none, or the file is not the one that it was written with.
    """
    found = read(record, root) if isinstance(record, str) else record
    if found.curves is None:
        raise LedgerError(f"record {found.id} has no curves")
    path = results_folder(root, found.profile) / found.id
    return read_curves(path.with_name(found.curves.file), found.curves.sha256)


def find(pattern: str, root: str | Path | None = None) -> list[Record]:
    """All records that match ``paper/experiment/profile/seed``, any part a glob, by id and seed."""
    return [read_file(path, name) for name, path in locate(pattern, root)]


def locate(pattern: str, root: str | Path | None = None) -> list[tuple[str, Path]]:
    """Ids and files of the records that match ``pattern``, without reading them."""
    paper, experiment, profile, seed = _parts(pattern)
    folder = results_folder(root, profile)
    found = []
    narrow = "/".join(re.sub(r"\*+", "*", part) for part in (paper, experiment, profile))
    for path in folder.glob(f"{narrow}/*.json"):
        names = (*path.relative_to(folder).parts[:3], path.stem)
        wanted = zip(names, (paper, experiment, profile, seed))
        if RECORD_FILE.fullmatch(path.name) and all(fnmatch.fnmatchcase(a, b) for a, b in wanted):
            found.append((names[:3], int(path.stem), "/".join(names), path))
    return [(name, path) for _, _, name, path in sorted(found)]


def is_current(record: Record) -> bool:
    """Whether the source that made ``record`` is unchanged; False if a part of it is gone."""
    try:
        return source_hash(record.code.sources) == record.code.sha256
    except LedgerError:
        return False


def _parts(record_id: str) -> list[str]:
    parts = record_id.split("/")
    if len(parts) != 4 or not all(parts) or any(part in (".", "..") for part in parts):
        raise LedgerError(f"a record id is paper/experiment/profile/seed, got {record_id!r}")
    return parts


def _several(items: Any) -> tuple[Any, ...]:
    """One name or one mapping stands for a sequence of one; text is no sequence of letters."""
    return (items,) if isinstance(items, str | Mapping) else tuple(items)


def _require_mappings(**given: Any) -> None:
    for name, value in given.items():
        if value is not None and not isinstance(value, Mapping):
            raise LedgerError(f"{name} must be a mapping by name, got {type(value).__name__}")


def _cost(cost: Mapping[str, Any] | float | None) -> dict[str, Any]:
    if isinstance(cost, Mapping):
        return {"peak_mb": peak_megabytes(), **cost}
    wall = None if cost is None else plain.scalar("cost", cost)
    return {"wall_s": wall, "peak_mb": peak_megabytes()}


def _notebook(path: str | Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise LedgerError(f"notebook {Path(path).name} cannot be read: {error.strerror}") from None
    return {"name": Path(path).name, "sha256": hashlib.sha256(content).hexdigest()}


def _validated(entry: dict[str, Any], identity: str) -> Record:
    try:
        return Record.model_validate(entry)
    except ValidationError as error:
        raise LedgerError(f"record {identity}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(key) for key in first["loc"]) or "file"
    return f"{place}: {first['msg']}, got {first.get('input')!r:.80}"
