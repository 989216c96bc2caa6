from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lithe.data import DataError, DataSet, imagenet_folder
from lithe.training import TrainConfig, fit
from lithe.training.feed import Plan, micro_batches
from lithe.vision import torchvision

CLASSES = ("n01", "n02")


@pytest.fixture
def tree(tmp_path):
    numbers = np.random.default_rng(0)
    for part, each in (("train", 3), ("val", 2)):
        for name in CLASSES:
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(each):
                pixels = numbers.integers(0, 256, (260 + 20 * k, 300, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{k}.JPEG", quality=70)
    return tmp_path


def test_folders_become_labelled_data_sets(tree):
    train, val = imagenet_folder(tree, classes=2, workers=0)
    assert isinstance(train, DataSet)
    assert (len(train), len(val)) == (6, 4)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.classes == CLASSES
    assert train.describe()["shape"] == [3, 224, 224]


def test_validation_images_are_resized_and_cut_at_the_centre(tree):
    _, val = imagenet_folder(tree, classes=2, workers=0)
    x, y = val.batch(torch.tensor([2]))
    t = torchvision().transforms
    with Image.open(tree / "val" / "n02" / "0.JPEG") as image:
        cut = t.functional.center_crop(t.functional.resize(image.convert("RGB"), 256), 224)
    pixels = torch.from_numpy(np.array(cut)).permute(2, 0, 1).float() / 255
    mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    torch.testing.assert_close(x[0], (pixels - mean) / std)
    assert y.tolist() == [1]


def test_augmentation_has_its_own_seed_per_image(tree):
    train, _ = imagenet_folder(tree, classes=2, workers=0)
    indices, state = torch.tensor([4, 0, 2]), torch.get_rng_state()
    whole, _ = train.batch(indices, torch.Generator().manual_seed(1), augment=True)
    last, _ = train.batch(indices, torch.Generator().manual_seed(1), True, slice(2, 3))
    assert torch.equal(whole[2:], last)
    assert torch.equal(torch.get_rng_state(), state)
    other, _ = train.batch(indices, torch.Generator().manual_seed(2), augment=True)
    assert not torch.equal(whole, other)


def test_worker_processes_deliver_the_same_batches_in_the_same_order(tree):
    here, _ = imagenet_folder(tree, classes=2, workers=0)
    there, _ = imagenet_folder(tree, classes=2, workers=2)
    plan = Plan(n=6, batch_size=4, drop_last=False, seed=3, epoch=1)
    for (x, y), (other_x, other_y) in zip(
        micro_batches(here, plan), micro_batches(there, plan), strict=True
    ):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_a_network_trains_and_is_evaluated_on_folders(tree):
    train, val = imagenet_folder(tree, classes=2, workers=2)
    model = nn.Sequential(nn.AvgPool2d(56), nn.Flatten(), nn.Linear(48, 2))
    history = fit(model, train, TrainConfig(epochs=1, batch_size=4), evaluate=val)
    assert history.last["train_loss"] > 0
    assert history.last["evaluate_top1"] in (0, 25, 50, 75, 100)


def test_a_corrupt_image_is_named(tree):
    bad = tree / "train" / "n02" / "1.JPEG"
    bad.write_bytes(bad.read_bytes()[:200])
    train, _ = imagenet_folder(tree, classes=2, workers=0)
    with pytest.raises(DataError, match=r"n02/1\.JPEG cannot be decoded"):
        train.batch(torch.tensor([4]))
    bad.write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"n02/1\.JPEG cannot be decoded"):
        train.batch(torch.tensor([4]))


def test_the_fingerprint_follows_the_files(tree):
    before = imagenet_folder(tree, classes=2, workers=0)[0].fingerprint
    assert imagenet_folder(tree, classes=2, workers=4)[0].fingerprint == before
    file = tree / "train" / "n01" / "0.JPEG"
    file.write_bytes(file.read_bytes() + b"x")
    assert imagenet_folder(tree, classes=2, workers=0)[0].fingerprint != before


def test_wrong_layouts_are_refused(tree):
    with pytest.raises(DataError, match="has 2 classes, not 1000"):
        imagenet_folder(tree)
    (tree / "val").rename(tree / "validation")
    with pytest.raises(DataError, match="val is missing"):
        imagenet_folder(tree, classes=2)


def test_classes_must_agree_and_hold_images(tree):
    (tree / "train" / "n03").mkdir()
    with pytest.raises(DataError, match=r"these differ: \['n03'\]"):
        imagenet_folder(tree, classes=3)
    (tree / "val" / "n03").mkdir()
    with pytest.raises(DataError, match="n03 holds no image"):
        imagenet_folder(tree, classes=3)


def test_an_image_too_large_to_decode_is_named(tree, monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    train, _ = imagenet_folder(tree, classes=2, workers=0)
    with pytest.raises(DataError, match=r"cannot be decoded .*decompression bomb"):
        train.batch(torch.tensor([0]))
