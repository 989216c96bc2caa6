"""One space for motion and prompts, in which what means the same lies close together."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor, nn

from lithe.syntalker.first_weights import seeded
from lithe.syntalker.losses import cosine, false_negatives, gaussian_kl, info_nce
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.tmr import Gaussian, MotionDecoder, SequenceEncoder, valid_frames

__all__ = ["SPACE_FULL", "SPACE_SMALL", "AlignedSpace", "Passed", "SpaceConfig", "SpaceLoss"]


class SpaceConfig(BaseModel):
    """The size of the aligned space.

    Attributes:
        width: of the space and of the transformers.
        layers: of each transformer.
        heads: of their attention; divides ``width``.
        feedforward: their hidden width.
        dropout: of positions and layers.
        unit: scale embeddings to length ``sqrt(width)`` before they are handed out. As released
            they keep the length that training gave them, though InfoNCE only ties directions
            (SynTalker spec 11.5, lesson 2).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(256, ge=2)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    feedforward: int = Field(1024, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    unit: bool = False

    @model_validator(mode="after")
    def _heads_divide(self) -> SpaceConfig:
        if self.width % self.heads or self.width % 2:
            raise ValueError(
                f"width = {self.width} must be even and divide into {self.heads} heads"
            )
        return self


#: The released size (SynTalker spec 5.1).
SPACE_FULL = SpaceConfig()
#: A size that trains on two cores in minutes.
SPACE_SMALL = SpaceConfig(width=64, layers=2, feedforward=128)


class Passed(NamedTuple):
    """What a batch of motion with captions becomes.

    Attributes:
        motion: Gaussians of the motions.
        text: Gaussians of the captions.
        z_motion: a draw from each motion's ``(n, width)``.
        z_text: a draw from each caption's ``(n, width)``.
        from_motion: motion decoded from ``z_motion`` ``(n, t, d)``, z-scores.
        from_text: motion decoded from ``z_text`` ``(n, t, d)``, z-scores.
        wanted: the motion itself in z-scores, 0 in padded frames ``(n, t, d)``.
    """

    motion: Gaussian
    text: Gaussian
    z_motion: Tensor
    z_text: Tensor
    from_motion: Tensor
    from_text: Tensor
    wanted: Tensor


class AlignedSpace(nn.Module):
    """Motion encoder, text encoder and the decoder that they share.

    Source: SynTalker spec 5.1. Takes motion features as they are and normalises them inside, once
    (G2). The words come in as vectors of a frozen language model; see
    :mod:`lithe.syntalker.text`.

    Args:
        features: channels ``d`` of a frame.
        words: width of a word vector.
        config: its size; the released one by default.
        normaliser: of the features; to be filled by ``load_state_dict`` if none is given.
        generator: source of the first weights; torch's global one if none is given.

    Raises:
        ValueError: ``normaliser`` has other channels.
    """

    def __init__(
        self,
        features: int,
        words: int,
        config: SpaceConfig = SPACE_FULL,
        *,
        normaliser: Normaliser | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.normaliser = normaliser or Normaliser.empty(features)
        if len(self.normaliser.mean) != features:
            raise ValueError(f"the normaliser has {len(self.normaliser.mean)} channels")
        sizes = config.model_dump(exclude={"unit", "width"})
        with seeded(generator):
            self.motion_encoder = SequenceEncoder(features, config.width, **sizes)
            self.text_encoder = SequenceEncoder(words, config.width, activate=True, **sizes)
            self.decoder = MotionDecoder(features, config.width, **sizes)
        self.features, self.words, self.config = features, words, config

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        words: Tensor,
        spoken: Tensor,
        generator: Generator | None = None,
    ) -> Passed:
        """Both encoders and, from both, the decoder; what training looks at.

        Args:
            features: motion ``(n, t, d)``.
            lengths: frames of each that count ``(n,)``.
            words: word vectors of the captions ``(n, s, words)``.
            spoken: mask of the words that count ``(n, s)``.
            generator: source of the draws.
        """
        valid = valid_frames(lengths, features.shape[1])
        wanted = self.normaliser(features) * valid[..., None]
        motion = self.motion_encoder(wanted, valid)
        text = self.text_encoder(words, spoken)
        z_motion, z_text = motion.sample(generator), text.sample(generator)
        decoded = self.decoder(z_motion, valid), self.decoder(z_text, valid)
        return Passed(motion, text, z_motion, z_text, *decoded, wanted)

    @torch.no_grad()
    def embed_motion(
        self, features: Tensor, lengths: Tensor | None = None, unit: bool | None = None
    ) -> Tensor:
        """Where motions lie: the mean of each one's Gaussian.

        Source: SynTalker spec 5.4: the pseudo-prompt of any clip, captioned or not.

        Args:
            features: ``(n, t, d)``, as they are.
            lengths: frames that count ``(n,)``; all by default.
            unit: overrides the config's ``unit``.

        Returns:
            ``(n, width)``.

        Raises:
            ValueError: another shape, lengths outside 1..t, or not finite.
        """
        n, t = self._checked(features)
        lengths = torch.full((n,), t) if lengths is None else lengths
        if lengths.shape != (n,) or lengths.min() < 1 or lengths.max() > t:
            raise ValueError(f"lengths must be {n} numbers from 1 to {t}, got {lengths.tolist()}")
        valid = valid_frames(lengths.to(features.device), t)
        mean = self.motion_encoder(self.normaliser(features) * valid[..., None], valid).mean
        return self._scaled(mean, unit)

    @torch.no_grad()
    def embed_text(self, words: Tensor, spoken: Tensor, unit: bool | None = None) -> Tensor:
        """Where prompts lie: the mean of each one's Gaussian ``(n, width)``.

        Args:
            words: word vectors ``(n, s, words)``.
            spoken: mask of the words that count ``(n, s)``.
            unit: overrides the config's ``unit``.

        Raises:
            ValueError: another width, or a prompt without any word.
        """
        if words.ndim != 3 or words.shape[2] != self.words or spoken.shape != words.shape[:2]:
            raise ValueError(
                f"words are (n, s, {self.words}) with a mask (n, s), got {tuple(words.shape)} and "
                f"{tuple(spoken.shape)}"
            )
        if not spoken.any(1).all():
            raise ValueError("a prompt has no word")
        return self._scaled(self.text_encoder(words, spoken).mean, unit)

    @torch.no_grad()
    def decode(self, z: Tensor, frames: int) -> Tensor:
        """The motion ``(n, frames, d)`` that places ``(n, width)`` in the space stand for."""
        valid = torch.ones(len(z), frames, dtype=torch.bool, device=z.device)
        return self.normaliser.inverse(self.decoder(z, valid))

    def _scaled(self, mean: Tensor, unit: bool | None) -> Tensor:
        if not (self.config.unit if unit is None else unit):
            return mean
        return F.normalize(mean, dim=-1) * math.sqrt(mean.shape[-1])

    def _checked(self, features: Tensor) -> tuple[int, int]:
        if features.ndim != 3 or features.shape[2] != self.features or not features.numel():
            raise ValueError(f"features are (n, t, {self.features}), got {tuple(features.shape)}")
        if not torch.isfinite(features).all():
            raise ValueError("features hold NaN or infinity; repair or leave out such frames")
        return features.shape[0], features.shape[1]


class SpaceLoss(BaseModel):
    """The weighted sum of losses of the aligned space.

    Source: SynTalker spec 5.2.

    Attributes:
        reconstruction: weight of decoding motion from motion and from text, each.
        kl: weight of each direction between the two Gaussians.
        latent: weight of the distance between the two draws.
        contrast: weight of InfoNCE; 0 leaves motion and text unaligned.
        temperature: of InfoNCE.
        threshold: caption similarity from which on a pair is no negative.
        filter: ``"corrected"``, ``"released"`` (identical captions stay negatives, G26) or
            ``"none"``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reconstruction: float = Field(1.0, ge=0)
    kl: float = Field(1e-5, ge=0)
    latent: float = Field(1e-5, ge=0)
    contrast: float = Field(0.1, ge=0)
    temperature: float = Field(0.1, gt=0)
    threshold: float = 0.85
    filter: Literal["corrected", "released", "none"] = "corrected"

    def terms(self, passed: Passed, sentences: Tensor | None = None) -> dict[str, Tensor]:
        """Each loss by name, not weighted.

        Args:
            passed: of a batch.
            sentences: vectors of the whole captions ``(n, w)``, which the filter compares.

        Raises:
            ValueError: the filter has no sentences to compare.
        """
        if self.filter == "none":
            ignored = None
        elif sentences is None:
            raise ValueError(f"filter={self.filter!r} compares captions; give their sentences")
        else:
            similar = cosine(sentences, sentences)
            ignored = false_negatives(similar, self.threshold, self.filter == "released")
        two_ways = gaussian_kl(passed.text, passed.motion) + gaussian_kl(passed.motion, passed.text)
        return {
            "reconstruction": F.smooth_l1_loss(passed.from_motion, passed.wanted)
            + F.smooth_l1_loss(passed.from_text, passed.wanted),
            "kl": two_ways,
            "latent": F.smooth_l1_loss(passed.z_text, passed.z_motion),
            "contrast": info_nce(passed.motion.mean, passed.text.mean, self.temperature, ignored),
        }

    def total(self, passed: Passed, sentences: Tensor | None = None) -> Tensor:
        """The weighted sum that training minimises; see :meth:`terms`."""
        found = self.terms(passed, sentences)
        return sum(getattr(self, name) * value for name, value in found.items())
