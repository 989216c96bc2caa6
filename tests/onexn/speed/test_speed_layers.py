"""Which layers are timed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

from lithe.onexn.speed.layers import Layer, groups, layers_of
from lithe.onexn.speed.networks import skeleton

ROW = re.compile(r"^\| (?:3x3 )?[\d]+-[\d]+@[\d]+(?:s2)? x\d+ \|")


def _table(shared: Path, network: str, sparsity: str = "50 %") -> dict[Layer, int]:
    """The layers of a table of the specification."""
    text = (shared / "specs" / "onexn.md").read_text(encoding="utf-8")
    part = text.partition(f"**1 thread, {network} pointwise, {sparsity}**")[2].partition("| **sum")[
        0
    ]
    names = [line.split("|")[1].split() for line in part.splitlines() if ROW.match(line)]
    return {Layer.parse(name): int(count[1:]) for name, count in names}


@pytest.mark.parametrize(
    ("key", "title"), [("mobilenet_v1", "MobileNet-V1"), ("mobilenet_v2", "MobileNet-V2")]
)
def test_layers_are_those_of_the_specification(shared: Path, key: str, title: str) -> None:
    expected = _table(shared, title)
    assert len(expected) >= 9
    assert layers_of(skeleton(key)) == expected


def test_resnet_groups_hold_every_pruned_convolution() -> None:
    counts = layers_of(skeleton("resnet50"))
    table = groups("resnet50", counts)
    assert set(table) == {
        "resnet50 1x1",
        "resnet50 1x1 stride 1",
        "resnet50 3x3",
        "resnet50 3x3 stride 1",
    }
    assert sum(counts.values()) == 52
    assert sum(table["resnet50 3x3"].values()) == 16
    assert table["resnet50 3x3"].keys() - table["resnet50 3x3 stride 1"].keys() == {
        Layer(128, 128, 28, 3, 2),
        Layer(256, 256, 14, 3, 2),
        Layer(512, 512, 7, 3, 2),
    }
    macs = sum(layer.macs * count for layer, count in counts.items())
    assert macs == 4_089_184_256 - 1000 * 2048 - 64 * 3 * 49 * 112**2


def test_first_grouped_and_one_pixel_convolutions_are_left_out() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8),
        nn.Conv2d(8, 16, 1),
        nn.Conv2d(16, 16, 1),
        nn.Conv2d(16, 16, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(16, 4, 1),
    )
    assert layers_of(model, 16) == {Layer(8, 16, 8): 1, Layer(16, 16, 8): 2}
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    "layer",
    [Layer(512, 256, 14), Layer(128, 128, 28, 3, 2), Layer(3, 8, 5, 5), Layer(4, 4, 7, 1, 2)],
)
def test_a_name_is_read_back(layer: Layer) -> None:
    assert Layer.parse(layer.name) == layer
    assert Layer.parse(layer) is layer


def test_sizes_of_a_strided_layer() -> None:
    layer = Layer.parse("3x3 128-64@28s2")
    assert (layer.source, layer.macs) == (56, 128 * 64 * 9 * 28 * 28)


@pytest.mark.parametrize("name", ["", "512", "512-512", "512-512@14s", "2x3 4-4@4", "x", "0-4@4"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"names no layer|must be a whole number"):
        Layer.parse(name)


@pytest.mark.parametrize(
    "sizes", [(0, 1, 1), (1, 1, 1, 2), (1, 1, 1, 1, 0), (1.0, 1, 1), (True, 1, 1)]
)
def test_impossible_layers_are_refused(sizes: tuple) -> None:
    with pytest.raises(ValueError, match="must be"):
        Layer(*sizes)
