"""Large photographs made from small ones, and what the tables are made from."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lithe.arm.branches import Branches
from lithe.arm.calibrate import calibrate, measure
from lithe.arm.degrade import photographs
from lithe.arm.imresize import imresize
from lithe.arm.official import load_official, official_table
from lithe.arm.table import EdgeTable
from lithe.data.shared import shared_folder

__all__ = ["BINS", "mosaic", "official", "smooth", "tables"]

PIECES = ("coffee", "chelsea", "astronaut", "rocket", "motorcycle", "camera", "hubble", "ihc")
BINS = (5, 10, 15)  # tried for the tables made here


def mosaic(height: int, width: int) -> np.ndarray:
    """A photograph of photographs, uint8 ``(height, width, 3)``."""
    canvas = np.zeros((height, width, 3), np.uint8)
    pieces = [image for _, image in photographs(PIECES)]
    top, number = 0, 0
    while top < height:
        left, row = 0, min(300, height - top)
        while left < width:
            piece = pieces[number % len(pieces)][:row, : width - left]
            canvas[top : top + len(piece), left : left + piece.shape[1]] = piece
            left, number = left + piece.shape[1], number + 1
        top += row
    return canvas


def smooth(factor: float = 1.1) -> np.ndarray:
    """A photograph with large smooth areas: the retina of scikit-image, 2.4 MP."""
    ((_, image),) = photographs(("retina",))
    return imresize(image, factor)


def official(backbone: str) -> Branches:
    """The released supernet."""
    return load_official(
        shared_folder() / "golden" / f"arm_{backbone}_official.safetensors", backbone
    )


def tables(branches: Branches, backbone: str, images: int) -> dict[str, EdgeTable]:
    """Tables of squared error and of PSNR from the same photographs, and the released one.

    Args:
        branches: of the backbone.
        backbone: ``"fsrcnn"`` or ``"carn"``.
        images: how many photographs to make the tables from, at least 2; none of them is used
            elsewhere. The number of bins is the one that foretells held-out photographs best.
    """
    files = sorted((shared_folder() / "data/sr/BSDS_train").iterdir())[:images]
    patches = measure(branches, [np.asarray(Image.open(f).convert("RGB")) for f in files])
    released, _ = official_table(shared_folder() / "golden/arm_lut_official.npz", backbone)
    return {
        "mse": calibrate(patches, "mse", BINS, "count")[0],
        "psnr": calibrate(patches, "psnr", BINS)[0],
        "psnr_released": released,
    }
