"""Enlarge a folder of images: what fails is reported, what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lithe.arm.budget import BudgetError
from lithe.arm.image_files import SUFFIXES, WRITABLE
from lithe.arm.photo import ImageError
from lithe.arm.upscaler import Result, Upscaler
from lithe.files import write_json

__all__ = ["MANIFEST", "Outcome", "images_in", "target_of", "upscale_folder"]

MANIFEST = ".lithe-upscale.json"
FORMAT, VERSION = "lithe-arm-upscale", 1


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Attributes:
        source: the image.
        target: where its result is, or would be.
        result: the enlarged image; ``None`` if it was done before or has failed.
        error: why it failed, ``""`` if it did not.
    """

    source: Path
    target: Path
    result: Result | None = None
    error: str = ""

    @property
    def skipped(self) -> bool:
        """Whether an earlier run had done it already."""
        return self.result is None and not self.error


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder and the folders in it, by suffix, in order of their names."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [p for p in files if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]


def target_of(source: Path, folder: Path, out: Path, taken: Mapping[Path, Path]) -> Path:
    """Where the result of an image goes: its own name, ``.png`` if its format is not written.

    Two sources that would share a name keep apart: the later one gets ``.png`` appended.

    Args:
        source: in ``folder``.
        folder: that is read.
        out: that is written.
        taken: targets of other sources.
    """
    target = out / source.relative_to(folder)
    if target.suffix.lower() not in WRITABLE:
        target = target.with_suffix(".png")
    return target if target not in taken else target.with_name(source.name + ".png")


def upscale_folder(
    upscaler: Upscaler,
    folder: str | Path,
    out: str | Path,
    budget: Mapping[str, Any] | None = None,
    *,
    settings: str = "",
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> Iterator[Outcome]:
    """Enlarge every image of a folder, one at a time.

    A result is written whole or not at all, and noted with size and time of its source in a
    manifest in ``out``; a later run with the same settings passes over it. An image that fails
    does not stop the others.

    Args:
        upscaler: what enlarges.
        folder: to read, with the folders in it.
        out: to write, another folder; made if missing.
        budget: arguments of the upscaler's call, such as ``{"ms": 500}``.
        settings: more that the results depend on, such as the name of the weights.
        overwrite: do again what is done.
        tick: see :meth:`lithe.arm.Upscaler.__call__`.

    Yields:
        An outcome for every image, in order of their names.

    Raises:
        NotADirectoryError: ``folder`` is none.
        ValueError: ``out`` is ``folder`` or lies inside it, or the budget makes no sense.
        OSError: ``out`` cannot be written.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out} lies in {folder}, which is read; choose a folder outside it")
    asked = json.dumps([dict(budget or {}), settings, upscaler.halos, upscaler.names], default=str)
    upscaler.check(**(budget or {}))
    manifest, taken = _read_manifest(out), {}
    _write_manifest(out, manifest)  # before hours of work for a folder that cannot be written
    for source in images_in(folder):
        target = target_of(source, folder, out, taken)
        taken[target] = source
        try:
            key, now = str(source.relative_to(folder)), [*_stamp(source), asked, target.name]
            if not overwrite and target.is_file() and manifest.get(key) == now:
                yield Outcome(source, target)
                continue
            outcome = upscale_file(upscaler, source, target, budget, tick)
            if not outcome.error:
                manifest[key] = now
                _write_manifest(out, manifest)
        except OSError as error:  # the source is gone since it was listed, or the disk is full
            outcome = Outcome(source, target, error=str(error))
        yield outcome


def upscale_file(
    upscaler: Upscaler,
    source: Path,
    target: Path,
    budget: Mapping[str, Any] | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Enlarge one file; what cannot be done is told, not raised.

    Raises:
        ValueError: the budget makes no sense, whatever the file; or ``target`` is ``source``.
    """
    upscaler.check(**(budget or {}))
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the image that is read; name another file for the result")
    try:
        result = upscaler(source, **(budget or {}), tick=tick)
        result.save(target)
    except (ImageError, BudgetError, OSError, MemoryError) as error:
        return Outcome(source, target, error=str(error) or type(error).__name__)
    except Exception as error:  # of networks and runtimes, whose errors share no base class
        return Outcome(source, target, error=f"{source.name} cannot be enlarged: {_first(error)}")
    return Outcome(source, target, result)


def _first(error: Exception) -> str:
    """The first line of an error: some runtimes add pages of their own insides."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _write_manifest(out: Path, done: Mapping[str, Any]) -> None:
    try:
        write_json(out / MANIFEST, {"format": FORMAT, "version": VERSION, "done": done})
    except OSError as error:
        raise OSError(f"{out} cannot be written: {error}") from error


def _read_manifest(out: Path) -> dict[str, Any]:
    """What is done; a manifest that cannot be read counts as none: work is done again, not lost."""
    try:
        content = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        same = (content["format"], content["version"]) == (FORMAT, VERSION)
        return dict(content["done"]) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
