"""Cutting and combining as the released code does it, for comparison.

It drops the pixels that fill no patch, lets every patch pad its own border with zeros, and
averages the overlaps; see ARM spec 9.7 and 9.8 for what that costs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from lithe.arm.calibrate import PATCH, STEP, to_uint8
from lithe.arm.degrade import cut_starts

__all__ = ["combine", "crop", "run_patches"]


def crop(image: np.ndarray, patch: int = PATCH, step: int = STEP) -> tuple[np.ndarray, int, int]:
    """Cut into overlapping patches; what fills none at the right and bottom is dropped.

    Source: ARM spec 5.1.

    Args:
        image: ``(h, w, c)``, at least one patch large.
        patch: side of a patch.
        step: from one to the next.

    Returns:
        Patches ``(rows * columns, patch, patch, c)`` row by row, rows, columns.

    Raises:
        ValueError: the image is smaller than a patch.
    """
    tops, lefts = (cut_starts(side, patch, step) for side in image.shape[:2])
    patches = [image[top : top + patch, left : left + patch] for top in tops for left in lefts]
    return np.stack(patches), len(tops), len(lefts)


def combine(patches: np.ndarray, rows: int, columns: int, step: int) -> np.ndarray:
    """Put enlarged patches together, overlaps averaged; not rounded again.

    Source: ARM spec 5.4.

    Args:
        patches: uint8 ``(rows * columns, side, side, c)``.
        rows: of patches.
        columns: of patches.
        step: from one to the next, in enlarged pixels; at least half a side.

    Returns:
        float32 ``((rows - 1) step + side, (columns - 1) step + side, c)``.

    Raises:
        ValueError: the number of patches is not ``rows * columns``.
    """
    if len(patches) != rows * columns:
        raise ValueError(f"{len(patches)} patches do not fill {rows} rows of {columns}")
    side, channels = patches.shape[1], patches.shape[3]
    shape = ((rows - 1) * step + side, (columns - 1) * step + side, channels)
    canvas = np.zeros(shape, np.float32)
    for number, patch in enumerate(patches):
        top, left = (step * place for place in divmod(number, columns))
        canvas[top : top + side, left : left + side] += patch
    for seam in range(1, columns):
        canvas[:, seam * step : seam * step + side - step] /= 2
    for seam in range(1, rows):
        canvas[seam * step : seam * step + side - step] /= 2
    return canvas


def run_patches(nets: Sequence[nn.Module], patches: np.ndarray, routes: np.ndarray) -> np.ndarray:
    """Enlarge patches one at a time, as the released loop does.

    Source: ARM spec 5.3.

    Args:
        nets: the branches.
        patches: uint8 ``(n, h, w, 3)``.
        routes: branch of each ``(n,)``.

    Returns:
        uint8 ``(n, scale h, scale w, 3)``.
    """
    made = []
    with torch.inference_mode():
        for patch, branch in zip(patches, routes.tolist()):
            x = torch.from_numpy(np.ascontiguousarray(patch)).permute(2, 0, 1)[None].float() / 255
            made.append(to_uint8(nets[branch](x))[0])
    return np.stack(made)
