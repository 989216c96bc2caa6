"""One step of the diffusion: forwards into noise, backwards out of it, and what training asks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lithe.syntalker.schedule import Schedule

__all__ = [
    "ddim_step",
    "ddpm_step",
    "dpm_step",
    "implied_noise",
    "posterior",
    "q_sample",
    "x0_loss",
]

#: A step of the chain: one for all samples, or int64 ``(n,)``.
Step = int | Tensor


def q_sample(x0: Tensor, t: Step, noise: Tensor, schedule: Schedule) -> Tensor:
    """Put noise on clean samples.

    Source: SynTalker spec 6.4: ``sqrt(abar_t) x0 + sqrt(1 - abar_t) noise``.

    Args:
        x0: clean samples ``(n, ...)``.
        t: step of the chain, one for all or ``(n,)``.
        noise: standard normal, of the shape of ``x0``.
        schedule: the chain.

    Raises:
        ValueError: a step outside the chain.
    """
    kept = _at(schedule.alphas_cumprod, t, x0)
    left = _at(1.0 - schedule.alphas_cumprod, t, x0)
    return kept.sqrt() * x0 + left.sqrt() * noise


def implied_noise(x_t: Tensor, x0: Tensor, t: Step, schedule: Schedule) -> Tensor:
    """The noise that leads from clean samples ``x0`` to ``x_t``.

    Source: SynTalker spec 6.5: ``(x_t / sqrt(abar_t) - x0) / sqrt(1 / abar_t - 1)``.
    """
    inverse = 1.0 / schedule.alphas_cumprod
    return (_at(inverse.sqrt(), t, x_t) * x_t - x0) / _at((inverse - 1.0).sqrt(), t, x_t)


def ddim_step(x_t: Tensor, x0: Tensor, t: Step, t_prev: Step, schedule: Schedule) -> Tensor:
    """One deterministic step (eta = 0) from ``t`` to ``t_prev``, given the estimate ``x0``.

    Source: SynTalker spec 6.5: ``sqrt(abar_prev) x0 + sqrt(1 - abar_prev) eps``.

    Args:
        x_t: state ``(n, ...)``.
        x0: the network's estimate of the clean samples, same shape.
        t: step of ``schedule`` that the state is at.
        t_prev: step to go to; -1 is the end, where the estimate itself comes out.
        schedule: the chain, the whole one or a respaced one.

    Raises:
        ValueError: a step outside the chain, or ``t_prev`` not below ``t``.
    """
    if bool((torch.as_tensor(t_prev) >= torch.as_tensor(t)).any()):
        raise ValueError(f"t_prev is {t_prev}; it must lie below t = {t}")
    after = torch.cat([schedule.alphas_cumprod, schedule.alphas_cumprod.new_ones(1)])  # [-1] is 1
    previous = _at(after, t_prev, x_t, first=-1)
    eps = implied_noise(x_t, x0, t, schedule)
    return previous.sqrt() * x0 + (1.0 - previous).clamp_min(0.0).sqrt() * eps


def dpm_step(
    x_t: Tensor, x0: Tensor, before: Tensor, t: int, t_before: int, schedule: Schedule
) -> Tensor:
    """One deterministic step of second order from ``t`` to the step before it, which is not -1.

    Source: Lu et al. 2022, "DPM-Solver++", algorithm 2 (2M): a DDIM step towards the estimate
    extrapolated from the last two, in the log of the signal-to-noise ratio. The original sampler
    has no such thing; it makes up for few steps.

    Args:
        x_t: state ``(n, ...)``.
        x0: the estimate at ``t``.
        before: the estimate at ``t_before``, one step earlier in the walk, above ``t``.
        t: step of ``schedule``, at least 1.
        t_before: step at which ``before`` was made.
        schedule: the chain.

    Raises:
        ValueError: a step outside the chain, or steps in another order.
    """
    if not 1 <= t < t_before < len(schedule):
        raise ValueError(f"steps {t_before}, {t} must fall, from at most {len(schedule) - 1} to 1")
    kept = schedule.alphas_cumprod[[t_before, t, t - 1]]
    first, second = (kept.logit() / 2).diff().tolist()  # of log(alpha / sigma)
    towards = x0 + second / first / 2 * (x0 - before)
    return ddim_step(x_t, towards, t, t - 1, schedule)


def posterior(x_t: Tensor, x0: Tensor, t: Step, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Mean and variance of the state one step earlier, given the estimate ``x0``.

    Source: SynTalker spec 6.4, 6.5 (fixed small variance).
    """
    mean = _at(schedule.posterior_mean_coef1, t, x_t) * x0
    mean = mean + _at(schedule.posterior_mean_coef2, t, x_t) * x_t
    return mean, _at(schedule.posterior_variance, t, x_t)


def ddpm_step(
    x_t: Tensor, x0: Tensor, t: Step, schedule: Schedule, generator: Generator | None = None
) -> Tensor:
    """One ancestral step from ``t`` to the step before it in ``schedule``; at 0 without noise.

    Source: SynTalker spec 6.5, the sampler of the co-speech variant's evaluation.
    """
    mean, variance = posterior(x_t, x0, t, schedule)
    noise = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype).to(x_t.device)
    return mean + variance.sqrt() * noise  # the variance at 0 is 0


def x0_loss(estimate: Tensor, x0: Tensor) -> Tensor:
    """Smooth L1 (beta 1) of each sample ``(n,)``: mean over everything but the first axis.

    Source: SynTalker spec 6.4. The released enumeration calls it MSE; the square is commented out.
    """
    return F.smooth_l1_loss(estimate, x0, reduction="none").flatten(1).mean(1)


def _at(values: Tensor, t: Step, like: Tensor, first: int = 0) -> Tensor:
    """The value at each sample's step, in the type of ``like`` and ready to multiply with it."""
    last = len(values) - 1 + min(first, 0)
    index = torch.as_tensor(t)
    if index.is_floating_point() or bool(((index < first) | (index > last)).any()):
        raise ValueError(f"step {t} is outside the chain, whose steps are {first}..{last}")
    picked = values[index.cpu()].to(like.device, like.dtype)
    return picked.view(-1, *(1,) * (like.ndim - 1)) if picked.ndim else picked
