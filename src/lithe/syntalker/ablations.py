"""What stages 1 and 2 are compared with: variants that differ in one thing each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, nn

from lithe.data.checksum import tensor_digest
from lithe.syntalker import h3d
from lithe.syntalker.clips import CaptionedClips, FeatureClip, Windows
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.space import AlignedSpace, SpaceConfig, SpaceLoss
from lithe.syntalker.stage1 import assess, health, train_codec
from lithe.syntalker.stage2 import appraise, train_space
from lithe.syntalker.text import TextEncoder
from lithe.syntalker.vqvae import CodecConfig
from lithe.training import TrainConfig

__all__ = ["CODECS", "SPACES", "Corpus", "Outcome", "body_of", "contend_codec", "contend_space"]

#: Variant of the codec -> what it changes in the config. ``whole`` is one VQ-VAE for the body, of
#: the size of one part; ``whole-equal`` has as many codes and about as many weights as all parts.
CODECS: dict[str, dict[str, Any]] = {
    "parts": {},
    "depth-1": {"layers": 1},
    "depth-2": {"layers": 2},
    "no-dropout": {"quantise_dropout": 0.0},
    "nearest": {"temperature": 0.0},
    "once": {"straight_through": "once"},
    "whole": {},
    "whole-equal": {},
}
#: Variant of the space -> what it changes in the loss. ``shuffled`` gives every clip another's
#: captions: the control that says what chance is worth.
SPACES: dict[str, dict[str, Any]] = {
    "corrected": {},
    "released": {"filter": "released"},
    "unfiltered": {"filter": "none"},
    "unaligned": {"contrast": 0.0},
    "contrast-only": {"reconstruction": 0.0, "kl": 0.0, "latent": 0.0},
    "shuffled": {},
}


@dataclass(frozen=True, eq=False)
class Corpus:
    """Clips to train on, and clips that are held out.

    Attributes:
        name: for records.
        train: with or without captions.
        held_out: of other recordings, or other seeds.
    """

    name: str
    train: Sequence[FeatureClip]
    held_out: Sequence[FeatureClip]

    @property
    def features(self) -> int:
        """Channels of a frame."""
        return self.train[0].features.shape[1]

    def normaliser(self) -> Normaliser:
        """Statistics of the training clips."""
        return Normaliser.fit([clip.features for clip in self.train])

    def described(self) -> list[dict[str, Any]]:
        """Both halves, as the ledger writes data down."""
        return [
            {
                "name": f"{self.name}-{half}",
                "sha256": tensor_digest(*(clip.features for clip in clips)),
                "sizes": {"clips": len(clips), "frames": sum(len(c.features) for c in clips)},
            }
            for half, clips in (("train", self.train), ("held-out", self.held_out))
        ]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one run came to: numbers, curves, and the trained model."""

    metrics: dict[str, Any]
    curves: dict[str, list[float]]
    model: nn.Module


def body_of(
    variant: str, features: int, config: CodecConfig, *, normaliser: Normaliser, seed: int = 0
) -> BodyCodec:
    """The untrained codec of a variant and a seed.

    Args:
        variant: a key of :data:`CODECS`.
        features: channels of a frame, 623 or 263.
        config: of one part.
        normaliser: of the features.
        seed: of the first weights.

    Raises:
        ValueError: no such variant.
    """
    if variant not in CODECS:
        raise ValueError(f"no codec {variant!r}; there are: {', '.join(CODECS)}")
    parts: Mapping[str, Any] = h3d.parts(h3d.joints_of(features))
    config = config.model_copy(update=CODECS[variant])
    if variant.startswith("whole"):
        if variant == "whole-equal":
            config = _as_large(config, len(parts))
        parts = {"whole": range(features)}
    generator = Generator().manual_seed(seed)
    return BodyCodec(parts, config, normaliser=normaliser, generator=generator)


def _as_large(config: CodecConfig, parts: int) -> CodecConfig:
    """One body with the codes of all parts together, and about as many weights."""
    wider = math.sqrt(parts)
    latent = round(config.latent * wider)
    return config.model_copy(
        update={
            "layers": config.layers * parts,
            "width": round(config.width * wider),
            "latent": latent,
            # squared distances grow with the width of a code; see vqvae.temperature_of
            "temperature": config.temperature * latent / config.latent,
        }
    )


