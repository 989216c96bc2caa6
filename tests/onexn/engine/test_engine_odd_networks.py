"""Networks as users write them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe.onexn import pack


def conv(i, o, k=3, **more):
    return nn.Conv2d(i, o, k, padding=k // 2, **more)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right, self.side = conv(3, 8), conv(2, 8), nn.Linear(5, 8)

    def forward(self, x, y, v):
        z = F.relu(self.left(x) + self.right(y))
        z = z * torch.sigmoid(self.side(v))[:, :, None, None]
        return {"map": z, "mean": (z.mean((2, 3)), v)}


class Twice(nn.Module):
    """One convolution is called twice, each time with another norm after it."""

    def __init__(self):
        super().__init__()
        self.conv, self.one, self.two = conv(4, 4), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.two(self.conv(F.relu(self.one(self.conv(x)))))


class TwoReaders(nn.Module):
    """What the norm would be folded into is read by others, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.last = conv(3, 6), nn.BatchNorm2d(6), conv(6, 4, 1)

    def forward(self, x):
        y = self.conv(x)
        return self.last(F.relu(self.norm(y)) + y), F.hardswish(y)


class Constants(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))
        self.gain = nn.Parameter(torch.ones(6, 1, 1))
        self.register_buffer("place", torch.randn(1, 6, 8, 8, generator=torch.Generator()))
        self.conv = conv(3, 6)

    def forward(self, x):
        x = 2 * (x - self.mean) / 0.5 + 1
        y = 1 - self.conv(x) * self.gain
        return F.relu6(y + self.place) - 3.0


class Bare(nn.Module):
    """Linear layers only."""

    def __init__(self):
        super().__init__()
        self.one, self.norm, self.two = nn.Linear(10, 17), nn.BatchNorm1d(17), nn.Linear(17, 3)

    def forward(self, x):
        return torch.log_softmax(self.two(F.relu(self.norm(self.one(x)))), 1)


