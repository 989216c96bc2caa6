"""The denoiser: from noisy latents and what is known about the motion to clean latents."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor, nn

from lithe.syntalker.first_weights import seeded
from lithe.syntalker.tmr import sinusoids
from lithe.syntalker.transformer import Block, rotary

__all__ = ["DENOISER_CO_SPEECH", "DENOISER_FULL", "DENOISER_SMALL", "Denoiser", "DenoiserConfig"]


class DenoiserConfig(BaseModel):
    """The size of the denoiser.

    Attributes:
        latent: channels of a latent frame, all parts together.
        width: of the transformer.
        layers: of the transformer.
        heads: of its attention; divides ``width``.
        hidden: inside its MLPs.
        rotary: channels that the rotary encoding turns as one group; divides ``width``.
        speech: channels of encoded speech.
        prompt: channels of a prompt's embedding; 0 for the variant without prompts.
        seed: latent frames of earlier motion that it continues.
        drop_path: chance of leaving a branch of a block out in training.
        timesteps: of the training chain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latent: int = Field(1536, ge=1)
    width: int = Field(512, ge=2)
    layers: int = Field(8, ge=1)
    heads: int = Field(4, ge=1)
    hidden: int = Field(1024, ge=1)
    rotary: int = Field(64, ge=2)
    speech: int = Field(256, ge=1)
    prompt: int = Field(256, ge=0)
    seed: int = Field(4, ge=1)
    drop_path: float = Field(0.1, ge=0, lt=1)
    timesteps: int = Field(1000, ge=1)

    @model_validator(mode="after")
    def _divides(self) -> DenoiserConfig:
        if self.width % self.heads or self.width % self.rotary or self.rotary % 2:
            raise ValueError(
                f"width = {self.width} must divide into {self.heads} heads and into even groups "
                f"of {self.rotary}"
            )
        return self


#: The released sizes (SynTalker spec 1.4, 6.1): with prompts, and for speech alone.
DENOISER_FULL = DenoiserConfig()
DENOISER_CO_SPEECH = DenoiserConfig(prompt=0)
#: For latents of three parts of 32 channels and the small aligned space; trains on two cores.
DENOISER_SMALL = DenoiserConfig(
    latent=96, width=128, layers=4, hidden=256, rotary=32, speech=64, prompt=64
)


