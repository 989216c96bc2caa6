"""Whole-body motion as latents of body parts, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.vqvae import FULL, CodecConfig, Coded, MotionVQ

__all__ = ["BodyCodec"]


class BodyCodec(nn.Module):
    """One VQ-VAE per body part, from motion features to latents and back.

    Source: SynTalker spec 3 and 3.5. Takes features as they are and normalises them inside, once.

    Args:
        parts: name of each part and its channels, in the order in which the latents are joined.
            Every channel belongs to exactly one part.
        config: size of each VQ-VAE; the released one by default.
        normaliser: of the features; to be filled by ``load_state_dict`` if none is given.
        scale: divides the latents for the diffusion: 10 as released, or see :meth:`calibrate`.
        generator: source of the first weights; torch's global one if none is given.

    Attributes:
        channels: latent channels of each part, as slices of the joined latents.

    Raises:
        ValueError: the parts leave a channel out or share one, or ``normaliser`` has other
            channels.
    """

    scale: Tensor

    def __init__(
        self,
        parts: Mapping[str, Sequence[int]],
        config: CodecConfig = FULL,
        *,
        normaliser: Normaliser | None = None,
        scale: float = 10.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        index = {name: torch.as_tensor(channels).long() for name, channels in parts.items()}
        self.features = _partitioned(index)
        self.normaliser = normaliser or Normaliser.empty(self.features)
        if len(self.normaliser.mean) != self.features:
            raise ValueError(
                f"the normaliser has {len(self.normaliser.mean)} channels, the parts have "
                f"{self.features}"
            )
        self.models = nn.ModuleDict(
            {name: MotionVQ(len(index[name]), config, generator) for name in index}
        )
        for name, channels in index.items():
            self.register_buffer(f"index_{name}", channels, persistent=False)
        self.register_buffer("scale", torch.tensor(float(scale)))
        width = config.latent
        self.config = config
        self.channels = {name: slice(k * width, (k + 1) * width) for k, name in enumerate(index)}

    @property
    def parts(self) -> dict[str, Tensor]:
        """Feature channels of each part."""
        return {name: getattr(self, f"index_{name}") for name in self.models}

    @property
    def width(self) -> int:
        """Channels of the joined latents."""
        return self.config.latent * len(self.models)

    def split(self, features: Tensor) -> dict[str, Tensor]:
        """Features ``(..., d)`` by part, each in the part's own order of channels."""
        if features.shape[-1] != self.features:
            raise ValueError(f"features are (..., {self.features}), got {tuple(features.shape)}")
        return {name: features[..., channels] for name, channels in self.parts.items()}

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The inverse of :meth:`split`.

        Raises:
            ValueError: a part is missing or unknown.
        """
        if set(parts) != set(self.models):
            raise ValueError(f"parts are {', '.join(self.models)}; got {', '.join(parts)}")
        first = next(iter(parts.values()))
        features = first.new_empty(*first.shape[:-1], self.features)
        for name, channels in self.parts.items():
            features[..., channels] = parts[name]
        return features

    def forward(self, features: Tensor, layers: int | None = None) -> dict[str, Coded]:
        """Every part through its own VQ-VAE, in z-scores; what training looks at."""
        z = self.split(self.normaliser(features))
        return {name: self.models[name](x, layers) for name, x in z.items()}

    @torch.no_grad()
    def encode(self, features: Tensor, window: int | None = None) -> Tensor:
        """Latents of motion, before quantisation, divided by :attr:`scale`.

        Args:
            features: ``(n, t, d)``, ``t`` a multiple of 4.
            window: encode pieces of so many frames each by itself; by default all at once.

        Returns:
            ``(n, t / 4, width)``, the parts side by side; see :attr:`channels`.

        Raises:
            ValueError: a shape or a number of frames that does not fit, or not finite.
        """
        if not torch.isfinite(features).all():
            raise ValueError("features hold NaN or infinity; repair or leave out such frames")
        pieces = _pieces(features, window, DOWN)
        joined = [
            torch.cat(
                [
                    self.models[name].encode(x)
                    for name, x in self.split(self.normaliser(piece)).items()
                ],
                -1,
            )
            for piece in pieces
        ]
        return torch.cat(joined, 1) / self.scale

    @torch.no_grad()
    def decode(
        self, latents: Tensor, layers: int | None = None, window: int | None = None
    ) -> Tensor:
        """Motion of latents: times :attr:`scale`, through the quantisers, through the decoders.

        Args:
            latents: ``(n, t / 4, width)``.
            layers: use the first so many codebooks.
            window: decode pieces of so many *latents* each by itself, which leaves seams; by
                default all at once (SynTalker spec 3.2).

        Returns:
            Features ``(n, t, d)``.

        Raises:
            ValueError: another width, or no latent.
        """
        if latents.ndim != 3 or latents.shape[2] != self.width or not latents.shape[1]:
            raise ValueError(f"latents are (n, t, {self.width}), got {tuple(latents.shape)}")
        whole = [
            self.join(
                {
                    name: self.models[name].decode(piece[..., own], layers)
                    for name, own in self.channels.items()
                }
            )
            for piece in _pieces(latents * self.scale, window, 1)
        ]
        return self.normaliser.inverse(torch.cat(whole, 1))

    @torch.no_grad()
    def reconstruct(self, features: Tensor, layers: int | None = None) -> Tensor:
        """What is left of motion of any length ``(n, t, d)`` after encoding and decoding.

        Frames that fill up the last latent repeat the last one and are cut off again.
        """
        t = features.shape[1]
        missing = -t % DOWN
        if missing:
            features = torch.cat([features, features[:, -1:].expand(-1, missing, -1)], 1)
        return self.decode(self.encode(features), layers)[:, :t]

    @torch.no_grad()
    def indices(self, features: Tensor) -> dict[str, Tensor]:
        """Codes of every part ``(n, t / 4, layers)`` of features ``(n, t, d)``."""
        z = self.split(self.normaliser(features))
        return {name: self.models[name].indices(x) for name, x in z.items()}

    @torch.no_grad()
    def calibrate(self, features: Tensor) -> float:
        """Set :attr:`scale` so that the latents of these features have unit variance.

        The released scale of 10 belongs to the released weights; the diffusion wants unit
        variance whatever the weights.
        """
        self.scale.fill_(1.0)
        self.scale.copy_(self.encode(features).std(correction=0))
        return float(self.scale)


def _partitioned(index: Mapping[str, Tensor]) -> int:
    """Number of channels, all of which are in exactly one part."""
    if not index or any(not len(channels) for channels in index.values()):
        raise ValueError("a body has parts, and every part has channels")
    joined = torch.cat(list(index.values()))
    if joined.sort().values.tolist() != list(range(len(joined))):
        raise ValueError(
            f"the parts {', '.join(index)} must share out the channels 0..{len(joined) - 1}, each "
            "exactly once"
        )
    return len(joined)


def _pieces(x: Tensor, window: int | None, step: int) -> Sequence[Tensor]:
    if window is None:
        return (x,)
    if window < step or window % step:
        raise ValueError(f"window is {window}; give a multiple of {step}, at least {step}")
    return x.split(window, 1)
