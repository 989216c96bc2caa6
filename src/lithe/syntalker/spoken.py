"""Windows of two corpora that share no condition: people who talk, and people who move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Generator, Tensor

from lithe.data.checksum import tensor_digest
from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.conditions import mixture_weights
from lithe.syntalker.sound import clip_samples
from lithe.syntalker.vocabulary import PAD

__all__ = ["BothCorpora", "SpokenClip"]


@dataclass(frozen=True, eq=False)
class SpokenClip:
    """One motion with what was said to it, or with silence.

    Attributes:
        features: ``(t, d)``, as they are.
        sound: ``(samples, 2)`` from :func:`lithe.syntalker.speech.speech_features`; ``None`` for
            a silent clip.
        words: int64 ``(t',)`` with ``t'`` at least ``t``; ``None`` for a silent clip.
        captions: what it shows; none for speech.
        name: for messages.
    """

    features: Tensor
    sound: Tensor | None = None
    words: Tensor | None = None
    captions: tuple[str, ...] = field(default=())
    name: str = "clip"

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or not torch.isfinite(self.features).all():
            raise ValueError(f"{self.name}: features are (t, d) and finite")
        if (self.sound is None) != (self.words is None):
            raise ValueError(f"{self.name}: sound and words come together, or neither")
        if self.words is not None and len(self.words) < len(self.features):
            raise ValueError(
                f"{self.name}: {len(self.words)} words for {len(self.features)} frames"
            )


class BothCorpora:
    """A data set of :mod:`lithe.data` that draws from both corpora as stage 3 was trained.

    Source: SynTalker spec 6.6: windows of speech a stride apart and one random window of each
    silent clip, drawn with replacement so that an expected third is silent. Inputs are windows of
    features ``(m, window, d)``, targets int64 ``(m, 3)``: clip, first frame, which of its captions;
    :meth:`heard` turns these into speech.

    Args:
        speech: clips with sound.
        silent: clips without; may be empty, then all is speech.
        window: frames, a multiple of 4.
        stride: frames between windows of speech.
        share: of the draws that are silent.
        from_start: share of silent windows that begin at the clip's first frame, where people
            stand; without them the seed tells the action and the prompt is ignored (SynTalker
            spec 11.5, lesson 1).
        name: for records.

    Raises:
        ValueError: no clip is long enough, or clips differ in their number of channels.
    """

    workers = 0

    def __init__(
        self,
        speech: Sequence[SpokenClip],
        silent: Sequence[SpokenClip] = (),
        window: int = 128,
        stride: int = 20,
        share: float = 1 / 3,
        from_start: float = 0.0,
        name: str = "both-corpora",
    ) -> None:
        if window < DOWN or window % DOWN or stride < 1 or not 0 <= from_start <= 1:
            raise ValueError(
                f"window = {window} must be a multiple of {DOWN}, stride = {stride} 1 or more, "
                f"from_start = {from_start} from 0 to 1"
            )
        if any(clip.sound is None for clip in speech):
            raise ValueError("a clip of the speech corpus has no sound")
        spoken = [clip for clip in speech if len(clip.features) >= window]
        quiet = [clip for clip in silent if len(clip.features) >= window]
        if not spoken or (silent and not quiet):
            raise ValueError(f"no clip of speech, or no silent one, has {window} frames or more")
        self.clips, self.spoken = [*spoken, *quiet], len(spoken)
        widths = {clip.features.shape[1] for clip in self.clips}
        if len(widths) > 1:
            raise ValueError(f"clips have different numbers of channels: {sorted(widths)}")
        self.window, self.stride, self.from_start, self.name = window, stride, from_start, name
        starts = [
            (k, at)
            for k, clip in enumerate(spoken)
            for at in range(0, len(clip.features) - window + 1, stride)
        ]
        self.windows = torch.tensor([*starts, *((len(spoken) + k, 0) for k in range(len(quiet)))])
        count = len(starts), len(quiet)
        self.weights = mixture_weights(*count, share) if quiet else torch.ones(count[0]).double()

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of all clips and of how they are drawn."""
        sounding = [clip for clip in self.clips if clip.sound is not None]
        text = "\0".join(caption for clip in self.clips for caption in clip.captions)
        return tensor_digest(
            *(clip.features for clip in self.clips),
            *(tensor for clip in sounding for tensor in (clip.sound, clip.words)),
            torch.tensor(list(text.encode()), dtype=torch.uint8),
            self.windows,
            self.weights,
            torch.tensor([self.window, self.from_start], dtype=torch.float64),
        )

    def batch(
        self,
        indices: Tensor,
        generator: Generator | None = None,
        augment: bool = False,
        part: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """Windows and what belongs to them; see :class:`lithe.data.DataSet`.

        In training the indices only say how many: items are drawn by their weights.
        """
        n = len(indices)
        chance = torch.zeros(n, 3, dtype=torch.float64)
        if augment:
            indices = torch.multinomial(self.weights, n, True, generator=generator)
            chance = torch.rand(n, 3, generator=generator, dtype=torch.float64)
        chosen = zip(self.windows[indices[part]].tolist(), chance[part].tolist(), strict=True)
        found = torch.tensor([self._one(*item, *c) for item, c in chosen])
        at = [slice(start, start + self.window) for start in found[:, 1].tolist()]
        rows = [self.clips[k].features[w] for k, w in zip(found[:, 0].tolist(), at, strict=True)]
        return torch.stack(rows).float(), found

    def _one(
        self, clip: int, start: int, place: float, rest: float, caption: float
    ) -> tuple[int, int, int]:
        """Clip, first frame and caption of an item, from numbers in [0, 1)."""
        own = self.clips[clip]
        if clip >= self.spoken and rest >= self.from_start:
            start = int(place * (len(own.features) - self.window + 1))
        return clip, start, int(caption * max(len(own.captions), 1))

    def heard(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """Speech of windows: sound ``(m, samples, 2)`` and words ``(m, window)``.

        Args:
            found: targets of :meth:`batch`.
        """
        count = clip_samples(self.window).stop
        sound = torch.zeros(len(found), count, 2)
        words = torch.full((len(found), self.window), PAD)
        for row, (clip, start, _) in enumerate(found.tolist()):
            own = self.clips[clip]
            if own.sound is not None and own.words is not None:
                first = clip_samples(self.window, start=start).start
                piece = own.sound[first : first + count]
                sound[row, : len(piece)] = piece
                words[row] = own.words[start : start + self.window]
        return sound, words
