"""Motion of any length: windows, each of which continues the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor

from lithe.modes import evaluating
from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.edit import Kept
from lithe.syntalker.guidance import MIXTURES
from lithe.syntalker.guided import Cues, Guided, GuidedAsReleased
from lithe.syntalker.heard import SpeechWindows
from lithe.syntalker.sampler import Sampling, sample
from lithe.syntalker.schedule import Schedule, cosine_schedule
from lithe.syntalker.seams import Seams
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.timeline import Plan

__all__ = [
    "Decoder",
    "Generation",
    "Roll",
    "Windowing",
    "generate_features",
    "generate_latents",
    "joins",
    "neutral_seed",
]


class Decoder(Protocol):
    """What is asked of a codec; :class:`lithe.syntalker.codec.BodyCodec` is one."""

    @property
    def channels(self) -> Mapping[str, slice]:
        """Latent channels of each part."""

    def decode(self, latents: Tensor) -> Tensor:
        """Features ``(n, 4 f, d)`` of latents ``(n, f, width)``."""


@dataclass(frozen=True)
class Windowing:
    """Windows of latents that overlap by the seed.

    Source: SynTalker spec 7.5.

    Attributes:
        latents: of a window.
        overlap: latents that a window shares with the one before; dropped from it, not blended.

    Raises:
        ValueError: the overlap leaves nothing new.
    """

    latents: int = 32
    overlap: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.overlap < self.latents:
            raise ValueError(f"an overlap of {self.overlap} in windows of {self.latents} latents")

    @property
    def hop(self) -> int:
        """Latents from one window to the next."""
        return self.latents - self.overlap

    def count(self, frames: int) -> int:
        """Windows that cover so many frames of motion, all of them.

        Raises:
            ValueError: there is no frame.
        """
        if frames < 1:
            raise ValueError(f"{frames} frames of motion; the speech is too short to move to")
        latents = -(-frames // DOWN)
        return 1 + max(0, -(-(latents - self.latents) // self.hop))

    def released_count(self, frames: int) -> int:
        """Windows of the released code, which drops the remainder (G21).

        Raises:
            ValueError: not even one is filled.
        """
        overlap, hop = self.overlap * DOWN, self.hop * DOWN
        count = (frames - frames % 8 - overlap) // hop
        if count < 1:
            raise ValueError(
                f"the released bookkeeping makes nothing of {frames} frames; give at least "
                f"{overlap + hop}, or keep the remainder"
            )
        return count

    def covered(self, windows: int) -> int:
        """Latents that so many windows make."""
        return self.latents + self.hop * (windows - 1)

    def edges(self, frames: int) -> list[int]:
        """First frames of all windows but the first, among so many frames of motion."""
        first, hop = self.latents * DOWN, self.hop * DOWN
        return list(range(first, frames, hop))


class Generation(BaseModel):
    """How motion is made of speech and prompts.

    Attributes:
        sampling: steps and method of every window.
        guidance: ``"separate"`` (guidance by part and time), one of the other
            :data:`lithe.syntalker.guidance.MIXTURES`, or ``"released"``: the same as
            ``"separate"`` in 9 calls a step, constants as released.
        clamp_seed: hold a window's first latents at the seed while it is made. As released
            nothing does (SynTalker spec 6.2).
        latents: of a window.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sampling: Sampling = Sampling()
    guidance: Literal[
        "separate", "whole_body", "prompt_only", "audio_only", "joint", "released"
    ] = "separate"
    clamp_seed: bool = False
    latents: int = Field(32, ge=2)