class Denoiser(nn.Module):
    """Estimates clean latents from noisy ones; every condition is concatenated, none attended to.

    Source: SynTalker spec 6.1. The two linear layers that take the conditions in are split into
    what changes from step to step (state and timestep) and what does not, so that a sampler
    computes the latter once: :meth:`remember`, then :meth:`step`.

    Args:
        config: its size; the released one with prompts by default.
        generator: source of the first weights; torch's global one if none is given.

    Attributes:
        null: what stands in for a prompt where there is none, learned ``(prompt,)``.
    """

    null: Tensor
    table: Tensor

    def __init__(
        self, config: DenoiserConfig = DENOISER_FULL, generator: Generator | None = None
    ) -> None:
        super().__init__()
        c, self.config = config, config
        with seeded(generator):
            self.state = nn.Linear(c.latent, c.width)
            self.time = nn.Sequential(
                nn.Linear(c.width, c.width), nn.SiLU(), nn.Linear(c.width, c.width)
            )
            self.seed = nn.Linear(c.seed * c.latent, c.width)
            self.join = nn.Linear(2 * c.width + c.speech, c.width)
            self.join_prompt = nn.Linear(c.width + c.prompt, c.width) if c.prompt else None
            self.blocks = nn.ModuleList(
                Block(c.width, c.heads, c.hidden, c.drop_path) for _ in range(c.layers)
            )
            self.out = nn.Linear(c.width, c.latent)
        if c.prompt:
            self.null = nn.Parameter(torch.zeros(c.prompt))
        self.register_buffer("table", sinusoids(c.timesteps, c.width), persistent=False)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        speech: Tensor,
        seed: Tensor,
        prompt: Tensor | None = None,
        unprompted: Tensor | None = None,
    ) -> Tensor:
        """Estimate clean latents.

        Args:
            x_t: noisy latents ``(n, f, latent)``.
            t: step of the training chain, int64 ``(n,)``.
            speech: encoded speech, or silence, ``(n, f, speech)``.
            seed: the first latents, clean ``(n, seed, latent)``.
            prompt: embeddings ``(n, prompt)``; ``None`` for no prompt at all.
            unprompted: mask ``(n,)`` of samples whose prompt is left out.

        Returns:
            ``(n, f, latent)``.

        Raises:
            ValueError: a shape that does not fit.
        """
        told = self.remember(speech, seed, prompt, unprompted)
        return self.step(x_t, t, told[:, None])[:, 0]

    def remember(
        self,
        speech: Tensor,
        seed: Tensor,
        prompt: Tensor | None = None,
        unprompted: Tensor | None = None,
    ) -> Tensor:
        """What the conditions contribute, the same at every step ``(n, f, width)``.

        Arguments as in :meth:`forward`.
        """
        c = self.config
        self._check(speech, seed, prompt)
        from_seed, _, from_speech = self._join_columns()
        told = F.linear(self.seed(seed.flatten(1)), from_seed)[:, None]
        told = told + F.linear(speech, from_speech, self.join.bias)
        if self.join_prompt is None:
            return told
        vectors = self._prompts(len(told), prompt, unprompted)
        carry, from_prompt = self.join_prompt.weight.split([c.width, c.prompt], 1)
        told = F.linear(told, carry, self.join_prompt.bias)
        return told + F.linear(vectors, from_prompt)[:, None]

    def step(self, x_t: Tensor, t: int | Tensor, told: Tensor) -> Tensor:
        """Estimate clean latents under several conditions at once, in one pass of the network.

        Args:
            x_t: noisy latents ``(n, f, latent)``, shared by the conditions.
            t: step of the training chain, one for all or ``(n,)``.
            told: results of :meth:`remember` ``(n, c, f, width)``.

        Returns:
            ``(n, c, f, latent)``.

        Raises:
            ValueError: a shape or a timestep that does not fit.
        """
        n, f, _ = x_t.shape
        if x_t.shape[2] != self.config.latent or told.shape[::2] != (n, f):
            raise ValueError(
                f"state {tuple(x_t.shape)} with conditions {tuple(told.shape)}; "
                f"(n, f, {self.config.latent}) and (n, c, f, {self.config.width}) are needed"
            )
        h = (self._moving(x_t, t)[:, None] + told).flatten(0, 1)
        groups = h.unflatten(2, (-1, self.config.rotary)).transpose(1, 2)
        h = rotary(groups).transpose(1, 2).flatten(2)
        for block in self.blocks:
            h = block(h)
        return self.out(h).unflatten(0, (n, -1))

    def _moving(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """What state and timestep contribute ``(n, f, width)``."""
        steps = torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        if bool((steps < 0).any() | (steps >= len(self.table)).any()):
            raise ValueError(f"timestep {t}; the chain has 0..{len(self.table) - 1}")
        from_time, from_state, _ = self._join_columns()
        moving = F.linear(self.state(x_t), from_state)
        moving = moving + F.linear(self.time(self.table[steps].to(x_t)), from_time)[:, None]
        if self.join_prompt is None:
            return moving
        return F.linear(moving, self.join_prompt.weight[:, : self.config.width])

    def _join_columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """Columns of the first joining layer: for time and seed, for the state, for speech."""
        width = self.config.width
        return self.join.weight.split([width, width, self.config.speech], 1)

    def _prompts(self, n: int, prompt: Tensor | None, unprompted: Tensor | None) -> Tensor:
        null = self.null.expand(n, -1)
        if prompt is None:
            return null
        return prompt if unprompted is None else torch.where(unprompted[:, None], null, prompt)

    def _check(self, speech: Tensor, seed: Tensor, prompt: Tensor | None) -> None:
        c, n = self.config, len(speech)
        if speech.ndim != 3 or speech.shape[2] != c.speech:
            raise ValueError(f"speech is (n, f, {c.speech}), got {tuple(speech.shape)}")
        if seed.shape != (n, c.seed, c.latent):
            raise ValueError(f"seed is ({n}, {c.seed}, {c.latent}), got {tuple(seed.shape)}")
        if prompt is not None and not c.prompt:
            raise ValueError("this denoiser was built without prompts; leave them out")
        if prompt is not None and prompt.shape != (n, c.prompt):
            raise ValueError(f"prompt is ({n}, {c.prompt}), got {tuple(prompt.shape)}")
