"""Editing: what of a motion is kept while the rest is made anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lithe.syntalker.autoencoder import DOWN

__all__ = ["Kept", "keep", "stitch"]


@dataclass(frozen=True, eq=False)
class Kept:
    """Known latents, and which of them to hold on to.

    Attributes:
        latents: ``(n, f, d)``.
        mask: true where a latent is kept ``(f, d)``.
    """

    latents: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        if self.latents.ndim != 3 or self.mask.shape != self.latents.shape[1:]:
            raise ValueError(
                f"latents (n, f, d) need a mask (f, d), got {tuple(self.latents.shape)} and "
                f"{tuple(self.mask.shape)}"
            )

    def window(self, start: int, length: int) -> Kept:
        """Latent frames from ``start`` on; past the end nothing is kept."""
        piece = self.latents[:, start : start + length]
        mask = self.mask[start : start + length]
        more = length - piece.shape[1]
        latents = torch.cat([piece, piece.new_zeros(len(piece), more, piece.shape[2])], 1)
        return Kept(latents, torch.cat([mask, mask.new_zeros(more, mask.shape[1])]))

    def with_first(self, seed: Tensor) -> Kept:
        """The same, and the first latents held at ``seed (n, s, d)``."""
        s = seed.shape[1]
        latents = self.latents.to(seed).expand(len(seed), -1, -1).clone()
        mask = self.mask.to(seed.device, copy=True)
        latents[:, :s] = torch.where(mask[:s], latents[:, :s], seed)
        mask[:s] = True
        return Kept(latents, mask)

    @classmethod
    def nothing(cls, n: int, f: int, d: int) -> Kept:
        """Nothing is kept."""
        return cls(torch.zeros(n, f, d), torch.zeros(f, d, dtype=torch.bool))


def keep(
    latents: Tensor,
    layout: Mapping[str, slice],
    *,
    parts: Iterable[str] = (),
    frames: Iterable[tuple[int, int]] = (),
) -> Kept:
    """Keep some parts of the body throughout, and all of it in some frames.

    ``keep(latents, layout, parts=("upper", "hands"))`` makes new legs only;
    ``keep(latents, layout, frames=[(0, 60), (120, 300)])`` fills a gap.

    Args:
        latents: of the motion ``(n, f, d)``, as the codec encodes it.
        layout: channels of each part.
        parts: names of those that are kept.
        frames: ranges of frames of motion, the end not included; a latent is kept if all its four
            frames are.

    Raises:
        ValueError: an unknown part, or a range outside the motion or without frames.
    """
    f, d = latents.shape[1:]
    mask = torch.zeros(f, d, dtype=torch.bool)
    for part in (parts,) if isinstance(parts, str) else parts:
        if part not in layout:
            raise ValueError(f"there is no part {part!r} to keep; there are {', '.join(layout)}")
        mask[:, layout[part]] = True
    for start, end in frames:
        if not 0 <= start < end <= f * DOWN:
            raise ValueError(f"frames {start} to {end} to keep; the motion has 0 to {f * DOWN}")
        mask[-(-start // DOWN) : end // DOWN] = True
    return Kept(latents, mask)


def stitch(pieces: Mapping[str, Tensor], layout: Mapping[str, slice]) -> Tensor:
    """Put parts of independent motions side by side: what combining at every step is to beat.

    Source: SynTalker spec 11.3, 11.4 (b). No part knows of the others, so legs and torso need not
    keep step.

    Args:
        pieces: for each part the latents ``(n, f, d)`` of the motion that it is taken from.
        layout: channels of each part.

    Raises:
        ValueError: a part is missing or unknown, or shapes differ.
    """
    if set(pieces) != set(layout):
        raise ValueError(f"parts are {', '.join(layout)}; got {', '.join(pieces) or 'none'}")
    if len({x.shape for x in pieces.values()}) > 1:
        raise ValueError(f"motions have one shape, got {[tuple(x.shape) for x in pieces.values()]}")
    return torch.cat([pieces[part][..., own] for part, own in layout.items()], -1)
