"""Z-scores of motion features, applied once and undone once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["Normaliser"]


class Normaliser(nn.Module):
    """Shift and scale of every feature; part of the model that needs it, and saved with it.

    Source: SynTalker spec 2.3, per dimension. The released loader normalises speech clips twice
    (G2); here models take features as they are and normalise inside, so that it happens once.

    Args:
        mean: ``(d,)``.
        std: ``(d,)``, above 0.

    Raises:
        ValueError: shapes differ, or a number is not finite, or a deviation not above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        if mean.ndim != 1 or mean.shape != std.shape:
            raise ValueError(f"mean {tuple(mean.shape)} and std {tuple(std.shape)} must be (d,)")
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std > 0).all()):
            raise ValueError("mean and std must be finite, and every std above 0")
        self.register_buffer("mean", mean.float().clone())
        self.register_buffer("std", std.float().clone())

    @classmethod
    def fit(cls, clips: Iterable[Tensor], floor: float = 1e-3) -> Normaliser:
        """Statistics over all frames of all clips.

        Args:
            clips: features ``(t, d)`` each.
            floor: least deviation, so that a feature that never moves (a hand of a skeleton
                without fingers) is not blown up into noise.

        Raises:
            ValueError: there is no frame.
        """
        frames = [clip for clip in clips if len(clip)]
        if not frames:
            raise ValueError("no frame to take mean and deviation of")
        joined = torch.cat(frames).double()
        return cls(joined.mean(0), joined.std(0, correction=0).clamp_min(floor))

    @classmethod
    def empty(cls, features: int) -> Normaliser:
        """Zeros and ones, to be filled by ``load_state_dict``."""
        return cls(torch.zeros(features), torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(..., d)`` to z-scores."""
        return (x - self.mean) / self.std

    def inverse(self, z: Tensor) -> Tensor:
        """Z-scores ``(..., d)`` to features."""
        return z * self.std + self.mean