class InPlace(nn.Module):
    """In-place operations whose input is read again: the readers see the result."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.act = conv(3, 6), conv(6, 6), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.one(x)
        z = self.two(self.act(y))
        z += y
        z.mul_(0.5)
        w = F.hardtanh(z, 0.0, 6.0, True)
        return w + z + y.sigmoid()


class Cats(nn.Module):
    """Nested and repeated concatenations, of inputs and of parts."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(3, 5), conv(3, 7, 1), conv(8, 4)

    def forward(self, x):
        a, b = F.relu(self.a(x)), self.b(x)
        one = torch.cat([a, x], 1)
        two = torch.cat([one, b, a], dim=-3)
        three = torch.cat((two, two[:, 3:6], self.c(one)), 1)
        return torch.cat([three, F.max_pool2d(three, 3, 1, 1)], 1), b


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.grouped = conv(3, 12), conv(6, 6, groups=3)

    def forward(self, x):
        a, b = self.wide(x).chunk(2, 1)
        b = self.grouped(b)
        c, d, e = torch.split(torch.cat([b, a], 1), [2, 7, 3], 1)
        n, _, h, w = a.shape
        shuffled = a.view(n, 2, 3, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
        return F.relu(d), c.narrow(1, 1, 1), e.flatten(1), shuffled + b


class Pools(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv(3, 6)
        self.pools = nn.ModuleList(
            [
                nn.MaxPool2d(3, 2, 1),
                nn.MaxPool2d(3, 2, ceil_mode=True),
                nn.MaxPool2d(2, dilation=2),
                nn.AvgPool2d(3, 2, 1),
                nn.AvgPool2d(3, 2, 1, count_include_pad=False),
                nn.AvgPool2d((3, 2), ceil_mode=True),
                nn.AvgPool2d(2, divisor_override=3),
                nn.AdaptiveAvgPool2d(1),
                nn.AdaptiveAvgPool2d((2, 5)),
                nn.AdaptiveAvgPool2d((3, None)),
                nn.AdaptiveMaxPool2d(1),
            ]
        )

    def forward(self, x):
        x = self.conv(x)
        pools = [pool(x) for pool in self.pools]
        called = [
            F.max_pool2d(x, 2),
            F.avg_pool2d(x, kernel_size=3, stride=1),
            F.adaptive_avg_pool2d(x, 1),
            x.mean([-1, -2], keepdim=True),
            torch.mean(x, (2, 3)),
            x.mean(1),
            x.amax((2, 3)),
        ]
        return [*pools, *called]


class Shapes(nn.Module):
    """Strides, dilations, ``same`` padding, groups, transposed convolutions, one-sided kernels."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(6, 12, 3, stride=(1, 2), padding=(2, 0), dilation=(2, 1)),
                nn.Conv2d(6, 9, 3, padding="same", groups=3),
                nn.Conv2d(6, 6, 4, padding="same"),
                nn.Conv2d(6, 12, 3, groups=6),
                nn.Conv2d(6, 6, (1, 5), groups=6, stride=2),
                nn.Conv2d(6, 5, 3, padding=1, padding_mode="reflect"),
                nn.ConvTranspose2d(6, 4, 2, 2),
                nn.Conv2d(6, 1, 1, bias=False),
                nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 4, 3)),
            ]
        )

    def forward(self, x):
        return tuple(F.hardsigmoid(layer(x)) for layer in self.layers)


class Activations(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv(3, 6)
        kinds = [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.GELU, nn.Sigmoid]
        self.kinds = nn.ModuleList([kind() for kind in kinds])
        self.tanh = nn.Hardtanh(0, 6)

    def forward(self, x):
        x = 4 * self.conv(x)
        called = [x.relu(), torch.clamp(x, 0, 6), x.clamp(min=0), x.clamp(-1, 1), F.elu(x)]
        return [*(kind(x) for kind in self.kinds), self.tanh(x), *called, F.relu(x) * F.relu6(x)]


class Sums(nn.Module):
    """Sums of layers that both could take the residual; a layer added to itself; squeezes."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.d = conv(3, 6, bias=False), conv(3, 6), conv(6, 6, groups=6)
        self.squeeze, self.excite = conv(6, 2, 1), conv(2, 6, 1)

    def forward(self, x):
        y = F.relu(torch.add(self.a(x), self.b(x)))
        y = y + y
        y = self.d(y) + y
        scale = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        z = scale * y
        return F.relu(z + y + 1), torch.add(y, z, alpha=2), y - z, y / (1 + z * z)


class Dropped(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.same = conv(3, 4), nn.Dropout(0.5), nn.Identity()
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(4 * 64, 5))

    def forward(self, x):
        x = self.drop(F.relu(self.conv(self.same(x))))
        x = F.dropout(x, 0.3, self.training)
        return self.head(x.detach().clone())


INPUTS = {
    TwoInputs: [(3, 8, 8), (2, 8, 8), (5,)],
    Twice: [(4, 7, 9)],
    Bare: [(10,)],
    Shapes: [(6, 11, 10)],
    Pools: [(3, 10, 10)],
}


@pytest.mark.parametrize(
    "kind",
    [TwoInputs, Twice, TwoReaders, Constants, Bare, InPlace, Cats, Parts, Pools, Shapes,
     Activations, Sums, Dropped],
)  # fmt: skip
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_odd_networks_agree(judge, kind, batch):
    model = judge.randomise(kind())
    shapes = INPUTS.get(kind, [(3, 8, 8)])
    inputs = [judge.images(batch, *shape, seed=i) for i, shape in enumerate(shapes)]
    judge.agrees(model, *inputs)


def test_a_twice_called_layer_keeps_each_norm_apart(judge, counted):
    packed = pack(judge.randomise(Twice()), judge.images(1, 4, 7, 9), tune=False)
    assert counted(packed) == {"Conv": 2}
    assert {"conv", "conv_2"} == set(packed.network._modules)


def test_a_residual_goes_into_the_layer_that_comes_last(judge, counted):
    packed = pack(judge.randomise(Sums()), judge.images(1, 3, 8, 8), tune=False)
    assert counted(packed)["Combine"] <= 6  # y + y, scale * y, z + y, z * z and no more of the adds


def test_hooks_still_run(judge):
    model = judge.randomise(nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 2)))
    model[0].register_forward_hook(lambda module, args, result: 2 * result)
    judge.agrees(model, judge.images(1, 3, 8, 8))


class Overwrites(nn.Module):
    """Overwrites a part of what is read as a whole later."""

    def __init__(self):
        super().__init__()
        self.conv = conv(3, 4)

    def forward(self, x):
        y = self.conv(x)
        half = y[:, :2]
        half.relu_()
        return y + 1


class Transposed(nn.Module):
    """Returns something without a batch axis."""

    def __init__(self):
        super().__init__()
        self.conv = conv(3, 4)

    def forward(self, x):
        return self.conv(x).mean()


class Counts(nn.Module):
    """Returns whole numbers."""

    def __init__(self):
        super().__init__()
        self.conv = conv(3, 4)

    def forward(self, x):
        return self.conv(x).mean((2, 3)).argmax(1)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Overwrites, "overwrites a part of"),
        (Transposed, "not float32 with the batch first"),
        (Counts, "not float32 with the batch first"),
    ],
)
def test_networks_without_a_program_run_by_torch_and_say_why(judge, kind, why):
    model, x = judge.randomise(kind()), judge.images(2, 3, 8, 8)
    packed = pack(model, x, tune=False)
    assert packed.report.runs == "dense"
    assert why in packed.report.why
    with torch.no_grad():
        judge.close(packed(x), model(x))