class Roll:
    """Makes one window after the other; what is common to motion at once and in a stream.

    Source: SynTalker spec 7.5. Speech is encoded once for each window, silence and prompts once
    altogether.

    Args:
        network: of stage 3.
        layout: latent channels of each part.
        seed: latents to continue from ``(n, seed, d)``; see :func:`neutral_seed`.
        prompts: embeddings of the plan's prompts ``(k, prompt)`` or ``(n, k, prompt)``.
        generation: how.
        generator: of the noise, on the CPU; the same state makes the same motion.
        schedule: the training chain; the cosine schedule over all timesteps by default.

    Raises:
        ValueError: the layout, the seed or the prompts do not fit the network.
    """

    def __init__(
        self,
        network: SpeechDenoiser,
        layout: Mapping[str, slice],
        seed: Tensor,
        *,
        prompts: Tensor | None = None,
        generation: Generation | None = None,
        generator: Generator | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        config = network.config
        ends = [0, *(own.stop for own in layout.values())]
        if [own.start for own in layout.values()] != ends[:-1] or ends[-1] != config.latent:
            raise ValueError(
                f"the parts' channels {dict(layout)} must follow each other and be the "
                f"{config.latent} of the denoiser: are codec and denoiser of one size?"
            )
        if seed.ndim != 3 or seed.shape[1:] != (config.seed, config.latent):
            raise ValueError(
                f"the seed is (n, {config.seed}, {config.latent}), got {tuple(seed.shape)}"
            )
        if prompts is not None and prompts.shape[-1] != config.prompt:
            raise ValueError(
                f"prompts are vectors of {prompts.shape[-1]} numbers, the denoiser takes "
                f"{config.prompt}: do aligned space and denoiser belong together?"
            )
        self.network, self.layout, self.seed, self.prompts = network, dict(layout), seed, prompts
        self.generation = generation or Generation()
        self.windowing = Windowing(self.generation.latents, config.seed)
        self.schedule = schedule or cosine_schedule(config.timesteps)
        self.generator, self.made, self.calls = generator, 0, 0
        with torch.no_grad(), evaluating(network):
            self._silence = network.silence(self.windowing.latents)

    @property
    def start(self) -> int:
        """First latent of the next window."""
        return self.made * self.windowing.hop

    @torch.no_grad()
    def next(self, speech: SpeechWindows, plan: Plan, kept: Kept | None = None) -> Tensor:
        """Make the next window.

        Args:
            speech: asked for this window's frames.
            plan: of this window's latents.
            kept: of this window's latents, to be held on to.

        Returns:
            Its new latents ``(n, f, d)``: all of the first window, then without the overlap.

        Raises:
            ValueError: the plan is for other parts or for another number of latents.
        """
        f = self.windowing.latents
        if plan.parts != tuple(self.layout) or len(plan) != f:
            raise ValueError(
                f"a plan of {len(plan)} latents for {', '.join(plan.parts)}; the window has {f} "
                f"for {', '.join(self.layout)}: parse the timeline with these parts"
            )
        device = self.seed.device
        sound, words = speech.window(self.start * DOWN, f * DOWN)
        with evaluating(self.network):
            heard = self.network.listen(sound.to(device), words.to(device))
            heard = heard.expand(len(self.seed), -1, -1)
            predict = self._guided(Cues(heard, self._silence, self.seed, self.prompts), plan)
            size = (len(self.seed), f, self.network.config.latent)
            noise = torch.randn(size, generator=self.generator).to(device)
            x = sample(
                predict,
                noise,
                self.schedule,
                self.generation.sampling,
                kept=self._held(kept),
                generator=self.generator,
            )
        fresh = x if self.made == 0 else x[:, self.windowing.overlap :]
        self.seed, self.calls = x[:, -self.windowing.overlap :], self.calls + predict.calls
        self.made += 1
        return fresh

    def _guided(self, cues: Cues, plan: Plan) -> Guided | GuidedAsReleased:
        denoiser, layout = self.network.denoiser, self.layout
        if self.generation.guidance == "released":
            return GuidedAsReleased(denoiser, cues, plan, layout.values(), layout)
        mixture = MIXTURES[self.generation.guidance](plan)
        return Guided(denoiser, cues, mixture, layout.values())

    def _held(self, kept: Kept | None) -> Kept | None:
        if not self.generation.clamp_seed:
            return kept
        n, _, d = self.seed.shape
        held = kept or Kept.nothing(n, self.windowing.latents, d)
        return held.with_first(self.seed)


def generate_latents(
    roll: Roll,
    speech: SpeechWindows,
    frames: int,
    plan: Plan,
    *,
    kept: Kept | None = None,
    remainder: Literal["keep", "drop"] = "keep",
) -> Tensor:
    """Latents of motion of any length, window after window.

    Args:
        roll: fresh.
        speech: what is said.
        frames: of motion that are wanted.
        plan: of at least the latents of these frames; past its end its last frame goes on.
        kept: known latents of the whole motion.
        remainder: ``"drop"`` makes full windows only, as released.

    Returns:
        ``(n, f, d)``: at least the latents of ``frames``, up to the end of the last window; with
        ``"drop"`` as many as the released code makes.

    Raises:
        ValueError: too few frames, or a roll that has begun.
    """
    return torch.cat(list(_windows(roll, speech, frames, plan, kept, remainder)), 1)


def _windows(
    roll: Roll,
    speech: SpeechWindows,
    frames: int,
    plan: Plan,
    kept: Kept | None,
    remainder: str,
) -> Iterator[Tensor]:
    if roll.made:
        raise ValueError(f"the roll has made {roll.made} windows already; begin with a new one")
    windowing = roll.windowing
    count = windowing.count if remainder == "keep" else windowing.released_count
    for _ in range(count(frames)):
        at = (roll.start, windowing.latents)
        yield roll.next(speech, plan.window(*at), None if kept is None else kept.window(*at))


def generate_features(
    roll: Roll,
    codec: Decoder,
    speech: SpeechWindows,
    frames: int,
    plan: Plan,
    *,
    kept: Kept | None = None,
) -> Tensor:
    """Motion features ``(n, frames, d)`` of any length, decoded in one pass.

    Arguments as in :func:`generate_latents`.
    """
    latents = generate_latents(roll, speech, frames, plan, kept=kept)
    return codec.decode(latents)[:, :frames]


def neutral_seed(
    encode: Callable[[Tensor], Tensor], rest: Tensor, latents: int = 4, frames: int = 128
) -> Tensor:
    """Latents of standing still, to begin from.

    Source: SynTalker spec 7.5, step 2. They are the first latents of a whole clip of it, as seeds
    in training are: an encoder sees the edge of a clip.

    Args:
        encode: from features ``(1, frames, d)`` to latents, such as ``BodyCodec.encode``.
        rest: features of one frame of standing ``(d,)``, such as the normaliser's mean.
        latents: how many.
        frames: of a training clip.

    Returns:
        ``(1, latents, width)``.
    """
    return encode(rest.expand(1, frames, -1))[:, :latents]


def joins(positions: Tensor, edges: list[int]) -> Seams:
    """Compare movement into the first frame of each window with movement elsewhere.

    Args:
        positions: joints ``(t, j, 3)``, metres.
        edges: first frames of windows; see :meth:`Windowing.edges`.

    Raises:
        ValueError: there is no edge, or one outside ``1..t - 1``, or nothing else.
    """
    t = len(positions)
    if not edges or min(edges) < 1 or max(edges) >= t or len(set(edges)) >= t - 1:
        raise ValueError(f"edges {edges[:5]} in a motion of {t} frames; some of 1..{t - 1}")
    moved = positions.diff(dim=0).norm(dim=-1)  # (t - 1, j)
    edge = torch.zeros(t - 1, dtype=torch.bool)
    edge[torch.tensor(edges) - 1] = True
    return Seams(float(moved[edge].mean()), float(moved[~edge].mean()), float(moved[edge].max()))
