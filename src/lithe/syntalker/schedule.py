"""How much noise there is at each step of the diffusion, and which steps a sampler takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["Schedule", "Spacing", "chosen_steps", "cosine_schedule"]

#: Which of the steps a short chain takes; see :func:`chosen_steps`.
Spacing = Literal["leading", "trailing"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A chain of noising steps; all tensors are float64 ``(steps,)``.

    Source: SynTalker spec 6.4, 6.5; the names are those of the literature.

    Attributes:
        betas: variance added by each step, above 0 and below 1.
        timesteps: int64 ``(steps,)``; the step of the training chain that the network is told.
    """

    betas: Tensor
    timesteps: Tensor

    def __post_init__(self) -> None:
        b = self.betas
        if b.ndim != 1 or not len(b) or not bool(((b > 0) & (b < 1)).all()):
            raise ValueError("betas must be a row of numbers above 0 and below 1, at least one")
        if self.timesteps.shape != b.shape:
            raise ValueError(f"{len(b)} betas need as many timesteps, got {len(self.timesteps)}")

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """Share of the signal's variance that is left after each step."""
        return torch.cumprod(1.0 - self.betas, 0)

    @cached_property
    def alphas_cumprod_prev(self) -> Tensor:
        """The same one step earlier; 1 before the first."""
        return torch.cat([self.betas.new_ones(1), self.alphas_cumprod[:-1]])

    @cached_property
    def posterior_variance(self) -> Tensor:
        """Variance of ``x_{t-1}`` given ``x_t`` and ``x_0`` ("fixed small"), 0 at the first."""
        return self.betas * (1.0 - self.alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)

    @cached_property
    def posterior_log_variance_clipped(self) -> Tensor:
        """Its logarithm, with the second step's in place of the first's minus infinity."""
        variance = self.posterior_variance
        second = variance[1:2] if len(self) > 1 else self.betas
        return torch.cat([second, variance[1:]]).log()

    @cached_property
    def posterior_mean_coef1(self) -> Tensor:
        """Weight of ``x_0`` in the mean of ``x_{t-1}``."""
        return self.betas * self.alphas_cumprod_prev.sqrt() / (1.0 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_coef2(self) -> Tensor:
        """Weight of ``x_t`` in the mean of ``x_{t-1}``."""
        kept = (1.0 - self.alphas_cumprod_prev) * (1.0 - self.betas).sqrt()
        return kept / (1.0 - self.alphas_cumprod)

    def respaced(self, steps: int, spacing: Spacing = "leading") -> Schedule:
        """A shorter chain through the same noise levels.

        Source: SynTalker spec 6.5; 50 leading steps of 1000 are the released 0, 20, ..., 980.

        Args:
            steps: of the new chain.
            spacing: see :func:`chosen_steps`.

        Raises:
            ValueError: more steps than there are, or none; another spacing.
        """
        chosen = chosen_steps(len(self), steps, spacing)
        kept = self.alphas_cumprod[chosen]
        before = torch.cat([kept.new_ones(1), kept[:-1]])
        return Schedule(1.0 - kept / before, self.timesteps[chosen])


def cosine_schedule(steps: int = 1000) -> Schedule:
    """The cosine schedule: ``alphas_cumprod`` falls like a squared cosine.

    Source: SynTalker spec 6.4: ``beta_t = min(1 - a((t+1)/T) / a(t/T), 0.999)`` with
    ``a(u) = cos^2((u + 0.008) / 1.008 · pi / 2)``.

    Args:
        steps: ``T``, at least 1.

    Raises:
        ValueError: no step.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; a schedule has at least one")

    def a(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - a((t + 1) / steps) / a(t / steps), 0.999) for t in range(steps)]
    return Schedule(torch.tensor(betas, dtype=torch.float64), torch.arange(steps))


def chosen_steps(total: int, steps: int, spacing: Spacing = "leading") -> Tensor:
    """Which of ``total`` steps a chain of ``steps`` takes, int64 ``(steps,)``, rising.

    ``"leading"`` is the released choice: multiples of ``total // steps`` from 0, which with few
    steps starts far below full noise (8 steps: at 875 of 1000, where a fifth of the signal's
    amplitude should still be in the noise). ``"trailing"`` starts at the last step, pure noise.

    Raises:
        ValueError: more steps than there are, or none; another spacing.
    """
    if not 1 <= steps <= total:
        raise ValueError(f"steps is {steps}; take 1..{total} of the {total} that were trained")
    if spacing not in get_args(Spacing):
        raise ValueError(f"spacing is {spacing!r}; it is 'leading' or 'trailing'")
    if spacing == "leading":
        return torch.arange(steps) * (total // steps)
    return torch.tensor([(k + 1) * total // steps - 1 for k in range(steps)])
