"""What nodes share: modules that overwrite, weights read twice, memory across a batch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe.onexn import kernels, pack
from lithe.onexn.engine.executor import native
from lithe.onexn.engine.remembered import machine


class OneActivation(nn.Module):
    """One module overwrites in two places; what it overwrote is read again both times."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.one(x)
        y = self.two(self.act(y)) + y
        z = self.one(y)
        return self.two(self.act(z)) + z


class TiedWeight(nn.Module):
    """A decoder that reads the weight of the encoder, which a norm follows."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)

    def forward(self, x):
        return F.conv_transpose2d(self.norm(self.conv(x)), self.conv.weight)


class NormOfAnotherAxis(nn.Module):
    """As many channels as features: the norm is over the axis that the layer leaves alone."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(36, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.linear(x.flatten(2)))


class AcrossTheBatch(nn.Module):
    """Views that put images and channels on one axis."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        y = self.conv(x).view(x.size(0) * 2, 2, 6, 6).softmax(1)
        return self.conv(y.view(x.size(0), 4, 6, 6))


class NamedAxis(nn.Module):
    """torch takes ``axis`` for ``dim``."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return torch.narrow(self.conv(x), axis=1, start=1, length=2)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "kind", [OneActivation, TiedWeight, NormOfAnotherAxis, AcrossTheBatch, NamedAxis]
)
def test_what_is_shared_stays_apart(judge, kind, batch):
    judge.agrees(judge.randomise(kind()), judge.images(batch, 4, 6, 6))


def test_a_norm_after_a_linear_layer_is_folded(judge, counted):
    model = judge.randomise(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU()))
    assert counted(judge.agrees(model, judge.images(3, 6))) == {"Conv": 1}


def test_times_of_networks_that_differ_in_a_stride_are_kept_apart(judge):
    """Same graph, weights and inputs; only what the modules are set to differs."""
    keys = []
    for stride in (1, 2):
        model = nn.Sequential(nn.Conv2d(4, 4, 1, stride=stride), nn.ReLU())
        packed = pack(model, judge.images(1, 4, 6, 6), threads=1, tune=False)
        keys.append(packed._key((judge.images(1, 4, 6, 6),)))
    assert keys[0] != keys[1]


@pytest.mark.skipif(not native(), reason="no kernels on this machine")
def test_times_of_a_lesser_instruction_set_are_kept_apart(monkeypatch):
    monkeypatch.delenv("LITHE_ISA", raising=False)
    if kernels.host().name not in ("avx512", "avx2"):
        pytest.skip("this machine has one instruction set only")
    own = machine()
    monkeypatch.setenv("LITHE_ISA", "sse2")
    assert machine() != own
