"""Small networks and data on which a whole run takes milliseconds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lithe.data import Images, fake_images


def _small_net(norm: bool = True, dropout: float = 0.2, seed: int = 0) -> nn.Module:
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(dropout), nn.Linear(16, 4)]
    model = nn.Sequential(*layers, *head)
    torch.set_rng_state(state)
    return model


@pytest.fixture
def small_net():
    """``small_net(norm=True, dropout=0.2, seed=0)``: a network for 4 classes."""
    return _small_net


@pytest.fixture
def images() -> Images:
    return fake_images((3, 8, 8), 4, 30, seed=1)


@pytest.fixture
def held_out() -> Images:
    return fake_images((3, 8, 8), 4, 14, seed=2)


@pytest.fixture
def weights():
    """``weights(model)``: copies of all parameters and buffers by name."""
    return lambda model: {k: v.detach().clone() for k, v in model.state_dict().items()}


@pytest.fixture
def same_bits():
    """``same_bits(a, b)``: whether two dicts of tensors are equal bit for bit."""
    return lambda a, b: a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
