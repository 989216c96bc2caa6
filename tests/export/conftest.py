"""Small networks that use much of what a plan can hold."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Tiny(nn.Module):
    """Convolutions, a residual, shape work, a constant, a loose parameter, a dropped head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.scale = nn.Parameter(torch.full((1, 8, 1, 1), 0.5))
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 4)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x), inplace=True)
        y = F.hardtanh(self.depthwise(x), min_val=0.0, max_val=float("inf")) * self.scale
        n, c, h, w = x.shape
        y = (x + y).view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = torch.cat([y[:, :4], y[:, 4:] - 1e-3], dim=1)
        pooled = F.adaptive_avg_pool2d(y, (1, 1)).flatten(1)
        chosen = torch.softmax(self.mask, dim=0)[0] * torch.tensor([1.0, 2.0, 3.0, 4.0])
        return self.head(self.drop(pooled)) * chosen


def lively(model: nn.Module) -> nn.Module:
    """Give every batch norm statistics of its own, so that eval mode differs from no norm."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model


@pytest.fixture
def tiny() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return lively(Tiny())


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
