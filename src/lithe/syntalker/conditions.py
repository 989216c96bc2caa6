"""What a training sample is told, and what is kept from it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor, nn
from torch.utils.data import WeightedRandomSampler

from lithe.syntalker.diffusion import q_sample, x0_loss
from lithe.syntalker.schedule import Schedule
from lithe.syntalker.vocabulary import PAD

__all__ = [
    "Dropping",
    "Told",
    "diffusion_loss",
    "dropped",
    "mixture_sampler",
    "mixture_weights",
    "mute",
]


class Dropping(BaseModel):
    """How often a condition is kept from the network in training.

    Source: SynTalker spec 6.3. As released speech is never dropped: silence is seen only with the
    silent corpus, so that "no speech" also means "of that corpus" (G3).

    Attributes:
        prompt: chance that a sample gets the learned null prompt.
        speech: chance that a sample gets silence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: float = Field(0.3, ge=0, le=1)
    speech: float = Field(0.0, ge=0, le=1)


class Told(NamedTuple):
    """A batch of stage 3.

    Attributes:
        latents: clean ``(n, f, latent)``.
        sound: ``(n, samples, 2)``; zeros for a silent clip.
        words: int64 ``(n, 4 f)``; padding for a silent clip.
        prompt: embedding of each clip's own motion ``(n, prompt)``; ``None`` for the variant
            without prompts.
    """

    latents: Tensor
    sound: Tensor
    words: Tensor
    prompt: Tensor | None = None


def dropped(n: int, chance: float, generator: Generator | None = None) -> Tensor:
    """Mask ``(n,)``, true for each sample with the given chance."""
    return torch.rand(n, generator=generator) < chance


def mute(sound: Tensor, words: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """Silence some samples: zero sound, padding words.

    Source: SynTalker spec 4.5, 10 (G3).

    Args:
        sound: ``(n, samples, 2)``.
        words: int64 ``(n, t)``.
        which: mask ``(n,)``.
    """
    which = which.to(sound.device)
    silent = sound.masked_fill(which[:, None, None], 0.0)
    return silent, words.masked_fill(which[:, None], PAD)


def diffusion_loss(
    model: nn.Module,
    batch: Told,
    schedule: Schedule,
    seed: int = 4,
    dropping: Dropping | None = None,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss of a batch at random steps with random conditions dropped.

    Source: SynTalker spec 6.2-6.4. The seed comes from the clip itself and is never dropped; the
    loss counts its frames too.

    Args:
        model: a :class:`lithe.syntalker.speech_denoiser.SpeechDenoiser`, or what several
            processes wrap it in.
        batch: clean latents and their conditions.
        schedule: the whole training chain.
        seed: latents of the seed.
        dropping: as released by default.
        generator: of steps, noise and dropping, on the CPU; torch's global one by default.

    Returns:
        The mean loss, and the estimates ``(n, f, latent)``.
    """
    dropping = dropping or Dropping()
    x0, n = batch.latents, len(batch.latents)
    t = torch.randint(len(schedule), (n,), generator=generator)
    noise = torch.randn(x0.shape, generator=generator, dtype=x0.dtype).to(x0.device)
    unprompted = dropped(n, dropping.prompt, generator).to(x0.device)
    muted = dropped(n, dropping.speech, generator)
    sound, words = mute(batch.sound, batch.words, muted)
    x_t = q_sample(x0, t, noise, schedule)
    told = schedule.timesteps[t].to(x0.device)
    estimate = model(x_t, told, sound, words, x0[:, :seed], batch.prompt, unprompted)
    return x0_loss(estimate, x0).mean(), estimate


def mixture_weights(speech: int, silent: int, share: float = 1 / 3) -> Tensor:
    """How much each item weighs so that silent clips are an expected share of what is drawn.

    Source: SynTalker spec 6.6: 1 per window of speech and ``0.5 · speech / silent`` per silent
    clip, which makes the silent share a third.

    Args:
        speech: windows with speech; they come first.
        silent: clips without.
        share: of the draws that are silent, 0..1.

    Returns:
        float64 ``(speech + silent,)``.

    Raises:
        ValueError: a corpus is empty, or the share is no share.
    """
    if speech < 1 or silent < 1:
        raise ValueError(f"{speech} windows of speech and {silent} silent clips; both are needed")
    if not 0 <= share < 1:
        raise ValueError(f"share is {share}; the silent share lies from 0 to below 1")
    ratio = share / (1 - share)
    weights = torch.ones(speech + silent, dtype=torch.float64)
    weights[speech:] = ratio * speech / silent
    return weights


def mixture_sampler(
    speech: int, silent: int, share: float = 1 / 3, generator: Generator | None = None
) -> WeightedRandomSampler:
    """Draws both corpora with replacement, as many items an epoch as there are.

    Source: SynTalker spec 6.6. Arguments as in :func:`mixture_weights`.
    """
    weights = mixture_weights(speech, silent, share)
    return WeightedRandomSampler(weights.tolist(), len(weights), True, generator)
