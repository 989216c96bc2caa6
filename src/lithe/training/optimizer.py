"""The optimiser of a recipe."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from lithe.training.config import TrainConfig

__all__ = ["build_optimizer"]


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """SGD or AdamW over the trainable parameters of a model.

    Args:
        model: parameters with ``requires_grad=False`` are left out.
        config: ``optimizer``, ``lr``, ``momentum``, ``nesterov``, ``betas``, ``weight_decay``
            and ``decay`` are read.

    Raises:
        ValueError: the model has nothing to train.
    """
    groups = _groups(model, config)
    if not groups:
        raise ValueError("the model has no parameter with requires_grad=True; nothing to train")
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov
        )
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas)


def _groups(model: nn.Module, config: TrainConfig) -> list[dict]:
    """Parameter groups: one with weight decay and, for ``"dense"``, one without."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if config.decay == "all":
        decayed, spared = trainable, []
    else:
        # a matrix, or a convolution that mixes channels: o i kh kw with i > 1
        dense = {id(p) for p in trainable if p.ndim >= 2 and p.shape[1] > 1}
        decayed = [p for p in trainable if id(p) in dense]
        spared = [p for p in trainable if id(p) not in dense]
    pairs = ((decayed, config.weight_decay), (spared, 0.0))
    return [{"params": params, "weight_decay": decay} for params, decay in pairs if params]
