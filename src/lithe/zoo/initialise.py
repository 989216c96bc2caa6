"""First weights of the reference networks, drawn from a given generator."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["kaiming_normal_", "torch_default_"]


def kaiming_normal_(
    model: nn.Module,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    *,
    linear: bool = True,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Draw the weights of every convolution (and linear) layer from N(0, 2 / fan), in place.

    Source: DCFF spec 3.3 (``fan_in``, linear included) and 3.5 (``fan_out``, without).

    Args:
        model: any module; layers are recognised by a ``weight`` of two or more dimensions.
        mode: which fan sets the variance.
        linear: treat two-dimensional weights as well.
        generator: source of randomness; torch's global one if none is given.

    Returns:
        ``model``.
    """
    for weight in _weights(model):
        if weight.dim() > 2 or linear:
            nn.init.kaiming_normal_(weight, mode=mode, nonlinearity="relu", generator=generator)
    return model


def torch_default_(model: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """Redraw every convolution and linear layer the way torch does, from ``generator``, in place.

    Weight and bias are uniform within ±1 / √fan_in.
    """
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor) or weight.dim() < 2:
            continue
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
        if getattr(module, "bias", None) is not None:
            bound = 1 / math.sqrt(weight[0].numel())
            nn.init.uniform_(module.bias, -bound, bound, generator=generator)
    return model


def _weights(model: nn.Module) -> list[Tensor]:
    weights = (getattr(module, "weight", None) for module in model.modules())
    return [weight for weight in weights if isinstance(weight, Tensor) and weight.dim() > 1]