def contend_codec(
    variant: str,
    corpus: Corpus,
    config: CodecConfig,
    recipe: TrainConfig,
    *,
    window: int = 64,
    stride: int = 16,
    directory: Path | None = None,
) -> Outcome:
    """Train one codec and measure what it leaves of held-out motion.

    Args:
        variant: a key of :data:`CODECS`.
        corpus: what to train and to measure on.
        config: of one part.
        recipe: of the training; its seed is that of the first weights too.
        window: frames of a training window.
        stride: frames between windows.
        directory: for checkpoints; a stopped run goes on from there.
    """
    windows = Windows(corpus.train, window, stride, corpus.name)
    normaliser = corpus.normaliser()
    codec = body_of(variant, corpus.features, config, normaliser=normaliser, seed=recipe.seed)
    history = train_codec(codec, windows, recipe, directory=directory, progress=False)
    some = torch.linspace(0, len(windows) - 1, min(len(windows), 256)).long()
    codec.calibrate(windows.batch(some)[0])
    held_out = [clip for clip in corpus.held_out if len(clip.features) >= window]
    cut = torch.stack([clip.features[:window] for clip in held_out])
    metrics = assess(codec.eval(), held_out, window) | _used(health(codec, cut))
    metrics["parameters"] = sum(p.numel() for p in codec.parameters())
    metrics["scale"] = float(codec.scale)
    metrics["train_loss"] = history.last["train_loss"]
    plotted = [k for k in history.last if k.startswith(("train_loss", "perplexity", "dead"))]
    return Outcome(metrics, {key: history[key] for key in plotted}, codec)


def _used(found: dict[str, float]) -> dict[str, Any]:
    """The codebooks' numbers by layer, and two that sum them up."""
    perplexities = [value for name, value in found.items() if name.startswith("perplexity")]
    dead = [value for name, value in found.items() if name.startswith("dead")]
    summary = {"perplexity": sum(perplexities) / len(perplexities), "dead": sum(dead)}
    return found | summary


def contend_space(
    variant: str,
    corpus: Corpus,
    text: TextEncoder,
    config: SpaceConfig,
    recipe: TrainConfig,
    *,
    most: int = 128,
    cache: Path | None = None,
    directory: Path | None = None,
) -> Outcome:
    """Train one aligned space and measure retrieval on held-out motion and captions.

    Args:
        variant: a key of :data:`SPACES`.
        corpus: captioned clips.
        text: frozen language model.
        config: size of the space.
        recipe: of the training; its seed is that of the first weights too.
        most: frames that are looked at, of longer clips a piece.
        cache: folder for the captions' vectors.
        directory: for checkpoints.

    Raises:
        ValueError: no such variant.
    """
    if variant not in SPACES:
        raise ValueError(f"no space {variant!r}; there are: {', '.join(SPACES)}")
    generator = Generator().manual_seed(recipe.seed)
    train = list(corpus.train)
    if variant == "shuffled":
        train = _exchanged([clip for clip in train if clip.captions], generator)
    clips = CaptionedClips(train, most=most, name=corpus.name)
    held_out = CaptionedClips(corpus.held_out, most=most, name=corpus.name)
    space = AlignedSpace(
        corpus.features, text.width, config, normaliser=corpus.normaliser(), generator=generator
    )
    history = train_space(
        space,
        clips,
        text,
        recipe,
        loss=SpaceLoss(**SPACES[variant]),
        cache=cache,
        directory=directory,
        progress=False,
    )
    metrics = appraise(space.eval(), held_out, text, cache=cache)
    on_training = appraise(space, clips, text, cache=cache)
    metrics |= {f"train_{key}": on_training[key] for key in on_training if key.endswith("_r1")}
    metrics["parameters"] = sum(p.numel() for p in space.parameters())
    metrics["train_loss"] = history.last["train_loss"]
    return Outcome(metrics, {"train_loss": history["train_loss"]}, space)


def _exchanged(clips: Sequence[FeatureClip], generator: Generator) -> list[FeatureClip]:
    """The same clips, each with the captions of another that says something else, if one does."""
    order = torch.randperm(len(clips), generator=generator).tolist()
    after = order[1:] + order[:1]  # one ring: none keeps its own
    lender = dict(zip(order, after))
    for k in order:
        if set(clips[lender[k]].captions) == set(clips[k].captions):
            others = (j for j in order if set(clips[j].captions) != set(clips[k].captions))
            lender[k] = next(others, lender[k])
    return [replace(clip, captions=clips[lender[k]].captions) for k, clip in enumerate(clips)]
