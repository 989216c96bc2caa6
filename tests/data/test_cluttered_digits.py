from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lithe.data import DataError, cluttered_digits
from lithe.data.digits import _digits, _paste
from lithe.data.textures import PHOTOS, texture_patches, texture_regions


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    train, test = cluttered_digits(30, 20, seed=4)
    code = (
        "from lithe.data import cluttered_digits as c; "
        "print(*(part.sha256 for part in c(30, 20, seed=4)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [train.sha256, test.sha256]
    assert cluttered_digits(30, 20, seed=5)[0].sha256 != train.sha256


def test_images_do_not_depend_on_how_many_are_asked_for():
    short, none = cluttered_digits(40, 0, seed=1)
    long, _ = cluttered_digits(600, 30, seed=1)  # crosses the chunk of 512
    assert torch.equal(long.pixels[:40], short.pixels)
    assert torch.equal(long.labels[:40], short.labels)
    assert len(none) == 0


def test_train_and_test_share_neither_digits_nor_textures():
    train, test = (_digits(part)[0].flatten(1) for part in ("train", "test"))
    assert len(train) + len(test) == 1797
    assert (torch.cdist(train, test) > 0).all()
    for left, right, name in zip(texture_regions("train"), texture_regions("test"), PHOTOS):
        assert left.shape[2] > 2 * right.shape[2] >= 2 * 32, name
        assert left.shape[1] == right.shape[1]


def test_regions_are_two_sides_of_one_photograph():
    from skimage import data

    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1).float()
    whole = torch.cat([texture_regions(part)[0] for part in ("train", "test")], dim=2)
    halved = photo.view(3, 256, 2, 256, 2).mean((2, 4))
    assert (whole.float() - halved).abs().max() <= 0.5


def test_all_classes_appear_about_equally():
    train, _ = cluttered_digits(1024, 0)
    assert train.labels.bincount(minlength=10).min() > 60
    assert train.shape == (3, 32, 32)
    assert train.classes == tuple("0123456789")


def test_digits_are_never_mirrored():
    assert not cluttered_digits(1, 1)[0].augmentation.mirror


def test_normalisation_statistics_are_those_of_the_images():
    train, _ = cluttered_digits(1024, 0)
    x, _ = train.batch(torch.arange(1024))
    assert x.mean((0, 2, 3)).abs().max() < 0.1
    assert (x.std((0, 2, 3)) - 1).abs().max() < 0.1


def test_digits_are_pasted_at_the_stated_sizes():
    solid = torch.ones(300, 1, 8, 8)
    opacity = _paste(solid, torch.Generator().manual_seed(0))
    side = (opacity > 0.75).sum((1, 2, 3)).float().sqrt()  # the bilinear edge is 1.5 alpha / 2
    assert 11 < side.min() < 13
    assert 21 < side.max() < 25  # tilted corners may leave the canvas


def test_strokes_stay_on_the_canvas():
    strokes, _ = _digits("train")
    opacity = _paste(strokes, torch.Generator().manual_seed(0))
    frame = torch.ones(32, 32, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    assert opacity[:, 0, frame].sum() < 0.01 * opacity.sum()
    assert opacity.sum((1, 2, 3)).min() > 10


def test_patches_are_windows_of_their_own_region():
    patches = texture_patches("test", 2, 32, torch.Generator().manual_seed(0))
    for patch in patches:
        assert any(
            (region.unfold(1, 32, 1).unfold(2, 32, 1) == window[:, None, None]).all((0, 3, 4)).any()
            for region in texture_regions("test")
            for window in (patch, patch.flip(-1))
        )


def test_negative_sizes_are_refused():
    with pytest.raises(DataError, match="n_train=-1"):
        cluttered_digits(-1, 5)
