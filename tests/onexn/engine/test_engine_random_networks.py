"""Small networks at random: reference and kernels both compute what torch does."""

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lithe.onexn import pack_weight
from lithe.onexn.masked import MaskedConv2d
from lithe.onexn.pattern import block_mask

KINDS = ("conv", "depthwise", "norm", "act", "add", "cat", "multiply", "slice", "pool", "torch")


class Drawn(nn.Module):
    """Layers that read any values made before them; what nobody read is returned."""

    def __init__(self, steps, generator):
        super().__init__()
        self.steps, widths = [], [3]
        self.layers = nn.ModuleList()
        for kind, one, other, choice in steps:
            a, b = one % len(widths), other % len(widths)
            layer, width = make(kind, widths[a], choice, generator)
            if kind in ("add", "multiply"):
                b = next((i for i in range(b, len(widths)) if widths[i] == widths[a]), a)
            if kind == "cat":
                width = widths[a] + widths[b]
            if kind == "slice":
                choice = width
            self.layers.append(layer)
            self.steps.append((kind, a, b, choice))
            widths.append(width)

    def forward(self, x):
        values, read = [x], set()
        for (kind, a, b, choice), layer in zip(self.steps, self.layers):
            read |= {a, b} if kind in ("add", "multiply", "cat") else {a}
            values.append(apply(kind, layer, values[a], values[b], choice))
        return [value for i, value in enumerate(values) if i and i not in read]


def make(kind, width, choice, generator):
    if kind == "conv":
        out, kernel = 1 + choice % 9, (1, 3)[choice % 2]
        layer = nn.Conv2d(width, out, kernel, padding=kernel // 2, bias=choice % 3 > 0)
        if choice % 4 == 3:
            n, sparsity = 1 + choice % 5, (0.3, 0.6, 0.9)[choice % 3]
            mask = block_mask(layer.weight, n, sparsity, rearrange=False)
            assert pack_weight(layer.weight, mask, n).n == n
            layer = MaskedConv2d.of(layer, mask, n)
        return layer, out
    if kind == "depthwise":
        return nn.Conv2d(width, width, 3, padding=1, groups=width), width
    if kind == "norm":
        return nn.BatchNorm2d(width), width
    if kind == "act":
        acts = (nn.ReLU(inplace=choice % 2 > 0), nn.ReLU6(), nn.Hardswish(), nn.Hardsigmoid())
        return acts[choice % 4], width
    if kind == "slice":
        return nn.Identity(), max(1, width // 2)
    return nn.Identity(), width


def apply(kind, layer, a, b, choice):
    if kind == "add":
        return a + b
    if kind == "multiply":
        return a * b.mean((2, 3), keepdim=True)
    if kind == "cat":
        return torch.cat([a, b], 1)
    if kind == "slice":
        return a[:, :choice]
    if kind == "pool":
        pool = F.max_pool2d if choice % 2 else F.avg_pool2d
        return pool(a, 3, 1, 1)
    if kind == "torch":
        return torch.tanh(a)
    return layer(a)


steps = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 30), st.integers(0, 30), st.integers(0, 59)),
    min_size=1,
    max_size=9,
)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps, st.integers(1, 2), st.integers(3, 9), st.integers(1, 9))
def test_random_networks_agree(judge, drawn, batch, height, width):
    model = judge.randomise(Drawn(drawn, judge.generator()))
    judge.agrees(model, judge.images(batch, 3, height, width))
