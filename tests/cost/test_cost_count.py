"""Counts against closed forms, operator by operator."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe import cost


def macs(module: nn.Module, *shape: int) -> int:
    return cost.count(module, torch.zeros(shape)).macs


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_convolution_is_outputs_times_fan_in(groups, bias, stride, dilation):
    conv = nn.Conv2d(4, 8, (3, 2), stride, 1, dilation, groups, bias)
    out = conv(torch.zeros(2, 4, 11, 13)).shape
    assert macs(conv, 2, 4, 11, 13) == 2 * 8 * out[2] * out[3] * (4 // groups) * 3 * 2


def test_convolutions_of_one_and_three_dimensions():
    assert macs(nn.Conv1d(3, 5, 4), 2, 3, 10) == 2 * 5 * 7 * 3 * 4
    assert macs(nn.Conv3d(2, 3, 2), 1, 2, 4, 5, 6) == 3 * (3 * 4 * 5) * 2 * 8


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_is_counted_at_its_input_size(groups):
    conv = nn.ConvTranspose2d(4, 6, 9, stride=3, padding=4, output_padding=2, groups=groups)
    assert macs(conv, 2, 4, 5, 7) == 2 * 4 * 5 * 7 * (6 // groups) * 81


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 4), (2, 7, 4), (4,)])
def test_linear_is_rows_times_in_times_out(bias, shape):
    rows = torch.zeros(shape).numel() // 4
    assert macs(nn.Linear(4, 5, bias), *shape) == rows * 20


def test_functional_convolution_counts_as_a_module_does():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(6, 4, 3, 3))

        def forward(self, x):
            return F.conv2d(x, self.weight, padding=1)

    assert macs(Functional(), 1, 4, 8, 8) == macs(nn.Conv2d(4, 6, 3, padding=1), 1, 4, 8, 8)


def test_a_module_called_twice_counts_twice_and_its_parameters_once():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    once, twice = nn.Sequential(conv), nn.Sequential(conv, nn.ReLU(), conv)
    example = torch.zeros(1, 4, 6, 6)
    for convention in ("macs", "thop031"):
        one, two = (cost.count(net, example, convention) for net in (once, twice))
        assert two.macs == 2 * one.macs
        assert two.params == one.params == 4 * 4 * 9 + 4


def test_attention_products_are_apart_from_layers():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    counted = cost.count(layer, torch.zeros(1, 5, 8))
    assert counted.macs == 5 * (4 * 8 * 8 + 2 * 8 * 16)
    assert counted.products == 2 * 5 * 5 * 8
    assert torch.backends.mha.get_fastpath_enabled()


def test_rows_name_modules_and_add_up():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Flatten(), nn.Linear(144, 2))
    counted = cost.count(net, torch.zeros(1, 3, 8, 8))
    assert [(row.name, row.kind) for row in counted.rows] == [("0.0", "Conv2d"), ("2", "Linear")]
    assert sum(row.macs for row in counted.rows) == counted.macs == 4 * 36 * 27 + 288


def test_thop031_adds_its_small_change():
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    parts = [6 * 64 * (4 * 9 + 1), 2 * 6 * 64, 6 * 16, (16 + 1) * 6, 18]
    assert cost.count(net, torch.zeros(1, 4, 10, 10), "thop031").macs == sum(parts)


def test_counting_leaves_no_trace_on_the_model():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    net[2].eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    cost.count(net, torch.randn(2, 3, 8, 8))
    cost.count(net, torch.randn(2, 3, 8, 8), "thop031")
    assert (net.training, net[1].training, net[2].training) == (True, True, False)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert net[0].weight.grad is None


def test_flags_are_put_back_after_a_failure():
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(ValueError, match=r"does not run on inputs of shape \[\(1, 5, 8, 8\)\]"):
        cost.count(net, torch.zeros(1, 5, 8, 8))
    assert net.training
    assert not net[0]._forward_pre_hooks


def test_several_inputs_by_position_and_by_name():
    bilinear = nn.Bilinear(2, 2, 1)

    class Two(nn.Module):
        def forward(self, left, right):
            return F.linear(left, right)

    tensors = (torch.zeros(5, 3), torch.zeros(4, 3))
    assert cost.count(Two(), tensors).macs == 60
    assert cost.count(Two(), {"right": tensors[1], "left": tensors[0]}).macs == 60
    assert cost.count(bilinear, (torch.zeros(1, 2), torch.zeros(1, 2))).params == 5


def test_meta_tensors_cost_nothing_to_count():
    with torch.device("meta"):
        net = nn.Conv2d(512, 512, 3, padding=1)
        example = torch.zeros(64, 512, 512, 512)
    assert cost.count(net, example).macs == 64 * 512 * 512 * 512 * 512 * 9


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("not a module", torch.zeros(1)), TypeError, "str"),
        ((nn.ReLU(), "x"), TypeError, "str"),
        ((nn.ReLU(), (torch.zeros(1), 3)), TypeError, "int"),
        ((nn.ReLU(), torch.zeros(1), "flops"), ValueError, "'flops'.*'macs'"),
    ],
)
def test_bad_input_is_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        cost.count(*arguments)
