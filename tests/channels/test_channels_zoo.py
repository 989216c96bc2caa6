"""Every network of the zoo: compact equals masked, permuted equals original."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lithe import channels
from lithe.vision import torchvision

# name: (convolutions that change width alone, convolutions that can be cut at all)
ZOO = {
    "vgg16_bn": (13, 13),
    "resnet18": (8, 20),
    "resnet50": (33, 53),
    "resnext50_32x4d": (1, 53),
    "wide_resnet50_2": (33, 53),
    "googlenet": (57, 57),
    "inception_v3": (94, 94),
    "densenet121": (120, 120),
    "mobilenet_v2": (20, 35),
    "mobilenet_v3_small": (13, 41),
    "mobilenet_v3_large": (15, 47),
    "efficientnet_b0": (19, 65),
    "mnasnet1_0": (20, 35),
    "shufflenet_v2_x1_0": (37, 37),
    "squeezenet1_1": (25, 25),
    "regnet_y_400mf": (17, 85),
    "convnext_tiny": (0, 0),
}
GRAPHED = {"shufflenet_v2_x1_0", "googlenet", "inception_v3"}  # their forward must be rewritten


def build(name: str) -> tuple[nn.Module, torch.Tensor]:
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    make = getattr(torchvision().models, name)
    if name.startswith("regnet"):  # computes its widths with tensors
        model = make(weights=None, num_classes=10)
    else:
        with torch.device("meta"):  # skips the initial weights; `randomise` gives others
            model = make(weights=None, num_classes=10, **extra)
        model = model.to_empty(device="cpu")
    if name == "vgg16_bn":  # the real head has 120 million weights and nothing else to show
        model.classifier = nn.Sequential(nn.Linear(512 * 49, 32), nn.ReLU(), nn.Linear(32, 10))
    side = 80 if name == "inception_v3" else 64
    return model, torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("name", ZOO)
def test_zoo_compact_equals_masked_and_permuted_equals_original(name, oracle):
    model, x = build(name)
    oracle.randomise(model)
    graph = oracle.check_keep(model, x)
    assert (len(graph.free_convs()), _cuttable(graph, model)) == ZOO[name]
    oracle.check_permute(model, x)
    request = oracle.request(graph, oracle.generator(1))
    native = type(channels.keep(graph, request)) is type(model)
    assert native == (name not in GRAPHED)


def _cuttable(graph: channels.ChannelGraph, model: nn.Module) -> int:
    names = [name for group in graph.groups() if group.cuttable for name in group.producers]
    return sum(isinstance(model.get_submodule(name), nn.Conv2d) for name in names)


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x1_0"])
def test_zoo_permuted_network_trains_alike(name, oracle):
    """Batch statistics follow their channels: equal outputs and equal gradients in train mode."""
    model, x = build(name)
    oracle.randomise(model).train()
    orders = oracle.orders(graph := channels.trace(model, x[:1]), oracle.generator(3))
    moved = channels.permute(graph, orders).train()
    ours, theirs = moved(x), model(x)
    assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.detach().std()))
    ours.square().mean().backward()
    theirs.square().mean().backward()
    got, want = (net.get_parameter("fc.bias").grad for net in (moved, model))
    assert torch.allclose(got, want, rtol=1e-3)


def test_zoo_parts_that_only_train_are_left_alone_and_named(oracle):
    model, x = build("googlenet")
    graph = channels.trace(oracle.randomise(model), x[:1])
    assert "aux1.conv.conv" in graph.unreached
    assert "untouched, not run in eval mode: aux1" in str(graph)
    smaller = channels.keep(graph, oracle.request(graph, oracle.generator(0)))
    assert torch.equal(smaller.aux1.fc1.weight, model.aux1.fc1.weight)
    smaller.train()(x).sum().backward()  # and training runs without them
    with pytest.raises(KeyError, match="not run in eval mode"):
        channels.keep(graph, {"aux1.conv.conv": [0]})
