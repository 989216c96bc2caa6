from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lithe.data import Augmentation, DataError, DataSet, Images, fake_images


def _images(n: int = 12, side: int = 8) -> Images:
    return fake_images((3, side, side), 4, n, seed=5)


def test_in_memory_images_are_a_data_set():
    assert isinstance(_images(), DataSet)


def test_batch_normalises_to_the_definition():
    images = _images().normalised((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    x, y = images.batch(torch.tensor([3, 0]))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (images.mean, images.std))
    expected = (images.pixels[[3, 0]].float() / 255 - mean) / std
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(y, images.labels[[3, 0]])


def test_batch_is_a_pure_function_of_indices_and_generator():
    images, indices = _images(), torch.tensor([1, 2, 3, 1])
    state = torch.get_rng_state()
    first, second = (
        images.batch(indices, torch.Generator().manual_seed(7), augment=True)[0] for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    other = images.batch(indices, torch.Generator().manual_seed(8), augment=True)[0]
    assert not torch.equal(first, other)


def test_parts_of_a_batch_add_up_to_the_whole():
    images, indices = _images(), torch.arange(10)
    parts = [
        images.batch(indices, torch.Generator().manual_seed(2), True, part)
        for part in (slice(0, 4), slice(4, 5), slice(5, 10))
    ]
    x, y = images.batch(indices, torch.Generator().manual_seed(2), True)
    assert torch.equal(torch.cat([part[0] for part in parts]), x)
    assert torch.equal(torch.cat([part[1] for part in parts]), y)


def test_augmenting_needs_a_generator_and_a_policy():
    images = _images()
    with pytest.raises(ValueError, match=r"torch\.Generator"):
        images.batch(torch.arange(2), augment=True)
    plain = images.augmented(None)
    assert torch.equal(
        plain.batch(torch.arange(2), augment=True)[0], images.batch(torch.arange(2))[0]
    )


def test_batch_leaves_the_pixels_alone():
    images = _images()
    before = images.pixels.clone()
    images.batch(torch.arange(12), torch.Generator().manual_seed(0), augment=True)
    assert torch.equal(images.pixels, before)


def test_fingerprint_follows_everything_a_batch_depends_on():
    images = _images()
    pixels = images.pixels.clone()
    pixels[0, 0, 0, 0] ^= 1
    variants = [
        images,
        replace(images, pixels=pixels),
        replace(images, labels=(images.labels + 1) % 4),
        images.normalised((0.5, 0.5, 0.4), images.std),
        images.augmented(Augmentation(pad=3)),
        images.augmented(None),
        images.subset(11),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert _images().fingerprint == images.fingerprint


def test_subset_takes_a_count_or_indices():
    images = _images()
    assert torch.equal(images.subset(3).pixels, images.pixels[:3])
    chosen = images.subset([5, 5, 0])
    assert torch.equal(chosen.labels, images.labels[[5, 5, 0]])
    for asked in (13, [12], [-1]):
        with pytest.raises(DataError, match=r"images 0\.\.11"):
            images.subset(asked)


def test_resize_averages_areas_and_shrinks_the_padding():
    images = _images(side=8)
    small = images.resize(4)
    blocks = images.pixels.view(12, 3, 4, 2, 4, 2).float().mean((3, 5))
    assert (small.pixels.float() - blocks).abs().max() <= 0.5
    assert small.shape == (3, 4, 4)
    assert small.augmentation == Augmentation(pad=2)
    with pytest.raises(DataError, match=r"8x8 images to 9x9"):
        images.resize(9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pixels": torch.zeros(2, 3, 4, 4)}, "must be uint8"),
        ({"pixels": torch.zeros(2, 4, 4, dtype=torch.uint8)}, "must be uint8"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"must be int64 \(2,\)"),
        ({"labels": torch.tensor([0.0, 1.0])}, "must be int64"),
        ({"labels": torch.tensor([0, 2])}, r"labels span 0\.\.2"),
        ({"labels": torch.tensor([-1, 0])}, r"labels span -1\.\.0"),
        ({"mean": (0.5,)}, "one entry for each of the 3"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
    ],
)
def test_inconsistent_images_are_refused(change, says):
    good = Images(
        torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        torch.tensor([0, 1]),
        ("a", "b"),
        "two",
        (0.5, 0.5, 0.5),
        (1.0, 1.0, 1.0),
    )
    with pytest.raises(DataError, match=says):
        replace(good, **change)


def test_fake_images_have_the_asked_shape_and_repeat_by_seed():
    one, two, other = (fake_images((3, 16, 12), 7, 30, seed) for seed in (1, 1, 2))
    assert one.shape == (3, 16, 12)
    assert len(one) == 30
    assert one.n_classes == 7
    assert one.sha256 == two.sha256 != other.sha256
    assert one.describe() == {
        "name": "fake 3x16x12",
        "sha256": one.sha256,
        "n": 30,
        "classes": 7,
        "shape": [3, 16, 12],
    }
    with pytest.raises(DataError, match="1 or more"):
        fake_images((3, 16, 16), 0, 5)


@pytest.mark.parametrize("asked", [-1, True, [0.5, 1.7], [True, False]])
def test_a_subset_is_listed_by_whole_numbers(asked):
    with pytest.raises(DataError, match="whole number"):
        fake_images((3, 4, 4), 2, 4).subset(asked)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scaling_must_be_finite(bad):
    images = fake_images((3, 4, 4), 2, 4)
    for mean, std in ((bad, 0.2), (0.5, bad)):
        with pytest.raises(DataError, match="finite"):
            images.normalised((mean,) * 3, (std,) * 3)
