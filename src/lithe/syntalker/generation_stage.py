"""Unseen talkers on stage: the same voices and first poses for everyone who is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from lithe.data import generator_for
from lithe.syntalker import h3d
from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.bundle import Bundle
from lithe.syntalker.edit import stitch
from lithe.syntalker.generation_material import Asked, Scene
from lithe.syntalker.generation_measure import BEFORE
from lithe.syntalker.heard import WholeSpeech
from lithe.syntalker.longform import Generation, Roll, generate_latents
from lithe.syntalker.sampler import Sampling
from lithe.syntalker.timeline import STRENGTH, Timeline

__all__ = ["Made", "Stage", "motion_prompts"]

NOISE = 4  # random stream
FPS = 30.0


@dataclass(frozen=True, eq=False)
class Made:
    """Motion that was made: latents ``(n, f, latent)``, features, joints ``(n, t, j, 3)``."""

    latents: Tensor
    features: Tensor
    positions: np.ndarray


class Stage:
    """Voices of unseen talkers, the poses they begin with, and noise that all samplers share.

    Args:
        bundle: whose codec encodes the first poses.
        world: with unseen talkers.
        performers: how many of them.
        seconds: of motion.
        seed: of the noise.

    Raises:
        ValueError: too few talkers have a stroke in the time.
    """

    def __init__(
        self, bundle: Bundle, world: Scene, performers: int, seconds: float, seed: int
    ) -> None:
        heard = [
            k
            for k, beats in enumerate(world.beats)
            if ((beats >= BEFORE) & (beats <= seconds)).any()
        ][:performers]
        if len(heard) < performers:
            raise ValueError(
                f"{len(heard)} unseen talkers have a stroke in {seconds} s, {performers} wanted: "
                "raise held_out or seconds"
            )
        self.frames, self.seed = round(seconds * FPS), seed
        self.beats = [world.beats[k] for k in heard]
        self.clips = [world.unseen_talkers[k] for k in heard]
        sound = torch.stack([clip.sound for clip in self.clips if clip.sound is not None])
        words = torch.stack([clip.words for clip in self.clips if clip.words is not None])
        self.speech = WholeSpeech(sound, words)
        first = torch.stack([clip.features[: bundle.latents * DOWN] for clip in self.clips])
        self.poses = bundle.codec.encode(first)[:, : bundle.network.config.seed]

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def real(self) -> list[Tensor]:
        """What the talkers really did, features ``(t, d)``."""
        return [clip.features[: self.frames] for clip in self.clips]

    def perform(
        self,
        bundle: Bundle,
        prompts: Mapping[str, Sequence[str] | Tensor] | None = None,
        *,
        sampling: Sampling | None = None,
        guidance: str = "separate",
        strength: float = STRENGTH,
        clamp_seed: bool = False,
        again: int = 0,
    ) -> Made:
        """Let everyone talk, and do what each is asked.

        Args:
            bundle: the weights.
            prompts: part of the body, ``"body"`` for all, to one sentence (or embedding) for each.
            sampling: steps and method.
            guidance: see :class:`lithe.syntalker.longform.Generation`.
            strength: of the prompts.
            clamp_seed: see there.
            again: another number, other noise.
        """
        prompts = prompts or {}
        parts = tuple(bundle.codec.channels)
        wanted = {part: f"prompt {k}" for k, part in enumerate(prompts)}
        timeline = Timeline.parse(wanted, parts=parts)
        vectors = [_places(bundle, prompts[_part_of(wanted, text)]) for text in timeline.texts]
        generation = Generation(
            sampling=sampling or Sampling(),
            guidance=guidance,
            clamp_seed=clamp_seed,
            latents=bundle.latents,
        )
        roll = Roll(
            bundle.network,
            bundle.codec.channels,
            self.poses,
            prompts=torch.stack(vectors, 1) if vectors else None,
            generation=generation,
            generator=self.noise(again),
        )
        plan = timeline.plan(-(-self.frames // DOWN), strength=strength)
        latents = generate_latents(roll, self.speech, self.frames, plan)[:, : len(plan)]
        return self.shown(bundle, latents)

    def stitched(self, bundle: Bundle, legs: Made, rest: Made) -> Made:
        """Legs of one motion under the trunk, arms and hands of another."""
        pieces = {
            part: (legs if part == "lower" else rest).latents for part in bundle.codec.channels
        }
        return self.shown(bundle, stitch(pieces, bundle.codec.channels))

    def shown(self, bundle: Bundle, latents: Tensor) -> Made:
        """Latents decoded, features recovered."""
        features = bundle.codec.decode(latents)[:, : self.frames]
        return Made(latents, features, h3d.recover(features.numpy()))

    def noise(self, again: int = 0) -> Generator:
        """The noise that every sampler begins with."""
        return generator_for(self.seed, NOISE, again)


def motion_prompts(
    bundle: Bundle, world: Scene, asked: Sequence[Asked], frames: int
) -> Tensor | None:
    """For each task, the place of an unseen motion that does it ``(n, prompt)``, if there is."""
    found = dict(zip(world.does, world.unseen_movers, strict=True))
    if any(one not in found for one in asked):
        return None
    windows = [found[one].features[:frames] for one in asked]  # from rest, as who is asked begins
    return bundle.space.embed_motion(torch.stack(windows))


def _places(bundle: Bundle, told: Sequence[str] | Tensor) -> Tensor:
    """Embeddings ``(n, prompt)`` of a sentence for each performer."""
    if isinstance(told, Tensor):
        return told
    different = tuple(dict.fromkeys(told))
    table = bundle.embed(different)
    assert table is not None
    return table[[different.index(text) for text in told]]


def _part_of(wanted: Mapping[str, str], text: str) -> str:
    return next(part for part, named in wanted.items() if named == text)
