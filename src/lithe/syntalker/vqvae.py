"""The residual VQ-VAE of one body part."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor, nn

from lithe.syntalker.autoencoder import DOWN, Decoder, Encoder
from lithe.syntalker.first_weights import seeded
from lithe.syntalker.quantizer import ResidualQuantizer, StraightThrough

__all__ = ["FULL", "SMALL", "CodecConfig", "Coded", "MotionVQ", "temperature_of", "vq_loss"]


class CodecConfig(BaseModel):
    """The size of a VQ-VAE and of its quantiser.

    Attributes:
        width: channels of the convolutions.
        latent: channels of a latent, and width of a code.
        layers: codebooks in a row.
        codes: of each codebook.
        decay: of the codebooks' moving averages.
        temperature: of the random assignment in training.
        quantise_dropout: chance that a training pass skips the last layers.
        dropout: of the residual blocks.
        straight_through: see :class:`lithe.syntalker.ResidualQuantizer`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(512, ge=1)
    latent: int = Field(512, ge=1)
    layers: int = Field(6, ge=1)
    codes: int = Field(512, ge=1)
    decay: float = Field(0.99, ge=0, lt=1)
    temperature: float = Field(0.5, ge=0, allow_inf_nan=False)
    quantise_dropout: float = Field(0.2, ge=0, le=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    straight_through: StraightThrough = "released"


def temperature_of(latent: int) -> float:
    """The temperature that blurs codes of a width as much as 0.5 does at the released 512.

    Squared distances grow with the width of a code, so the released number would make the choice
    of a narrow code pure chance, and the decoder would learn to ignore it.
    """
    return 0.5 * latent / 512


#: The released size (SynTalker spec 3).
FULL = CodecConfig()
#: A size that trains on two cores in minutes.
SMALL = CodecConfig(
    width=64, latent=32, layers=4, codes=64, temperature=temperature_of(32), dropout=0.0
)


class Coded(NamedTuple):
    """What a pass through a VQ-VAE gives.

    Attributes:
        motion: reconstructed features ``(n, t, d)``.
        commitment: distance of latents to their codes; see :class:`Quantized`.
        perplexity: effective number of codes in this batch.
        indices: chosen codes ``(n, t / 4, layers)``, -1 for skipped layers.
    """

    motion: Tensor
    commitment: Tensor
    perplexity: Tensor
    indices: Tensor


class MotionVQ(nn.Module):
    """Encoder, residual quantiser and decoder of one body part.

    Source: SynTalker spec 3.

    Args:
        features: channels ``d`` of a frame.
        config: its size; the released one by default.
        generator: source of the first weights; torch's global one if none is given.
    """

    def __init__(
        self, features: int, config: CodecConfig = FULL, generator: Generator | None = None
    ) -> None:
        super().__init__()
        sizes = (config.width, config.latent, config.dropout)
        with seeded(generator):
            self.encoder = Encoder(features, *sizes)
            self.decoder = Decoder(features, *sizes)
        self.quantizer = ResidualQuantizer(
            config.layers,
            config.codes,
            config.latent,
            decay=config.decay,
            temperature=config.temperature,
            dropout=config.quantise_dropout,
            straight_through=config.straight_through,
        )
        self.features, self.config = features, config

    def forward(
        self, x: Tensor, layers: int | None = None, generator: Generator | None = None
    ) -> Coded:
        """Encode, quantise, decode.

        Args:
            x: normalised features ``(n, t, d)``, ``t`` a multiple of 4.
            layers: use the first so many codebooks.
            generator: source of the quantiser's randomness in training.

        Raises:
            ValueError: ``x`` has another shape, or there are not so many layers.
        """
        quantized = self.quantizer(self._encoded(x), layers, generator)
        return Coded(
            self.decoder(quantized.output).transpose(1, 2),
            quantized.commitment,
            quantized.perplexity,
            quantized.indices,
        )

    def encode(self, x: Tensor) -> Tensor:
        """Latents *before* quantisation ``(n, t / 4, latent)`` of features ``(n, t, d)``.

        Source: SynTalker spec 3.5: these are what the diffusion works on.
        """
        return self._encoded(x).transpose(1, 2)

    def indices(self, x: Tensor, layers: int | None = None) -> Tensor:
        """Codes ``(n, t / 4, layers)`` of features ``(n, t, d)``."""
        return self.quantizer.encode(self._encoded(x), layers)

    def decode(self, latents: Tensor, layers: int | None = None, quantise: bool = True) -> Tensor:
        """Features ``(n, t, d)`` of latents ``(n, t / 4, latent)``.

        Source: SynTalker spec 3.5: every latent is first put back on the learned manifold.

        Args:
            latents: quantised or not.
            layers: use the first so many codebooks.
            quantise: without it, the decoder takes the latents as they are.
        """
        x = latents.transpose(1, 2)
        if quantise:
            x, _ = self.quantizer.project(x, layers)
        return self.decoder(x).transpose(1, 2)

    def from_indices(self, indices: Tensor) -> Tensor:
        """Features ``(n, t, d)`` of codes ``(n, t / 4, layers)``."""
        return self.decoder(self.quantizer.decode(indices)).transpose(1, 2)

    def _encoded(self, x: Tensor) -> Tensor:
        if x.ndim != 3 or x.shape[2] != self.features:
            raise ValueError(f"features are (n, t, {self.features}), got {tuple(x.shape)}")
        if x.shape[1] < DOWN or x.shape[1] % DOWN:
            raise ValueError(f"{x.shape[1]} frames: give a multiple of {DOWN}, at least {DOWN}")
        return self.encoder(x.transpose(1, 2))


def vq_loss(coded: Coded, x: Tensor, commitment: float = 0.02) -> Tensor:
    """Smooth L1 of the reconstruction plus the weighted commitment.

    Source: SynTalker spec 3.4. There is no velocity term: the released weight of 0.5 multiplies
    a constant 0 (G12).

    Args:
        coded: a pass on ``x``.
        x: normalised features ``(n, t, d)``.
        commitment: its weight.
    """
    return F.smooth_l1_loss(coded.motion, x) + commitment * coded.commitment
