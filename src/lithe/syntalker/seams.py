"""What decoding in windows does to the motion at their edges."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Seams", "seams"]


class Seams(NamedTuple):
    """Frame-to-frame movement at the edges of windows, and elsewhere.

    Attributes:
        at: mean movement of a joint between the frames on both sides of an edge, metres.
        elsewhere: the same between all other neighbouring frames.
        worst: largest movement of any joint across an edge, metres.
    """

    at: float
    elsewhere: float
    worst: float


def seams(positions: Tensor, window: int) -> Seams:
    """Compare movement across window edges with movement inside windows.

    Source: SynTalker spec 7.5, step 4: seams of windows that were decoded one by one.

    Args:
        positions: ``(t, j, 3)``, metres.
        window: frames of a window; edges lie between its multiples.

    Raises:
        ValueError: there is no edge, or nothing else.
    """
    t = len(positions)
    if not 2 <= window < t:
        raise ValueError(f"window is {window}; give 2..{t - 1} for a motion of {t} frames")
    moved = positions.diff(dim=0).norm(dim=-1)  # (t - 1, j)
    edge = torch.arange(1, t) % window == 0
    return Seams(float(moved[edge].mean()), float(moved[~edge].mean()), float(moved[edge].max()))
