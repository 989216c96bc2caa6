"""The receptive field from the graph, against what actually changes when a pixel does."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe.arm.receptive import receptive_field
from lithe.arm.supernet import Supernet


def measured(model, side=61, channels=3):
    """Twin by brute force: which inputs have a gradient from the block of the middle pixel."""
    scale = model(torch.rand(1, channels, side, side)).shape[-1] // side
    x = torch.rand(1, channels, side, side, dtype=torch.float64, requires_grad=True)
    y = model.double()(x)
    middle = slice(scale * (side // 2), scale * (side // 2 + 1))
    weights = torch.rand(y[..., middle, middle].shape, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((y[..., middle, middle] * weights).sum(), x)
    rows, columns = gradient.abs().sum((0, 1)).nonzero(as_tuple=True)
    model.float()
    return max(int((at - side // 2).abs().max()) for at in (rows, columns))


class Functional(nn.Module):
    """Written with functions: padding apart, a skip, two halves, a transposed convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, (3, 5), dilation=(2, 1))
        self.up = nn.ConvTranspose2d(4, 3, 6, stride=2, padding=2)

    def forward(self, x):
        y = F.pad(x, (2, 2, 2, 2), mode="reflect")
        a, b = torch.chunk(F.leaky_relu(self.conv(y)), 2, 1)
        y = self.up(F.avg_pool2d(a, 3, stride=1, padding=1) * b)
        return y + F.interpolate(x, scale_factor=2, mode="bicubic")


def smooth_relus(model):
    """ReLU kills gradients at random; the reach is that of the structure."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.PReLU):
                setattr(module, name, nn.Softplus())
    return model


@pytest.mark.parametrize(
    "model",
    [
        nn.Conv2d(3, 3, 1),
        nn.Sequential(nn.Conv2d(3, 8, 7, padding=3), nn.Softplus(), nn.Conv2d(8, 3, 3, padding=1)),
        nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(3, 3, 5, 1, 2)),
        nn.Sequential(nn.Upsample(scale_factor=3, mode="bilinear"), nn.Conv2d(3, 3, 3, 1, "same")),
        nn.Sequential(nn.Upsample(scale_factor=4, mode="bicubic")),
        nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3)),
        Functional(),
        Supernet("fsrcnn").branch(1),
    ],
)
def test_it_is_what_gradients_reach(model):
    model = smooth_relus(model.eval())
    assert receptive_field(model) == measured(model)


@pytest.mark.parametrize(("backbone", "options"), [("carn", {}), ("srresnet", {"blocks": 2})])
def test_declared_halos_are_those_of_the_graph(backbone, options):
    net = Supernet(backbone, **options).branch(1)
    assert receptive_field(net) == net.halo


class Pooled(nn.Module):
    def forward(self, x):
        return x * x.mean((2, 3), keepdim=True)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Pooled(), "`mean` .*not among those that can be followed"),
        (
            nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular")),
            "circular padding",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 12, 2, stride=2), nn.PixelShuffle(2)),
            "reduces the image",
        ),
        (nn.Conv2d(3, 3, 3), "not a whole multiple"),
    ],
)
def test_what_has_no_fixed_reach_is_refused_by_name(model, message):
    with pytest.raises(ValueError, match=message):
        receptive_field(model)
