"""The networks that are timed as a whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lithe.onexn.networks import NETWORKS, build

__all__ = ["network", "photograph", "skeleton"]


def network(name: str, seed: int = 0) -> nn.Module:
    """A network with random weights that behaves like a trained one, in eval mode.

    Its batch norms have seen a few images, so that activations are of ordinary size: numbers
    that grow or fade from layer to layer end in infinities or in denormals, which are slow.

    Args:
        name: one of :data:`lithe.onexn.networks.NETWORKS`.
        seed: of the weights.

    Raises:
        ValueError: an unknown name.
    """
    _check(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # constructors take no generator
        model = build(name)
        _settle(model, torch.randn(2, 3, 224, 224))
    return model.eval().requires_grad_(False)


def skeleton(name: str) -> nn.Module:
    """The same network without memory for its weights: for its shapes alone."""
    _check(name)
    with torch.device("meta"):
        return build(name).eval()


def photograph(side: int = 224, seed: int = 0) -> Tensor:
    """An input ``(1, 3, side, side)`` of normal numbers."""
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def _check(name: str) -> None:
    if name not in NETWORKS:
        raise ValueError(f"network is {name!r}; known are {', '.join(NETWORKS)}")


def _settle(model: nn.Module, images: Tensor) -> None:
    """Fill in what the batch norms see, layer after layer, in one training pass."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
