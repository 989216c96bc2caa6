"""Small networks with every way in which layers share a width."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unit(i: int, o: int, k: int = 3, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(i, o, k, padding=k // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(o), nn.ReLU())


class Tangle(nn.Module):
    """A residual sum, a concatenation, depthwise and grouped convolutions, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 12)
        self.expand = unit(12, 18, 1)
        self.depthwise = unit(18, 18, 3, groups=18)
        self.project = nn.Sequential(nn.Conv2d(18, 12, 1), nn.BatchNorm2d(12))
        self.left, self.right = unit(12, 10), unit(12, 6, 1)
        self.grouped = unit(16, 16, 3, groups=4)
        self.hidden, self.head = nn.Linear(16, 14), nn.Linear(14, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.project(self.depthwise(self.expand(x))))
        x = torch.cat([self.left(x), self.right(x)], 1)
        x = self.grouped(x).mean((2, 3))
        return self.head(F.relu(self.hidden(x)))


class Halves(nn.Module):
    """Channels that part ways and change places, and a part that runs in training only."""

    def __init__(self, auxiliary: bool = False) -> None:
        super().__init__()
        self.first, self.wide = unit(3, 8), unit(8, 8)
        self.upper, self.last = unit(4, 8), nn.Conv2d(12, 4, 1)
        self.auxiliary = nn.Conv2d(8, 4, 1) if auxiliary else None

    def forward(self, x: Tensor):
        x = self.wide(self.first(x))
        a, b = x.chunk(2, 1)
        y = self.last(torch.cat([self.upper(a), b], 1)).mean((2, 3))
        if self.training and self.auxiliary is not None:
            return y + self.auxiliary(x).mean((2, 3))
        return y


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and norm statistics that make every channel matter, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 4
        parameter.data = torch.randn(parameter.shape, generator=generator) * (2 / fan) ** 0.5
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.weight.data = 0.5 + torch.rand(shape, generator=generator)
            module.running_mean.copy_(0.3 * torch.randn(shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
    return model.eval()


@pytest.fixture
def tangle() -> nn.Module:
    return randomised(Tangle())


@pytest.fixture
def halves():
    return lambda auxiliary=False: randomised(Halves(auxiliary))


@pytest.fixture
def remade():
    """Another network of the same kind with other weights."""
    return lambda seed: randomised(Tangle(), seed)


@pytest.fixture(scope="session")
def images() -> Tensor:
    return torch.randn(4, 3, 9, 7, generator=torch.Generator().manual_seed(3))
