"""Trained networks as their authors measured them, and what one stroke of pruning leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lithe import data
from lithe.onexn import block_mask, pretrained
from lithe.training import evaluate


@pytest.fixture(scope="module")
def resnet20(shared: Path):
    return pretrained.cifar_resnet(20, shared)


@pytest.fixture(scope="module")
def mobilenet(shared: Path):
    return pretrained.mobilenet_v2_folded(shared)


@pytest.fixture(scope="module")
def cifar(shared: Path) -> data.Images:
    test = data.cifar10_subset(shared)[1]
    return test.normalised(data.IMAGENET_MEAN, data.IMAGENET_STD)


def test_resnet20_has_its_published_accuracy(resnet20, cifar):
    assert round(evaluate(resnet20, cifar, 100)["top1"] * 10.17) == 932


def test_resnet56_is_read_from_half_precision(shared, cifar):
    model = pretrained.cifar_resnet(56, shared)
    assert evaluate(model, cifar.subset(100), 50)["top1"] >= 88
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_mobilenet_names_41_of_the_50_photographs(mobilenet, shared):
    found = evaluate(mobilenet, pretrained.imagenet_photos(shared), 25)
    assert (round(found["top1"] / 2), round(found["top5"] / 2)) == (41, 48)


def test_one_shot_orders_patterns_by_what_they_keep(resnet20, cifar):
    table = pretrained.one_shot(resnet20, cifar.subset(32), (0.5,), sizes=(4,))
    kept = {k[8:-4]: v["value"] for k, v in table.items() if k.startswith("kept_l1")}
    assert kept["weight"] > kept["kernel"] > kept["1x4_rows"] > kept["1x4_plain"]
    assert kept["1x4_rows"] >= kept["1x4_moved"] > kept["1x4_random"] == pytest.approx(50, abs=1.5)
    assert kept["1x4_plain"] > kept["filter"]
    assert set(table) == {"top1_dense"} | {
        f"{what}_{name}_p50" for what in ("top1", "kept_l1") for name in kept
    }


def test_kept_norms_of_a_layer_are_those_of_its_masks(resnet20):
    table = pretrained.kept_by_layer(resnet20, 0.5, moved=["layer1.0.conv1"])
    weight = resnet20.get_submodule("layer1.0.conv1").weight.detach()
    gain = [float(weight.abs()[block_mask(weight, 8, 0.5, r)].sum()) for r in (True, False)]
    assert table["moved_layers_gaining_n8"] == (gain[0] > gain[1])
    assert table["layers"] == 18
    assert "ragged_layers_n16" not in table
    assert table["ragged_layers_n32"] == 6


def test_the_seventeen_layers_of_the_figure_gain(mobilenet):
    moved = [*(f"blocks.{k}.0" for k in range(16)), "head.0"]
    table = pretrained.kept_by_layer(mobilenet, moved=moved)
    assert table["layers"] == 34
    assert all(table[f"moved_layers_gaining_n{n}"] == 17 for n in (4, 8, 16, 32))
