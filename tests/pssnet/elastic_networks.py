"""Small networks, one for each way in which widths hang together."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unit(i: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(o), nn.ReLU())


class Residual(nn.Module):
    """Two layers meet in a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.outer = unit(3, 16), unit(16, 24), unit(24, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.outer(self.inner(x))).mean((2, 3)))


class Gated(nn.Module):
    """Depthwise convolution and a squeeze-and-excitation gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wise = unit(3, 16), unit(16, 16, groups=16)
        self.squeeze, self.excite = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)
        self.point, self.head = unit(16, 24, 1), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wise(self.stem(x))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.head(self.point(x * gate).mean((2, 3)))


class Dense(nn.Module):
    """Concatenation, with a norm over all its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
        self.norm, self.three = nn.BatchNorm2d(24), unit(24, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        both = F.relu(self.norm(torch.cat([one, self.two(one)], 1)))
        return self.head(self.three(both).mean((2, 3)))


class Flat(nn.Module):
    """A linear layer reads channels and places alike; per-channel slopes and groups."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.slope = nn.Conv2d(3, 16, 3, padding=1), nn.PReLU(16)
        self.two, self.norm = nn.Conv2d(16, 8, 3, stride=5), nn.GroupNorm(8, 8)
        self.up = nn.ConvTranspose2d(8, 16, 2, stride=2)
        self.hidden, self.head = nn.Linear(16 * 4 * 4, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.norm(self.two(self.slope(self.one(x)))))
        return self.head(F.relu(self.hidden(torch.flatten(x, 1))))


class Written(nn.Module):
    """A view with a size written into it: only the layers before are elastic."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = unit(3, 16), unit(16, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.two(self.one(x)), 1)
        return self.head(x.view(-1, 16))


def grouped() -> nn.Sequential:
    """A convolution in four groups between dense ones."""
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)]
    return nn.Sequential(unit(3, 16, 1), unit(16, 32, groups=4), unit(32, 16, 1), *head)


def chain() -> nn.Sequential:
    """One layer after another."""
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)]
    return nn.Sequential(unit(3, 8), unit(8, 16, stride=2), unit(16, 16), *head)


NETWORKS = {
    "chain": chain,
    "residual": Residual,
    "gated": Gated,
    "dense": Dense,
    "flat": Flat,
    "grouped": grouped,
}


def made(name: str, seed: int = 0) -> nn.Module:
    """A network with weights and running statistics that are all different."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS.get(name, Written)()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.2)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias, std=0.2)
    return network


def images(n: int = 4, side: int = 12, seed: int = 1) -> Tensor:
    """Noise ``(n, 3, side, side)``."""
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))
