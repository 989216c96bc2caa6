"""What callbacks see of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from lithe.training.config import TrainConfig
from lithe.training.history import History

__all__ = ["Callback", "TrainState"]


@dataclass
class TrainState:
    """The run at this moment.

    Attributes:
        model: the model itself, never a wrapper of it; callbacks may change its tensors in place.
        optimizer: of the model's parameters.
        config: the recipe.
        device: where the model is.
        history: rows of the finished epochs.
        epoch: the present epoch, from 0.
        step: optimiser steps done in it.
        metrics: the row of this epoch: what is added here ends up in the history. At the end of
            an epoch it already holds the losses and accuracies.
        ema: the averaged model, if the config asked for one.
    """

    model: nn.Module
    optimizer: Optimizer
    config: TrainConfig
    device: torch.device
    history: History = field(default_factory=History)
    epoch: int = 0
    step: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    ema: AveragedModel | None = None

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return self.config.epochs


class Callback(Protocol):
    """Something to do at the edges of an epoch; every method is optional.

    With several processes each of them calls its callbacks, and all must do the same to the
    model. A callback with a memory offers ``state_dict`` (numbers, strings, lists, dicts and
    tensors only) and ``load_state_dict``, and is then part of every checkpoint.
    """

    def on_epoch_start(self, state: TrainState) -> None:
        """Called before the first step of an epoch, the model in training mode."""

    def on_epoch_end(self, state: TrainState) -> None:
        """Called after evaluation, before the checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """What to remember."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what was remembered."""
