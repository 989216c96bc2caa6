"""One small network per way in which channels travel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lithe import channels


def conv(i: int, o: int, k: int = 3, **options) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **options)


def block(i: int, o: int, **options) -> nn.Sequential:
    return nn.Sequential(conv(i, o, **options), nn.BatchNorm2d(o), nn.ReLU())


class Net(nn.Module):
    """Named parts and a forward given as a function of them."""

    def __init__(self, forward, **parts) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, nn.Parameter):
                self.register_parameter(name, part)
            elif isinstance(part, Tensor):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self.compute = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, x)


def head(i: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, 5))


NETS = {}


def net(build):
    NETS[build.__name__] = build
    return build


@net
def chain():
    return nn.Sequential(block(3, 8), block(8, 6), nn.MaxPool2d(2), block(6, 7), head(7))


@net
def chain_without_norms_or_bias():
    return nn.Sequential(conv(3, 8, bias=False), nn.Sigmoid(), conv(8, 6), nn.Tanh(), head(6))


@net
def flatten_keeps_space():
    tail = (nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6 * 16, 9), nn.ReLU(), nn.Linear(9, 5))
    return nn.Sequential(block(3, 6), *tail)


@net
def flatten_by_view():
    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.a(x), 3)
        return self.fc(x.view(x.size(0), -1))

    return Net(forward, a=block(3, 6), fc=nn.Linear(54, 5))


@net
def flatten_by_written_size():
    def forward(self, x):
        return self.fc(F.max_pool2d(self.a(x), 4).reshape(-1, 6 * 4))

    return Net(forward, a=block(3, 6), fc=nn.Linear(24, 5))


@net
def residual():
    def forward(self, x):
        x = self.stem(x)
        x = F.relu(x + self.b(self.a(x)))
        x += self.d(self.c(x))
        return self.head(x)

    parts = {"stem": block(3, 8), "a": block(8, 5), "b": conv(5, 8), "c": block(8, 6)}
    return Net(forward, **parts, d=nn.Sequential(conv(6, 8), nn.BatchNorm2d(8)), head=head(8))


@net
def difference_product_and_quotient():
    def forward(self, x):
        a, b, c = self.a(x), self.b(x), self.c(x)
        return self.head((a - b) * torch.sigmoid(c) / (1.5 + b.abs()))

    return Net(forward, a=conv(3, 6), b=conv(3, 6), c=conv(3, 6), head=head(6))


@net
def squeeze_and_excite():
    def forward(self, x):
        x = self.a(x)
        return self.head(x * self.up(F.silu(self.down(x.mean((2, 3), keepdim=True)))).sigmoid())

    return Net(forward, a=block(3, 8), down=conv(8, 3, 1), up=conv(3, 8, 1), head=head(8))


@net
def squeeze_and_excite_by_linear():
    def forward(self, x):
        x = self.a(x)
        gate = self.up(self.down(x.mean(dim=[2, 3])).relu()).sigmoid()
        return self.head(x * gate[:, :, None, None])

    return Net(forward, a=block(3, 8), down=nn.Linear(8, 4), up=nn.Linear(4, 8), head=head(8))


@net
def spatial_attention_of_one_channel():
    def forward(self, x):
        x = self.a(x)
        return self.head(x * self.gate(x).sigmoid())

    return Net(forward, a=block(3, 8), gate=conv(8, 1), head=head(8))


@net
def one_channel_layers():
    return nn.Sequential(block(3, 6), block(6, 1), conv(1, 4, groups=1), nn.ReLU(), head(4))


@net
def concatenation():
    def forward(self, x):
        a, b = self.a(x), self.b(x)
        return self.head(self.c(torch.cat([a, b, a], 1)))

    return Net(forward, a=block(3, 5), b=block(3, 4), c=block(14, 6), head=head(6))


@net
def concatenation_with_the_input():
    def forward(self, x):
        return self.head(torch.cat((self.a(x), x, self.b(x)), dim=1))

    return Net(forward, a=block(3, 5), b=block(3, 4), head=head(12))


@net
def dense_growth():
    def forward(self, x):
        features = [self.stem(x)]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return self.head(self.norm(torch.cat(features, 1)))

    layers = nn.ModuleList(block(6 + 4 * k, 4) for k in range(3))
    norm = nn.BatchNorm2d(18)
    return Net(forward, stem=block(3, 6), layers=layers, norm=norm, head=head(18))


@net
def concatenation_meets_sum():
    def forward(self, x):
        return self.head(torch.cat([self.a(x), self.b(x)], 1) + self.c(x))

    return Net(forward, a=block(3, 5), b=block(3, 3), c=block(3, 8), head=head(8))


@net
def chunk_in_halves():
    def forward(self, x):
        left, right = self.a(x).chunk(2, dim=1)
        return self.head(torch.cat([self.b(left), right], 1))

    return Net(forward, a=block(3, 8), b=block(4, 3), head=head(7))


@net
def split_unevenly():
    def forward(self, x):
        a, b, c = torch.split(self.a(x), [6, 8, 5], dim=1)
        return self.head(torch.cat([c, self.b(b), a], 1))

    return Net(forward, a=block(3, 19), b=block(8, 4), head=head(15))


@net
def slices():
    def forward(self, x):
        x = self.a(x)
        return self.head(self.b(x[:, :5]) + self.c(x[:, 3:]) * x[:, -6:-2].mean((2, 3), True))

    return Net(forward, a=block(3, 9), b=conv(5, 4), c=conv(6, 4), head=head(4))


@net
def strided_slices_of_space():
    def forward(self, x):
        return self.head(self.b(self.a(x)[:, :, ::2, 1:]))

    return Net(forward, a=block(3, 6), b=block(6, 5), head=head(5))


@net
def every_other_channel():
    def forward(self, x):
        x = self.a(x)
        return self.head(torch.cat([self.b(x[:, ::2]), x[:, 1::2]], 1))

    return Net(forward, a=block(3, 8), b=block(4, 4), head=head(8))


@net
def indexed_channels():
    def forward(self, x):
        return self.head(self.b(self.a(x)[:, self.index]))

    index = torch.tensor([5, 1, 1, 0, 4])
    return Net(forward, a=block(3, 6), b=block(5, 4), index=index, head=head(4))


@net
def reversed_channels():
    def forward(self, x):
        return self.head(self.b(torch.flip(self.a(x), [1])))

    return Net(forward, a=block(3, 6), b=block(6, 4), head=head(4))


def shuffle(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.size()
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


@net
def channel_shuffle_by_views():
    def forward(self, x):
        x = shuffle(torch.cat([self.a(x), self.b(x)], 1), 2)
        left, right = x.chunk(2, 1)
        return self.head(shuffle(torch.cat([left, self.c(right)], 1), 2))

    return Net(forward, a=block(3, 4), b=block(3, 4), c=block(4, 4), head=head(8))


@net
def channel_shuffle_by_flatten():
    def forward(self, x):
        n, _, h, w = x.shape
        x = self.a(x).reshape(n, 3, 4, h, w).permute(0, 2, 1, 3, 4).flatten(1, 2)
        return self.head(self.b(x))

    return Net(forward, a=block(3, 12), b=block(12, 5), head=head(5))


@net
def channel_shuffle_module():
    return nn.Sequential(block(3, 12), nn.ChannelShuffle(3), block(12, 5), head(5))


@net
def interleaved_by_stack():
    def forward(self, x):
        x = torch.stack([self.a(x), self.b(x)], 2).flatten(1, 2)
        return self.head(self.c(x))

    return Net(forward, a=block(3, 4), b=block(3, 4), c=block(8, 5), head=head(5))


@net
def pixel_shuffle():
    return nn.Sequential(block(3, 12), nn.PixelShuffle(2), block(3, 6), head(6))


@net
def pixel_shuffle_of_superresolution():
    up = (conv(6, 24), nn.PixelShuffle(2), nn.PReLU(6), conv(6, 12), nn.PixelShuffle(2))
    return nn.Sequential(conv(3, 6), nn.PReLU(), *up, conv(3, 3))


@net
def pixel_unshuffle():
    return nn.Sequential(block(3, 4), nn.PixelUnshuffle(2), block(16, 6), head(6))


@net
def space_to_depth_by_views():
    def forward(self, x):
        n, _, h, w = x.shape
        x = self.a(x).view(n, 4, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4)
        return self.head(self.b(x.reshape(n, 16, h // 2, w // 2)))

    return Net(forward, a=block(3, 4), b=block(16, 6), head=head(6))


@net
def padded_shortcut():
    """The parameter-free shortcut of small residual networks: subsample, pad channels."""

    def forward(self, x):
        x = self.stem(x)
        short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))
        return self.head(F.relu(short + self.b(self.a(x))))

    parts = {"stem": block(3, 6), "a": block(6, 5, stride=2), "b": conv(5, 9), "head": head(9)}
    return Net(forward, **parts)


@net
def padded_shortcut_by_computed_sizes():
    def forward(self, x):
        x = self.stem(x)
        y = self.b(x)
        gap = y.size(1) - x.size(1)
        return self.head(F.pad(x, (0, 0, 0, 0, gap // 2, gap - gap // 2)) + y)

    return Net(forward, stem=block(3, 5), b=conv(5, 8), head=head(8))


@net
def padded_space():
    pads = (nn.ZeroPad2d(2), nn.ReflectionPad2d(1), nn.ConstantPad2d((1, 0, 2, -1), 0.5))
    return nn.Sequential(block(3, 6), *pads, block(6, 4), head(4))


@net
def cropped_channels():
    def forward(self, x):
        return self.head(self.b(F.pad(self.a(x), (0, 0, 0, 0, -2, 1), value=0.5)))

    return Net(forward, a=block(3, 8), b=block(7, 4), head=head(4))


@net
def pools_and_resampling():
    def forward(self, x):
        x = F.interpolate(self.a(x), scale_factor=2, mode="bilinear", align_corners=False)
        x = F.avg_pool2d(self.b(x), 3, 2, 1)
        return self.head(F.interpolate(x, size=x.shape[2:]) + F.lp_pool2d(x.abs(), 2, 1))

    return Net(forward, a=block(3, 5), b=block(5, 4), head=head(4))


@net
def grouped_convolution():
    parts = (block(3, 12), block(12, 8, groups=4), nn.PReLU(8), block(8, 6))
    return nn.Sequential(*parts, head(6))


@net
def grouped_twice_with_shuffle():
    parts = (block(3, 12), block(12, 12, groups=3), nn.ChannelShuffle(3))
    return nn.Sequential(*parts, block(12, 12, groups=3), head(12))


@net
def depthwise_separable():
    parts = (block(3, 6), block(6, 6, groups=6), conv(6, 9, 1), nn.ReLU6())
    return nn.Sequential(*parts, block(9, 9, groups=9), head(9))


@net
def depthwise_multiplier():
    return nn.Sequential(block(3, 4), block(4, 12, groups=4), block(12, 5), head(5))


@net
def transposed_convolution():
    up = nn.ConvTranspose2d(6, 8, 4, 2, 1)
    return nn.Sequential(block(3, 6), up, nn.BatchNorm2d(8), nn.ReLU(), block(8, 4), head(4))


@net
def transposed_grouped_and_depthwise():
    up = nn.ConvTranspose2d(6, 9, 2, 2, groups=3)
    wise = nn.ConvTranspose2d(9, 9, 2, 2, groups=9)
    return nn.Sequential(block(3, 6), up, nn.ReLU(), wise, block(9, 4), head(4))


@net
def norm_variants():
    parts = (conv(3, 6), nn.BatchNorm2d(6, affine=False), nn.Hardswish(), conv(6, 8))
    parts += (nn.BatchNorm2d(8, track_running_stats=False), nn.ELU(), conv(8, 6))
    parts += (nn.InstanceNorm2d(6, affine=True), nn.GELU(), conv(6, 8), nn.GroupNorm(8, 8))
    return nn.Sequential(*parts, nn.Mish(), conv(8, 4), head(4))


@net
def layer_norms_pin_but_move():
    def forward(self, x):
        x = self.stem(x)
        y = self.norm(x.permute(0, 2, 3, 1))
        y = self.out(F.gelu(self.inner(y))).permute(0, 3, 1, 2)
        return self.head(x + self.scale * y)

    parts = {
        "stem": conv(3, 8),
        "norm": nn.LayerNorm(8),
        "scale": nn.Parameter(torch.ones(8, 1, 1)),
    }
    return Net(forward, **parts, inner=nn.Linear(8, 20), out=nn.Linear(20, 8), head=head(8))


@net
def group_norms_pin():
    parts = (conv(3, 8), nn.GroupNorm(1, 8), nn.ReLU(), conv(8, 6), nn.ReLU(), conv(6, 9))
    return nn.Sequential(*parts, nn.GroupNorm(3, 9), head(9))


@net
def scales_and_frozen_norms():
    def forward(self, x):
        x = self.a(x) * self.scale + self.shift.view(1, -1, 1, 1)
        x = (x - self.mean.reshape(1, -1, 1, 1)) * (self.var + 1e-5).rsqrt().reshape(1, -1, 1, 1)
        return self.head(self.b(x * torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 1.5]).view(-1, 1, 1)))

    parts = {"scale": nn.Parameter(torch.ones(6, 1, 1)), "shift": nn.Parameter(torch.ones(6))}
    buffers = {"mean": torch.randn(6), "var": torch.rand(6) + 0.5}
    return Net(forward, a=conv(3, 6), **parts, **buffers, b=block(6, 4), head=head(4))


@net
def shared_module_called_twice():
    def forward(self, x):
        x = self.stem(x)
        for _ in range(2):
            x = self.norm(self.again(x)).relu()
        return self.head(self.out(x))

    parts = {"stem": block(3, 6), "again": conv(6, 6), "norm": nn.BatchNorm2d(6)}
    return Net(forward, **parts, out=block(6, 5), head=head(5))


@net
def shared_weight_of_two_modules():
    def forward(self, x):
        return self.head(self.c(self.a(x)) + self.d(self.b(x)))

    c, d = conv(5, 4), conv(5, 4)
    d.weight = c.weight
    return Net(forward, a=block(3, 5), b=block(3, 5), c=c, d=d, head=head(4))


@net
def dead_branch():
    def forward(self, x):
        x = self.a(x)
        self.unused(x)
        return self.head(self.b(x))

    return Net(forward, a=block(3, 6), unused=block(6, 9), b=block(6, 5), head=head(5))


@net
def functional_layers():
    def forward(self, x):
        x = F.conv2d(x, self.w1, self.b1, padding=1)
        x = F.batch_norm(x, self.mean, self.var, self.gain, self.bias)
        x = F.conv2d(F.prelu(x, self.slope), self.w2, groups=6, padding=1)
        return F.linear(x.mean((-2, -1)), self.w3, self.b3)

    shapes = {"w1": (6, 3, 3, 3), "b1": (6,), "gain": (6,), "bias": (6,), "slope": (6,)}
    shapes |= {"w2": (6, 1, 3, 3), "w3": (5, 6), "b3": (5,)}
    parts = {name: nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}
    return Net(forward, **parts, mean=torch.randn(6), var=torch.rand(6) + 0.5)


@net
def gated_linear_unit():
    return nn.Sequential(conv(3, 12), nn.GLU(dim=1), block(6, 4), head(4))


@net
def maxout():
    def forward(self, x):
        n, _, h, w = x.shape
        return self.head(self.b(self.a(x).view(n, 3, 4, h, w).amax(1)))

    return Net(forward, a=block(3, 12), b=block(4, 5), head=head(5))


@net
def reductions_and_softmax_over_space():
    def forward(self, x):
        x = self.a(x)
        weights = torch.softmax(x.flatten(2), -1).reshape(x.shape)
        x = (x * weights).sum((2, 3)) + x.amax((2, 3)) - x.std((2, 3))
        return self.fc(F.dropout(x, training=self.training))

    return Net(forward, a=block(3, 6), fc=nn.Linear(6, 5))


@net
def generator_from_features():
    def forward(self, x):
        x = self.inner(self.fc(x.mean((2, 3)))).view(-1, 6, 4, 4)
        return self.out(self.a(x))

    parts = {"fc": nn.Linear(3, 8), "inner": nn.Sequential(nn.ReLU(), nn.Linear(8, 96))}
    return Net(forward, **parts, a=block(6, 5), out=conv(5, 2))


@net
def generator_by_unflatten():
    parts = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 96), nn.Unflatten(1, (6, 4, 4)))
    return nn.Sequential(*parts, block(6, 5), conv(5, 2))


@net
def expansion_and_repetition():
    def forward(self, x):
        x = self.a(x)
        pooled = x.mean((2, 3), keepdim=True).expand(-1, 6, x.size(2), x.size(3))
        return self.head(self.b(torch.cat([x, pooled], 1).repeat(1, 2, 1, 1)))

    return Net(forward, a=block(3, 6), b=block(24, 4), head=head(4))


@net
def single_channels_picked():
    def forward(self, x):
        x = self.a(x)
        return self.head(self.b(x) * x[:, 2:3] + x.select(1, 4).unsqueeze(1))

    return Net(forward, a=block(3, 9), b=block(9, 6), head=head(6))


@net
def width_used_as_a_number():
    def forward(self, x):
        x = self.a(x)
        return self.head(self.b(x * x.shape[1] ** -0.5 + x.size(1)))

    return Net(forward, a=block(3, 9), b=block(9, 4), head=head(4))


FUNCTIONAL = {"functional_layers"}  # no modules for the second twin's hooks


@pytest.mark.parametrize("name", NETS)
def test_operation_compact_equals_masked(name, oracle):
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    for seed in range(2):
        model = oracle.randomise(_built(name), seed)
        oracle.check_keep(model, x, seeds=2, native=name not in FUNCTIONAL)


@pytest.mark.parametrize("name", NETS)
def test_operation_permuted_equals_original(name, oracle):
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    model = oracle.randomise(_built(name))
    for seed in range(2):
        oracle.check_permute(model, x, seed)


def _built(name: str) -> nn.Module:
    torch.manual_seed(0)  # layers draw their first weights from the global generator
    return NETS[name]()


def test_operation_on_sequences_and_volumes(oracle):
    """The same rules for one and three spatial dimensions."""
    line = nn.Sequential(
        nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 5, 3),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip
    cube = nn.Sequential(
        nn.Conv3d(3, 6, 3), nn.BatchNorm3d(6), nn.ReLU(), nn.AvgPool3d(2), nn.Conv3d(6, 5, 1),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip
    generator = oracle.generator(0)
    oracle.check_keep(oracle.randomise(line), torch.randn(2, 3, 16, generator=generator))
    oracle.check_keep(oracle.randomise(cube), torch.randn(2, 3, 6, 6, 6, generator=generator))


def test_operation_wrong_index_set_is_seen(oracle):
    """The oracle can fail: one other channel kept, and the outputs differ."""
    x = torch.randn(2, 3, 8, 8, generator=oracle.generator(5))
    model = oracle.randomise(_built("residual"))
    graph = channels.trace(model, x[:1])
    right = channels.masked(graph, {"stem.0": [0, 1, 2, 5]})
    wrong = channels.keep(graph, {"stem.0": [0, 1, 2, 6]})
    with torch.no_grad(), pytest.raises(AssertionError):
        oracle.close(wrong(x), right(x))
