"""First weights of the super-resolution networks."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["released_start_", "skip_start_"]


def released_start_(model: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """Kaiming-normal (fan in) times 0.1 and zero bias in every ``Conv2d``, in place.

    Source: ARM spec 2.2. Transposed convolutions are no ``Conv2d`` and keep what they have.
    """
    return _kaiming(model, 0.1, generator)


def skip_start_(model: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """Full Kaiming weights, transposed convolutions times 0.1, for a network with a skip.

    Source: ARM spec 10, third variant of the toy recipe: the network begins close to the
    enlarged input that it adds to, and its gradients are not damped.
    """
    for module in model.modules():
        if isinstance(module, nn.ConvTranspose2d):
            with torch.no_grad():
                module.weight.mul_(0.1)
                module.bias.zero_()
    return _kaiming(model, 1.0, generator)


def _kaiming(model: nn.Module, factor: float, generator: torch.Generator | None) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            with torch.no_grad():
                module.weight.mul_(factor)
                module.bias.zero_()
    return model
