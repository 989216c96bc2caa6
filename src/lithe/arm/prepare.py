"""Data preparation: from a folder of sharp images to pairs, checked and resumable.

``python -m lithe.arm.prepare SOURCE TARGET`` makes what training on DIV2K needs (ARM spec 3):
each image at 1, 0.9, 0.8, 0.7 and 0.6 of its size, and a quarter of each of those.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from lithe.arm.degrade import degrade
from lithe.arm.imresize import imresize
from lithe.arm.pairs import Pairs
from lithe.data import DataError
from lithe.data.checksum import file_digest, verify_file, verify_manifest
from lithe.files import write_json, write_with

__all__ = ["SCALES", "prepare", "prepared"]

SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
MANIFEST, FORMAT, VERSION = "manifest.json", "lithe.arm.prepare", 1
SOURCE_LIST = "MANIFEST.sha256"


def prepare(
    source: str | Path,
    target: str | Path,
    *,
    scales: Sequence[float] = SCALES,
    scale: int = 4,
    each: Callable[[str], None] | None = None,
) -> Path:
    """Write large and small images of every source image, 8-bit, as ``.npy`` to be mapped.

    Source: ARM spec 3. Images that are there with the source and settings of this call are left
    alone, so that a stopped run goes on where it was; the manifest is written after each image.
    Where the source folder has a ``MANIFEST.sha256``, every image is checked against it first.

    Args:
        source: folder of sharp images.
        target: folder to fill.
        scales: by which each image is resized, above 0 and up to 1.
        scale: of the pairs.
        each: called with the name of each image that is done.

    Returns:
        The manifest.

    Raises:
        DataError: no images, a damaged one, or ``target`` was made with other settings.
        ValueError: a scale is out of range.
    """
    source, target = Path(source), Path(target)
    if (
        not scales
        or not all(0 < s <= 1 for s in scales)
        or len(set(map(_tag, scales))) < len(scales)
    ):
        raise ValueError(f"scales are {tuple(scales)}; give different factors above 0, up to 1")
    images = _images(source)
    settings = {"scales": [float(s) for s in scales], "scale": scale}
    manifest = _opened(target / MANIFEST, settings)
    for image in images:
        digest = file_digest(image)
        entry = manifest["images"].get(image.name)
        if entry is None or entry["sha256"] != digest or not _complete(target, entry):
            files = _write_pairs(image, target, scales, scale)
            manifest["images"][image.name] = {"sha256": digest, "files": files}
            write_json(target / MANIFEST, manifest)
        if each is not None:
            each(image.name)
    manifest["images"] = {image.name: manifest["images"][image.name] for image in images}
    return write_json(target / MANIFEST, manifest)


def prepared(folder: str | Path, *, verify: bool = False, **cut: int) -> Pairs:
    """The pairs of a prepared folder, mapped from disk.

    Args:
        folder: made by :func:`prepare`.
        verify: read every file and compare its sha256.
        cut: ``size``, ``step``, ``least`` or ``workers`` of :class:`lithe.arm.Pairs`.

    Raises:
        DataError: the folder is not prepared, or a file is missing or damaged.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder} is not prepared; python -m lithe.arm.prepare SOURCE {folder}")
    manifest = _opened(path, None)
    images = []
    for entry in manifest["images"].values():
        if not _complete(folder, entry):
            raise DataError(f"{folder} lacks files of its manifest, or they are cut; prepare again")
        for name, known in entry["files"].items():
            if verify:
                verify_file(folder / name, known["sha256"])
        names = sorted(entry["files"])  # <stem>_s100_hr.npy before <stem>_s100_lr.npy
        arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in names]
        images += list(zip(arrays[::2], arrays[1::2]))
    return Pairs(images, folder.name, digest=file_digest(path), **cut)


def _images(source: Path) -> list[Path]:
    if not source.is_dir():
        raise DataError(f"no folder of images at {source}")
    images = sorted(p for p in source.iterdir() if p.suffix.lower() in SUFFIXES)
    if not images:
        raise DataError(f"{source} holds no images ({', '.join(sorted(SUFFIXES))})")
    stems = [p.stem for p in images]
    twice = sorted({s for s in stems if stems.count(s) > 1})
    if twice:
        raise DataError(f"{source} has several images named {twice[0]}; names must differ")
    if (source / SOURCE_LIST).is_file():
        verify_manifest(source, [p.name for p in images], SOURCE_LIST)
    return images


def _opened(path: Path, settings: dict[str, Any] | None) -> dict[str, Any]:
    """The manifest, or a new one."""
    fresh = {"format": FORMAT, "version": VERSION, "settings": settings, "images": {}}
    if not path.is_file():
        return fresh
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kind = (found["format"], found["version"])
        before = found["settings"]
        isinstance(found["images"], dict) or found["images"].keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); delete the folder and prepare") from error
    if kind != (FORMAT, VERSION):
        raise DataError(f"{path} is {kind}, not {(FORMAT, VERSION)}; prepare into another folder")
    if settings is not None and before != settings:
        raise DataError(f"{path.parent} was prepared with {before}, not {settings}")
    return found


def _complete(target: Path, entry: dict[str, Any]) -> bool:
    return all(
        (target / name).is_file() and (target / name).stat().st_size == known["bytes"]
        for name, known in entry["files"].items()
    )


def _write_pairs(
    image: Path, target: Path, scales: Sequence[float], scale: int
) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = {}
    sharp = _read(image)
    for factor in scales:
        pair = degrade(sharp if factor == 1 else imresize(sharp, factor), scale)
        for kind, array in zip(("hr", "lr"), pair):
            path = target / f"{image.stem}_{_tag(factor)}_{kind}.npy"
            write_with(path, lambda file, array=array: np.save(file, array, allow_pickle=False))
            files[path.name] = {"sha256": file_digest(path), "bytes": path.stat().st_size}
    return files


def _tag(factor: float) -> str:
    return f"s{round(1000 * factor):04d}"


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is no readable image: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lithe.arm.prepare", description=__doc__)
    parser.add_argument("source", type=Path, help="folder of sharp images, such as DIV2K_train_HR")
    parser.add_argument("target", type=Path, help="folder to fill")
    options = parser.parse_args(arguments)
    with tqdm(unit="image") as bar:
        try:
            manifest = prepare(options.source, options.target, each=lambda _: bar.update() and None)
        except DataError as error:
            parser.exit(1, f"{error}\n")
    print(f"{manifest}: {len(prepared(options.target)):,} pairs of patches")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
