"""``lithe::packed_conv2d`` as torch sees it."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe import onexn
from lithe.onexn import operator


@pytest.fixture
def pieces(generator):
    weight = torch.randn(10, 6, 3, 3, generator=generator)
    mask = onexn.block_mask(weight, 4, 0.5, rearrange=True)
    bias = torch.randn(10, generator=generator)
    layer = onexn.PackedConv2d(weight, bias, mask, 4, stride=2, padding=1)
    return layer, weight * mask, torch.randn(2, 6, 11, 9, generator=generator)


@pytest.fixture(params=["native", "reference"])
def way(request, monkeypatch) -> str:
    monkeypatch.setenv("LITHE_KERNELS", request.param)
    return request.param


def test_layers_compute_with_it(pieces, way, kit):
    layer, weight, x = pieces
    wanted = F.conv2d(x, weight, layer.bias, 2, 1)
    kit.agree(layer(x), wanted)
    kit.agree(layer(x[0]), wanted[0])
    with torch.inference_mode():
        kit.agree(layer(x), wanted)
    assert (way == "native") == (layer.values in operator._programs)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("padding", ["same", "valid", 0, (1, 2)])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_every_padding(kernel, padding, kit, generator):
    weight = torch.randn(6, 4, kernel, kernel, generator=generator)
    layer = onexn.PackedConv2d(weight, None, torch.ones_like(weight).bool(), 4, padding=padding)
    x = torch.randn(1, 4, 8, 7, generator=generator)
    kit.agree(layer(x), F.conv2d(x, weight, padding=padding))


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 5), (2, 3, 5)])
def test_linear_layers_compute_with_it(shape, way, kit, generator):
    weight, bias = torch.randn(7, 5, generator=generator), torch.randn(7, generator=generator)
    mask = onexn.block_mask(weight, 4, 0.5)
    layer = onexn.PackedLinear(weight, bias, mask, 4)
    x = torch.randn(shape, generator=generator)
    kit.agree(layer(x), F.linear(x, weight * mask, bias))


def test_the_gradient_of_the_input_is_torchs(pieces, way, kit):
    layer, weight, x = pieces
    ours, wanted = x.clone().requires_grad_(), x.clone().requires_grad_()
    layer(ours).square().sum().backward()
    F.conv2d(wanted, weight, layer.bias, 2, 1).square().sum().backward()
    kit.agree(ours.grad, wanted.grad)


def test_torch_checks_the_operator(pieces):
    layer, _, x = pieces
    packed = layer.packed
    index = (packed.values, packed.columns, packed.pointers, packed.order, layer.bias)
    arguments = (*index, [2, 2], [1, 1], [1, 1], 1, list(packed.shape))
    last = x.to(memory_format=torch.channels_last)
    for own in (x, last, x.clone().requires_grad_()):
        torch.library.opcheck(operator.packed_conv2d, (own, *arguments))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_models_keep_it(pieces, backend, kit):
    layer, weight, x = pieces
    compiled = torch.compile(nn.Sequential(layer, nn.ReLU()), backend=backend, fullgraph=True)
    with torch.no_grad():
        kit.agree(compiled(x), F.relu(F.conv2d(x, weight, layer.bias, 2, 1)))


def test_exported_models_keep_it(pieces, kit):
    layer, weight, x = pieces
    exported = torch.export.export(nn.Sequential(layer, nn.ReLU()).eval(), (x,))
    names = [str(node.target) for node in exported.graph.nodes]
    assert any("lithe.packed_conv2d" in name for name in names)
    kit.agree(exported.module()(x), F.relu(F.conv2d(x, weight, layer.bias, 2, 1)))


def test_changed_weights_are_seen(pieces, kit):
    layer, weight, x = pieces
    layer(x)
    with torch.no_grad():
        layer.values.mul_(2)
    kit.agree(layer(x), F.conv2d(x, 2 * weight, layer.bias, 2, 1))
    layer.bias = None
    kit.agree(layer(x), F.conv2d(x, 2 * weight, None, 2, 1))


def test_programs_are_few_and_die_with_their_layer(pieces):
    layer = pieces[0]
    for height in range(3, 15):
        layer(torch.randn(1, 6, height, 5))
    kept = operator._programs[layer.values]
    assert len(kept) == operator.KEPT
    assert len(copy.deepcopy(layer).state_dict()) == 5  # programs are no part of the layer
    count = len(operator._programs)
    del layer, kept
    pieces = None
    gc.collect()
    assert len(operator._programs) <= count


def test_bad_input_is_refused(pieces, monkeypatch):
    layer, _, x = pieces
    with pytest.raises(ValueError, match="for a layer of 6 channels"):
        layer(x[:, :5])
    kept = layer.packed
    index = (kept.values, kept.columns + 9, kept.pointers, kept.order, None)
    with pytest.raises(ValueError, match="is not one of"):
        operator.packed_conv2d(x, *index, [1, 1], [0, 0], [1, 1], 1, list(kept.shape))
    monkeypatch.setenv("LITHE_KERNELS", "fast")
    with pytest.raises(ValueError, match="LITHE_KERNELS is 'fast'"):
        layer(x)


def test_doubles_and_empty_batches_take_the_plain_path(pieces):
    layer, weight, x = pieces
    twice = layer.double()
    wanted = F.conv2d(x.double(), weight.double(), layer.bias, 2, 1)
    assert torch.equal(twice(x.double()), wanted)
    layer.float()
    assert layer(x[:0]).shape == (0, 10, 6, 5)
