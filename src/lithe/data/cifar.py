"""CIFAR-10: the official binary release, and the lossless subset of the shared data.

Source: A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009. The
"python version" of the release is a set of pickles and is never read.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lithe.data.augment import Augmentation
from lithe.data.checksum import verify_file, verify_manifest
from lithe.data.errors import DataError
from lithe.data.images import Images
from lithe.data.shared import shared_folder

__all__ = ["CIFAR10_CLASSES", "CIFAR10_MEAN", "CIFAR10_STD", "cifar10", "cifar10_subset"]

CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
# Over all pixels of the 50,000 training images. A recipe with other numbers (such as the
# std .2023 .1994 .2010 of the DCFF release) takes ``images.normalised(mean, std)``.
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
ARCHIVE_URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
INNER = "cifar-10-batches-bin"
TRAIN_MD5 = {  # the first eight hex digits; the test file has none published and is checked below
    "data_batch_1.bin": "5dd7e06a",
    "data_batch_2.bin": "5ea93a67",
    "data_batch_3.bin": "942cd6a4",
    "data_batch_4.bin": "ae636b3b",
    "data_batch_5.bin": "53f37980",
}
TEST_FILE = "test_batch.bin"
PER_FILE, SIDE = 10_000, 32
RECORD = 1 + 3 * SIDE * SIDE  # one label byte, then red, green, blue planes

SHEET_DIGESTS = {  # sha256 of the decoded arrays, from the README of the shared data
    "x_train": "bbe8ac77e3a3a6e136200bdab127664859a62d2f44f79c45bd479fb9005c7c4c",
    "x_test": "48bde46fb9080c13770d6a8c4163dc24cff90c2802470aa26c4d6c392faf50f3",
    "y_train": "32c35d84f99ba30926cb33ee58722b7cc2d56d14f85984220f2c2e1fb5b98842",
    "y_test": "c5cc3963df7952a390249eaf62a93a87c0fd0f0f2c0a4172c3f19c0a634b6e68",
}
TRAIN_SHEETS = [f"train_{k}.webp" for k in range(6)]
TEST_SHEET = "test.webp"


def cifar10(folder: str | Path | None = None, download: bool = False) -> tuple[Images, Images]:
    """All of CIFAR-10: 50,000 training and 10,000 test images.

    Args:
        folder: holds ``cifar-10-binary.tar.gz`` or the ``.bin`` files extracted from it (there
            or under ``cifar-10-batches-bin``); by default the user's cache folder.
        download: fetch the archive (162 MiB, md5 checked) where it is missing. Without it
            nothing is ever downloaded.

    Returns:
        ``(train, test)``.

    Raises:
        DataError: files are missing, cut short or not the official ones.
    """
    folder = Path(folder).expanduser() if folder is not None else _cache()
    read = _reader(folder, download)
    train = [_parse(read(name), name) for name in TRAIN_MD5]
    test = _parse(read(TEST_FILE), TEST_FILE)
    if (test[1].bincount(minlength=10) != PER_FILE // 10).any():
        raise DataError(f"{TEST_FILE} is damaged: it must hold 1,000 images of every class")
    pixels, labels = (torch.cat(parts) for parts in zip(*train))
    return _images(pixels, labels, "cifar10 train"), _images(*test, "cifar10 test")


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("lithe")) / "cifar10"


def _reader(folder: Path, download: bool) -> Callable[[str], bytes]:
    """How to get the verified bytes of one ``.bin`` file."""
    for place in (folder, folder / INNER):
        if (place / TEST_FILE).is_file():
            for name, digest in TRAIN_MD5.items():
                verify_file(place / name, digest, "md5")
            return lambda name: (place / name).read_bytes()
    archive = folder / ARCHIVE
    if not archive.is_file():
        if not download:
            raise DataError(
                f"no CIFAR-10 in {folder}: put {ARCHIVE} there, or pass download=True to fetch "
                f"it from {ARCHIVE_URL}"
            )
        _download(folder)
    verify_file(archive, ARCHIVE_MD5, "md5")
    return lambda name: _member(archive, name)


def _download(folder: Path) -> None:
    import pooch

    folder.mkdir(parents=True, exist_ok=True)
    try:
        pooch.retrieve(ARCHIVE_URL, f"md5:{ARCHIVE_MD5}", fname=ARCHIVE, path=folder)
    except (OSError, ValueError) as error:  # no network; another checksum
        raise DataError(
            f"could not fetch {ARCHIVE_URL} ({error}); fetch it by hand into {folder}"
        ) from error


def _member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive, "r:gz") as tar:
        return tar.extractfile(f"{INNER}/{name}").read()


def _parse(content: bytes, name: str) -> tuple[Tensor, Tensor]:
    """Pixels ``(10000, 3, 32, 32)`` and labels of one ``.bin`` file."""
    if len(content) != PER_FILE * RECORD:
        raise DataError(
            f"{name} has {len(content):,} bytes, not {PER_FILE * RECORD:,}: it is cut short; "
            "fetch it again"
        )
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(PER_FILE, RECORD)
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE), records[:, 0].long()


def _images(pixels: Tensor, labels: Tensor, name: str) -> Images:
    return Images(pixels, labels, CIFAR10_CLASSES, name, CIFAR10_MEAN, CIFAR10_STD, Augmentation())


def cifar10_subset(shared: str | Path | None = None) -> tuple[Images, Images]:
    """6,000 training images (600 a class) and 1,017 test images, bit-exact CIFAR-10.

    The files are checked against their manifest and the decoded pixels against their sha256.

    Args:
        shared: the shared data; see :func:`lithe.data.shared_folder`.

    Returns:
        ``(train, test)``.

    Raises:
        DataError: the folder is missing, or a file is missing or damaged.
    """
    folder = shared_folder(shared) / "data" / "cifar10"
    verify_manifest(folder, [*TRAIN_SHEETS, TEST_SHEET, "labels.npz"])
    with np.load(folder / "labels.npz", allow_pickle=False) as file:
        y = {key: torch.from_numpy(file[key]) for key in ("y_train", "y_test")}
    x_train = torch.cat([_sheet(folder / name, 1000) for name in TRAIN_SHEETS])
    x_test = _sheet(folder / TEST_SHEET, len(y["y_test"]))
    _check_decoded({"x_train": x_train, "x_test": x_test, **y}, folder)
    train, test = (x.permute(0, 3, 1, 2).contiguous() for x in (x_train, x_test))
    return (
        _images(train, y["y_train"].long(), "cifar10 6k train"),
        _images(test, y["y_test"].long(), "cifar10 1k test"),
    )


def _sheet(path: Path, n: int) -> Tensor:
    """The first ``n`` tiles ``(n, 32, 32, 3)`` of a sheet, row by row."""
    from PIL import Image

    with Image.open(path) as image:
        sheet = torch.from_numpy(np.array(image.convert("RGB")))
    rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
    tiles = sheet.view(rows, SIDE, columns, SIDE, 3).transpose(1, 2)
    return tiles.reshape(-1, SIDE, SIDE, 3)[:n]


def _check_decoded(arrays: dict[str, Tensor], folder: Path) -> None:
    for name, array in arrays.items():
        found = hashlib.sha256(array.contiguous().numpy().data).hexdigest()
        if found != SHEET_DIGESTS[name]:
            raise DataError(
                f"{name} decoded from {folder} has sha256 {found}, not {SHEET_DIGESTS[name]}: "
                "this Pillow decodes lossless WebP differently; try another version of it"
            )
