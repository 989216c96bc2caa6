"""The paper's rows as recipes: all there, trained as released, started from weights by path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lithe import data, ledger
from lithe.onexn import full, masked_layers, recipes

NAMES = {"kernel_l1": "kernel", "kernel_random": "random"}


@pytest.fixture(scope="module")
def published(golden: Path) -> dict:
    return json.loads((golden / "onexn_accuracy.json").read_text())


def test_every_published_accuracy_is_a_row(published):
    for network, rows in published["readme_table1_p50_top1_top5"].items():
        for pattern in rows:
            assert 0.5 in recipes.ROWS[f"{network}-{pattern}"]
    for network, figure in published["figure4_raw"].items():
        for pattern in figure["top1"]:
            assert list(recipes.ROWS[f"{network}-{pattern}"]) == figure["rates"]
    for pattern in published["readme_table_resnet50_p50"]:
        assert 0.5 in recipes.ROWS[f"resnet50-{NAMES.get(pattern, pattern)}"]
    for n in published["readme_table_rearrangement_mobilenet_v2_p50"]:
        assert recipes.ROWS[f"mobilenet_v2-1x{n}-plain"] == (0.5,)


def test_the_recipe_is_the_released_one():
    train = recipes.recipe("mobilenet_v2-1x4", 0.5, seed=2).train
    assert (train.optimizer, train.momentum, train.nesterov) == ("sgd", 0.9, False)
    assert (train.lr, train.weight_decay, train.decay) == (0.01, 4e-5, "all")
    assert (train.epochs, train.warmup_epochs, train.batch_size) == (180, 5, 256)
    assert (train.schedule, train.per_iteration, train.seed) == ("cosine", False, 2)


def test_names_of_records_tell_network_pattern_and_rate():
    assert recipes.recipe("mobilenet_v2-1x4-plain", 0.3).experiment == "mobilenet_v2-1x4-plain-p30"
    dense = recipes.recipe("resnet50-dense")
    assert (dense.experiment, dense.network, dense.pattern) == (
        "resnet50-dense",
        "resnet50",
        "dense",
    )


def test_unknown_rows_and_rates_are_refused():
    with pytest.raises(KeyError, match="1x5"):
        recipes.recipe("mobilenet_v2-1x5")
    with pytest.raises(ValueError, match="sparsity is 1"):
        recipes.recipe("mobilenet_v2-1x4", 1)


@pytest.fixture
def small(monkeypatch):
    """A network in the place of MobileNet-V2 that takes images of 16 pixels."""

    def make() -> nn.Module:
        block = [nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 3, padding=1)]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)]
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *block, *head)

    entry = recipes.NETWORKS["mobilenet_v2"]
    changed = type(entry)(entry.says, make)
    monkeypatch.setitem(recipes.NETWORKS, "mobilenet_v2", changed)
    monkeypatch.setattr(recipes, "SIDE", 16)
    monkeypatch.setattr(recipes, "CLASSES", 6)
    return make


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [("weight", 0.5), ("filter", 0.5), ("1x2", 0.5), ("1x4", 0.5), ("1x4-plain", 0.5)],
)
def test_each_pattern_prunes_as_its_name_says(small, pattern, kept):
    model = recipes.pruned(recipes.recipe(f"mobilenet_v2-{pattern}"), small())
    assert model.pruning.kept == pytest.approx(kept, abs=0.02)
    placements = {layer.placement for layer in model.pruning.layers}
    assert placements == ({"moved"} if pattern in ("1x2", "1x4") else {"natural"})


def test_dense_rows_are_not_pruned(small):
    model = small()
    assert recipes.pruned(recipes.recipe("mobilenet_v2-dense"), model) is model


def test_a_dry_run_trains_with_masks(small):
    history = recipes.dry_run("mobilenet_v2-1x4", 0.75)
    assert len(history) == 1
    assert history.last["train_loss"] > 0


def test_weights_are_read_from_safetensors_alone(tmp_path):
    model = nn.Linear(3, 2)
    save_file(model.state_dict(), tmp_path / "good.safetensors")
    other = recipes.load_weights(nn.Linear(3, 2), tmp_path / "good.safetensors")
    assert torch.equal(other.weight, model.weight)
    with pytest.raises(data.DataError, match=r"good\.safetensors are not those of this network"):
        recipes.load_weights(nn.Linear(4, 2), tmp_path / "good.safetensors")
    torch.save(model.state_dict(), tmp_path / "pickled.pth")
    with pytest.raises(data.DataError, match=r"pickled\.pth cannot be read"):
        recipes.load_weights(nn.Linear(3, 2), tmp_path / "pickled.pth")


def test_a_full_row_is_trained_from_its_weights_and_put_on_record(small, tmp_path, monkeypatch):
    book = tmp_path / "book"
    (book / "claims").mkdir(parents=True)
    monkeypatch.setenv("LITHE_BOOK", str(book))
    images = tuple(data.fake_images((3, 16, 16), 6, 16, seed=k) for k in (0, 1))
    monkeypatch.setattr(full.data, "imagenet_folder", lambda _: images)
    short = recipes.recipe("mobilenet_v2-1x4").train.model_copy(
        update={"epochs": 2, "warmup_epochs": 1, "batch_size": 8}
    )
    monkeypatch.setattr(
        recipes, "recipe", lambda *_: recipes.Recipe("mobilenet_v2-1x4", 0.5, short)
    )
    save_file(small().state_dict(), tmp_path / "w.safetensors")
    full.full("mobilenet_v2-1x4", 0.5, tmp_path / "w.safetensors", tmp_path)
    record = ledger.read("onexn/mobilenet_v2-1x4-p50/full/0")
    assert record.metric("best_top1").value >= record.metric("top1").value
    assert record.metric("top1").n == 16
    assert len(record.params["weights"]) == 64
    monkeypatch.setattr(full, "evaluate", lambda *_: {"top1": 50.0, "top5": 90.0})
    dense = recipes.Recipe("mobilenet_v2-dense", 0.0, short)
    monkeypatch.setattr(recipes, "recipe", lambda *_: dense)
    full.full("mobilenet_v2-dense", 0.5, tmp_path / "w.safetensors", tmp_path)
    assert ledger.read("onexn/mobilenet_v2-dense/full/0").metric("top5").value == 90


def test_masks_of_random_rows_follow_the_seed(small):
    rows = [
        recipes.Recipe("resnet50-random", 0.5, recipes.recipe("resnet50-random", seed=s).train)
        for s in (0, 0, 1)
    ]
    model = small()
    a, b, c = (next(iter(masked_layers(recipes.pruned(r, model)).values())).mask for r in rows)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
