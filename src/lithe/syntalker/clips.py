"""Motion clips as training data: windows of a fixed length, and whole clips with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from lithe.data.checksum import tensor_digest
from lithe.syntalker.autoencoder import DOWN

__all__ = ["CaptionedClips", "FeatureClip", "Windows"]


@dataclass(frozen=True, eq=False)
class FeatureClip:
    """One motion.

    Attributes:
        features: ``(t, d)``, as they are (not normalised).
        captions: what it shows, in words; none for speech.
        label: what it shows, as one word; clips of one label are right answers for each other's
            captions.
        name: for messages.
    """

    features: Tensor
    captions: tuple[str, ...] = ()
    label: str = ""
    name: str = "clip"

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or not torch.isfinite(self.features).all():
            raise ValueError(
                f"{self.name}: features are (t, d) and finite, got {tuple(self.features.shape)}"
            )


class Windows:
    """Windows of all clips; a data set of :mod:`lithe.data`.

    Source: SynTalker spec 3.4: one item per clip and offset, so that long clips dominate. Inputs
    and targets are the same windows.

    Args:
        clips: those shorter than a window are left out.
        length: frames of a window.
        stride: frames from one item to the next, 1 as released. With more, training draws each
            window's offset anew within the stride, so that nothing is left out in the long run.
        name: for records.

    Raises:
        ValueError: no clip is long enough, or clips differ in their number of channels.
    """

    workers = 0

    def __init__(
        self, clips: Sequence[FeatureClip], length: int = 64, stride: int = 1, name: str = "windows"
    ) -> None:
        if length < DOWN or length % DOWN or stride < 1:
            raise ValueError(
                f"length = {length} must be a multiple of {DOWN}, stride = {stride} 1 or more"
            )
        long = [clip.features for clip in clips if len(clip.features) >= length]
        if not long:
            raise ValueError(f"no clip has {length} frames or more")
        _refuse_mixed(long)
        self.name, self.length, self.stride = name, length, stride
        self.frames = torch.cat(long).float()
        starts, last, offset = [], [], 0
        for features in long:
            first = torch.arange(0, len(features) - length + 1, stride)
            starts.append(offset + first)
            last.append((offset + len(features) - length) * torch.ones_like(first))
            offset += len(features)
        self.starts, self.last = torch.cat(starts), torch.cat(last)

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of frames and windows."""
        return tensor_digest(self.frames, self.starts, torch.tensor([self.length, self.stride]))

    def batch(
        self,
        indices: Tensor,
        generator: Generator | None = None,
        augment: bool = False,
        part: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """Windows ``(m, length, d)``, twice; see :class:`lithe.data.DataSet`."""
        starts = self.starts[indices]
        if augment and self.stride > 1:
            jitter = torch.randint(self.stride, (len(indices),), generator=generator)
            starts = torch.minimum(starts + jitter, self.last[indices])
        at = starts[part, None] + torch.arange(self.length)
        windows = self.frames[at]
        return windows, windows


class CaptionedClips:
    """Whole clips, padded, each with one of its captions; a data set of :mod:`lithe.data`.

    Source: SynTalker spec 5.2: 40 to 299 frames, lengths cut to multiples of 4, a random caption.
    Targets are int64 ``(m, 3)``: frames that count, number of the caption in :attr:`captions`,
    number of the clip.

    Args:
        clips: those shorter than ``least`` or without captions are left out.
        least: fewest frames.
        most: of longer clips a piece is taken, at random in training.
        name: for records.

    Attributes:
        captions: all different captions, sorted.

    Raises:
        ValueError: no clip is left, or clips differ in their number of channels.
    """

    workers = 0

    def __init__(
        self,
        clips: Sequence[FeatureClip],
        least: int = 40,
        most: int = 296,
        name: str = "captioned",
    ) -> None:
        if not DOWN <= least <= most or most % DOWN:
            raise ValueError(f"{DOWN} <= least <= most, in steps of {DOWN}; got {least}, {most}")
        self.clips = [c for c in clips if c.captions and len(c.features) >= least]
        if not self.clips:
            raise ValueError(f"no clip has a caption and {least} frames or more")
        _refuse_mixed([clip.features for clip in self.clips])
        self.name, self.least, self.most = name, least, most
        self.captions = sorted({text for clip in self.clips for text in clip.captions})
        number = {text: k for k, text in enumerate(self.captions)}
        self.own = [[number[text] for text in clip.captions] for clip in self.clips]

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of clips, captions and limits."""
        text = torch.tensor(list("\0".join(self.captions).encode()), dtype=torch.uint8)
        owned = torch.tensor([k for own in self.own for k in (*own, -1)])
        limits = torch.tensor([self.least, self.most])
        return tensor_digest(*(clip.features for clip in self.clips), text, owned, limits)

    def batch(
        self,
        indices: Tensor,
        generator: Generator | None = None,
        augment: bool = False,
        part: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """Padded clips ``(m, t, d)`` and targets ``(m, 3)``; see :class:`lithe.data.DataSet`."""
        chance = torch.zeros(len(indices), 2, dtype=torch.float64)
        if augment:
            chance = torch.rand(len(indices), 2, generator=generator, dtype=torch.float64)
        cut = [self._one(int(k), *c.tolist()) for k, c in zip(indices[part], chance[part])]
        padded = torch.nn.utils.rnn.pad_sequence([x for x, _ in cut], batch_first=True)
        numbers = [(len(x), text, int(k)) for (x, text), k in zip(cut, indices[part])]
        return padded, torch.tensor(numbers)

    def _one(self, k: int, place: float, which: float) -> tuple[Tensor, int]:
        """A piece of clip ``k`` and one of its captions, from two numbers in [0, 1)."""
        features = self.clips[k].features.float()
        length = min(len(features) - len(features) % DOWN, self.most)
        start = int(place * (len(features) - length + 1))
        own = self.own[k]
        return features[start : start + length], own[int(which * len(own))]


def _refuse_mixed(features: Sequence[Tensor]) -> None:
    widths = sorted({one.shape[1] for one in features})
    if len(widths) > 1:
        raise ValueError(f"clips have different numbers of channels: {widths}")
