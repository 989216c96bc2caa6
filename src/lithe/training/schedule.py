"""The learning rate as a pure function of epoch and step."""

from __future__ import annotations

import math

from lithe.training.config import TrainConfig

__all__ = ["learning_rate"]


def learning_rate(config: TrainConfig, epoch: int, step: int, steps: int) -> float:
    """The learning rate of one optimiser step.

    Source: DCFF spec 4. With ``W`` warm-up epochs, ``E`` epochs and ``L`` steps per epoch, the
    cosine is ``lr (1 + cos(pi (e - W) / (E - W))) / 2`` with the value of the epoch, and warm-up
    multiplies any schedule by ``(1 + it + e L) / (W L)`` while ``e < W``. The cosine is not
    clamped during warm-up, as in the released recipe: at ``e < W`` it is symmetric about ``W``.

    Args:
        config: the recipe.
        epoch: from 0.
        step: of this epoch, from 0.
        steps: of an epoch.
    """
    value = config.lr
    if config.schedule == "step":
        value *= config.gamma ** sum(epoch >= milestone for milestone in config.milestones)
    elif config.schedule == "cosine":
        e = epoch + step / steps if config.per_iteration else epoch
        angle = math.pi * (e - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
        value = config.lr_end + (config.lr - config.lr_end) * (1 + math.cos(angle)) / 2
    if epoch < config.warmup_epochs:
        value *= (1 + step + epoch * steps) / (config.warmup_epochs * steps)
    return value
