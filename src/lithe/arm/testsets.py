"""Real photographs to train, calibrate and test on: from the shared folder, or bundled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lithe import data
from lithe.arm.degrade import photographs
from lithe.data.checksum import verify_manifest

__all__ = ["SETS", "Pictures", "benchmark", "bundled", "calibration_pictures", "training_pictures"]

#: Test sets of the shared folder; of B100 and Urban100 a part is there.
SETS = ("Set5", "Set14", "B100", "Urban100")
SUFFIXES = {".png", ".jpg", ".webp"}

#: Photographs of scikit-image by what they are used for; no image has two uses.
TRAINED_ON = (
    *("coffee", "chelsea", "ihc", "hubble", "camera"),
    *("brick", "coins", "moon", "grass", "gravel"),
)
CALIBRATED_ON = ("astronaut", "rocket", "motorcycle")
HELD = 5  # of the shared training photographs, kept for calibration


@dataclass(frozen=True, eq=False)
class Pictures:
    """Sharp images by name, uint8 ``(h, w, 3)``, with the name of the whole."""

    name: str
    images: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.images)

    def described(self) -> dict[str, Any]:
        """As the ledger writes data down: name, hash of all pixels, number."""
        digest = hashlib.sha256()
        for name, image in self.images.items():
            digest.update(f"{name} {image.shape}".encode())
            digest.update(np.ascontiguousarray(image).data)
        return {"name": self.name, "sha256": digest.hexdigest(), "sizes": {"n": len(self)}}

    def cut(self, side: int) -> Pictures:
        """The middle of every image, at most ``side`` pixels high and wide."""
        return Pictures(
            f"{self.name}-{side}", {k: _middle(v, side) for k, v in self.images.items()}
        )


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (n - side) // 2) for n in image.shape[:2])
    return image[top : top + side, left : left + side]


def bundled(names: Sequence[str]) -> Pictures:
    """Photographs that come with scikit-image."""
    return Pictures("scikit-image", dict(photographs(tuple(names))))


def benchmark(name: str, shared: Path | None = None) -> Pictures:
    """A test set of super-resolution, checked against the manifest; gray images repeated.

    Args:
        name: one of :data:`SETS`.
        shared: the folder of shared data; by default :func:`lithe.data.shared_folder`.

    Raises:
        ValueError: no such set.
        lithe.data.DataError: the folder is missing or damaged.
    """
    if name not in SETS:
        raise ValueError(f"no test set {name!r}; there are {', '.join(SETS)}")
    return Pictures(name, _read(shared or data.shared_folder(), name))


def training_pictures(shared: Path | None = None) -> Pictures:
    """Twelve photographs of the Berkeley training set and ten of scikit-image."""
    real = _read(shared or data.shared_folder(), "BSDS_train")
    chosen = dict(list(real.items())[:-HELD])
    return Pictures("bsds-train+scikit-image", chosen | dict(bundled(TRAINED_ON).images))


def calibration_pictures(shared: Path | None = None) -> Pictures:
    """Eight photographs that no network here was trained on, for edge tables."""
    real = _read(shared or data.shared_folder(), "BSDS_train")
    held = dict(list(real.items())[-HELD:])
    return Pictures("bsds-held+scikit-image", held | dict(bundled(CALIBRATED_ON).images))


def _read(shared: Path, name: str) -> dict[str, np.ndarray]:
    root = shared / "data" / "sr"
    paths = sorted(p for p in (root / name).glob("*") if p.suffix in SUFFIXES)
    if not paths:
        raise data.DataError(f"no images in data/sr/{name} of the shared folder")
    verify_manifest(root, [f"{name}/{path.name}" for path in paths])
    return dict(_decoded(paths))


def _decoded(paths: Iterable[Path]) -> Iterable[tuple[str, np.ndarray]]:
    for path in paths:
        with Image.open(path) as image:
            yield path.stem, np.array(image.convert("RGB"))
