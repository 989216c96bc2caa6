"""Training what the chapters on generating compare: three stages, and variants of the third."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from lithe.data import generator_for
from lithe.syntalker.ablations import Outcome, contend_codec, contend_space
from lithe.syntalker.bundle import Bundle
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.conditions import Dropping
from lithe.syntalker.generation_material import Scene, lived
from lithe.syntalker.generation_settings import VARIANTS, GenerationConfig, Variant
from lithe.syntalker.longform import neutral_seed
from lithe.syntalker.space import AlignedSpace
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.spoken import BothCorpora
from lithe.syntalker.stage3 import DiffusionStep, train_denoiser
from lithe.training import History

__all__ = [
    "SPACES",
    "Foundation",
    "a_space",
    "both_corpora",
    "contend",
    "foundation",
    "resting",
    "scene",
    "untrained",
]

FIRST_WEIGHTS = 3  # random stream
#: Which loss of the aligned space each kind of space is trained with.
SPACES = {"aligned": "corrected", "unaligned": "unaligned", "few": "corrected"}
WORD_WIDTH = 32


@dataclass(frozen=True, eq=False)
class Foundation:
    """Stages 1 and 2 of one seed, which the variants of stage 3 share.

    Attributes:
        codec: trained and calibrated.
        space: the aligned one.
        metrics: of both; those of the space begin with ``aligned_``.
    """

    codec: BodyCodec
    space: AlignedSpace
    metrics: Mapping[str, Any]


def scene(config: GenerationConfig) -> Scene:
    """The world that a config asks for."""
    return lived(config.clips, config.held_out, config.actions)


@lru_cache(maxsize=1)
def foundation(config: GenerationConfig, seed: int, directory: Path | None = None) -> Foundation:
    """Train stages 1 and 2; with a directory, once for all processes that come after.

    Args:
        config: of the run.
        seed: of first weights and order.
        directory: for checkpoints.
    """
    coded = contend_codec(
        "parts",
        scene(config).corpus(),
        config.codec_config(),
        config.codec_training(seed),
        stride=config.codec_stride,
        directory=directory and directory / "codec",
    )
    coded.model.scale.div_(config.spread)  # calibrated to 1 after training, or when read back
    space = a_space(config, "aligned", seed, directory)
    metrics = {f"aligned_{name}": value for name, value in space.metrics.items()}
    return Foundation(coded.model, space.model, dict(coded.metrics) | metrics)


def a_space(
    config: GenerationConfig, kind: str, seed: int, directory: Path | None = None
) -> Outcome:
    """Train a space of some kind: a key of :data:`SPACES`. Other arguments as above."""
    return contend_space(
        SPACES[kind],
        scene(config).corpus(few=kind == "few"),
        config.text_encoder(),
        config.space_config(),
        config.space_training(seed),
        most=config.frames,
        directory=directory and directory / f"space-{kind}",
    )


def both_corpora(config: GenerationConfig, variant: Variant) -> BothCorpora:
    """What a variant's stage 3 draws from."""
    world = scene(config)
    movers = world.labelled() if variant.space == "few" else world.movers
    return BothCorpora(
        world.talkers,
        movers if variant.silent else (),
        config.window,
        config.stride,
        from_start=config.from_start,
        name="world",
    )


def contend(
    config: GenerationConfig, name: str, seed: int, base: Foundation, directory: Path | None = None
) -> tuple[Bundle, Bundle, History]:
    """Train stage 3 of one variant.

    Args:
        config: of the run.
        name: a key of ``VARIANTS``.
        seed: of first weights, order, noise and dropping.
        base: the stages before.
        directory: for checkpoints; a stopped run goes on from there.

    Returns:
        The variant with averaged weights, the same with the last weights, and the epochs.
    """
    variant, world = VARIANTS[name], scene(config)
    data, text = both_corpora(config, variant), config.text_encoder()
    space = base.space
    if variant.space != "aligned":
        space = a_space(config, variant.space, seed, directory).model
    space = _with_length(space, config, variant.unit)
    step = DiffusionStep(
        data,
        base.codec,
        space,
        prompts=variant.prompts,
        text=text if variant.prompts == "text" else None,
        dropping=Dropping(speech=variant.speech_drop),
        draws=config.draws,
        twice=variant.twice,
    )
    network = SpeechDenoiser(
        config.denoiser_config(),
        len(world.vocabulary),
        WORD_WIDTH,
        generator=generator_for(seed, FIRST_WEIGHTS),
    )
    history = train_denoiser(
        network,
        data,
        step,
        config.training(seed),
        directory=directory and directory / "denoiser",
        progress=False,
    )
    averaged = network if history.ema is None else history.ema.network
    rest = resting(base.codec, world, config.window)
    both = (
        Bundle(
            base.codec,
            space,
            copy.deepcopy(one).cpu(),
            world.vocabulary,
            text,
            rest,
            config.window // 4,
            config.profile,
        )
        for one in (averaged, network)
    )
    return (*both, history)


def _with_length(space: AlignedSpace, config: GenerationConfig, unit: bool) -> AlignedSpace:
    """The same space, whose embeddings have one length or their own."""
    if space.config.unit == unit:
        return space
    other = copy.deepcopy(space)
    other.config = config.space_config(unit)
    return other


def resting(codec: BodyCodec, world: Scene, frames: int) -> torch.Tensor:
    """Latents of standing still ``(1, 4, latent)``: talkers' mean first frame, not moving."""
    first = torch.stack([clip.features[0] for clip in world.talkers]).mean(0)
    return neutral_seed(codec.encode, first, 4, frames)


def untrained(space: AlignedSpace, generator: Generator) -> AlignedSpace:
    """The same space with a text encoder that was never trained: nothing but its motion side."""
    fresh = AlignedSpace(space.features, space.words, space.config, generator=generator)
    other = copy.deepcopy(space)
    other.text_encoder = fresh.text_encoder.eval()
    return other
