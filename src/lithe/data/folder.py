"""ImageNet-style folders of photographs, decoded when they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from lithe.data.errors import DataError
from lithe.vision import torchvision

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "FolderImages", "imagenet_folder"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp"}
CROP, SHORT_SIDE = 224, 256


class FolderImages:
    """Photographs in one folder per class; see :class:`lithe.data.DataSet`.

    Training images get a random resized crop to 224 and a random flip, others the shorter side
    resized to 256 and the central 224 x 224 (DCFF spec 4). Every image has its own seed, so
    what it looks like depends neither on the number of workers nor on its neighbours.

    Args:
        root: the folder that holds the class folders.
        classes: names of the class folders, in label order.
        name: a short name for records.
        workers: processes that prepare batches.

    Raises:
        DataError: a class folder holds no image.
    """

    def __init__(self, root: Path, classes: tuple[str, ...], name: str, workers: int) -> None:
        self.root, self.classes, self.name, self.workers = root, classes, name, workers
        self.files: list[Path] = []
        labels: list[int] = []
        for label, folder in enumerate(classes):
            found = _images_in(root / folder)
            self.files += found
            labels += [label] * len(found)
        self.labels = torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one prepared image."""
        return (3, CROP, CROP)

    @cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of the files' relative names and sizes (their bytes are too many)."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.relative_to(self.root)} {file.stat().st_size}\n".encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Name, fingerprint and sizes, as a record keeps them."""
        keys = {"name": self.name, "sha256": self.fingerprint, "n": len(self)}
        return {**keys, "classes": self.n_classes, "shape": list(self.shape)}

    def batch(
        self,
        indices: Tensor,
        generator: Generator | None = None,
        augment: bool = False,
        part: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """Decode, transform and normalise; see :meth:`lithe.data.DataSet.batch`.

        Returns:
            Images float32 ``(m, 3, 224, 224)`` and labels int64 ``(m,)``.

        Raises:
            DataError: an image cannot be decoded; the message names the file.
            ValueError: augmentation is asked for without a generator.
        """
        chosen = indices[part]
        if augment:
            if generator is None:
                raise ValueError("augment=True needs a torch.Generator to draw from")
            seeds = torch.randint(2**31, (len(indices),), generator=generator)[part].tolist()
            images = [self._train_image(i, seed) for i, seed in zip(chosen.tolist(), seeds)]
        else:
            images = [self._transforms["test"](self._decode(i)) for i in chosen.tolist()]
        return torch.stack(images), self.labels[chosen]

    def _train_image(self, index: int, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # the transforms draw from the global state
            torch.manual_seed(seed)
            return self._transforms["train"](self._decode(index))

    def _decode(self, index: int) -> Any:
        from PIL import Image

        path = self.files[index]
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(
                f"{path} cannot be decoded ({error}); replace or remove the file"
            ) from error

    @cached_property
    def _transforms(self) -> dict[str, Callable[[Any], Tensor]]:
        t = torchvision().transforms
        finish = [t.ToTensor(), t.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
        return {
            "train": t.Compose([t.RandomResizedCrop(CROP), t.RandomHorizontalFlip(), *finish]),
            "test": t.Compose([t.Resize(SHORT_SIDE), t.CenterCrop(CROP), *finish]),
        }


def imagenet_folder(
    path: str | Path, classes: int = 1000, workers: int | None = None
) -> tuple[FolderImages, FolderImages]:
    """ImageNet laid out as ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG``.

    Args:
        path: the folder that holds ``train`` and ``val``.
        classes: how many class folders there must be.
        workers: processes that prepare batches; by default up to 8, one per CPU core.

    Returns:
        ``(train, validation)``; labels follow the sorted names of the class folders.

    Raises:
        DataError: a folder is missing, their classes differ or are not ``classes`` many, or a
            class has no image.
    """
    path = Path(path).expanduser()
    train, val = (_class_names(path / part) for part in ("train", "val"))
    if train != val:
        odd = sorted(set(train) ^ set(val))[:5]
        raise DataError(f"train and val in {path} must have the same classes; these differ: {odd}")
    if len(train) != classes:
        raise DataError(f"{path} has {len(train)} classes, not {classes}; complete the folders")
    workers = min(8, os.cpu_count() or 1) if workers is None else workers
    return (
        FolderImages(path / "train", train, f"{path.name} train", workers),
        FolderImages(path / "val", val, f"{path.name} val", workers),
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(
            f"{folder} is missing: the data set is one folder with train/ and val/, each with "
            "one folder of images per class"
        )
    return tuple(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()))


def _images_in(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder} holds no image; put the images of that class there")
    return found
