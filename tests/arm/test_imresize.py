"""Resizing by MATLAB's convention, and the pairs made with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lithe import arm
from lithe.arm.imresize import contributions


@pytest.fixture(scope="module")
def released(golden):
    return np.load(golden / "arm_imresize.npz")


@pytest.mark.parametrize("name", ["down4", "down2", "scale0.9", "scale0.8", "scale0.7", "scale0.6"])
def test_float_images_are_the_released_ones(released, name):
    scale = {"down4": 0.25, "down2": 0.5}.get(name) or float(name.removeprefix("scale"))
    made = arm.imresize(released["hr_rgb_uint8"].astype(np.float32), scale)
    assert made.dtype == np.float32
    assert np.abs(made - released[f"{name}_float_0_255"]).max() < 1e-3


def test_eight_bit_images_are_the_released_ones_to_the_bit(released, golden):
    assert np.array_equal(arm.imresize(released["hr_rgb_uint8"], 0.25), released["down4_uint8"])
    pipeline = np.load(golden / "arm_pipeline.npz")
    assert np.array_equal(arm.degrade(pipeline["hr_rgb"])[1], pipeline["lr_rgb"])
    unit = arm.imresize(released["hr_rgb_uint8"] / 255, 0.25)
    assert np.abs(unit - released["down4_float_0_1"]).max() < 1e-5
    large = arm.imresize(released["down4_uint8"].astype(np.float32), 4)
    assert np.abs(large - released["up4_of_down4_uint8_float_0_255"]).max() < 1e-3


def test_published_small_images_are_nearly_ours(shared):
    folder = shared / "data" / "sr"
    for name in ("bird", "head"):
        large = np.array(Image.open(folder / "Set5" / f"{name}.webp").convert("RGB"))
        small = np.array(Image.open(folder / "Set5_LR" / f"{name}_x4.webp").convert("RGB"))
        made = arm.degrade(large)[1].astype(float)
        assert np.abs(made - small).mean() < 0.2  # MATLAB's own, from another colour pipeline
        assert np.abs(made - small).max() <= 12


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.floats(0.1, 5), st.integers(0, 255))
def test_flat_stays_flat_and_weights_sum_to_one(n, scale, level):
    weights, places = contributions(n, scale)
    assert np.allclose(weights.sum(1), 1)
    assert places.min() >= 0
    assert places.max() < n
    image = np.full((n, 3, 3), level, np.uint8)
    made = arm.imresize(image, scale)
    assert (made == level).all()
    assert made.shape[0] == int(np.ceil(round(n * scale, 9)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.25, 0.5, 2, 3]))
def test_mirroring_and_transposing_commute_with_resizing(seed, scale):
    image = np.random.default_rng(seed).uniform(0, 1, (12, 16)).astype(np.float32)
    made = arm.imresize(image, scale)
    assert np.allclose(arm.imresize(image[::-1], scale)[::-1], made, atol=1e-6)
    assert np.allclose(arm.imresize(image.T, scale).T, made, atol=1e-6)
    colour = arm.imresize(np.stack([image, image, 1 - image], 2), scale)
    assert np.array_equal(colour[..., 0], made)


def test_sixteen_bits_are_rounded_and_clipped_to_their_own_range():
    image = np.zeros((8, 8), np.uint16)
    image[:, 4:] = 65535
    made = arm.imresize(image, 2)
    assert made.dtype == np.uint16
    assert made.min() == 0
    assert made.max() == 65535  # the overshoot is clipped
    assert arm.imresize(image / 65535, 2).max() > 1


@pytest.mark.parametrize("scale", [0, -1, np.inf, np.nan, True])
def test_bad_scales_are_refused(scale):
    with pytest.raises(ValueError, match="scale is"):
        arm.imresize(np.zeros((4, 4)), scale)


def test_bad_images_are_refused():
    with pytest.raises(TypeError, match="bool"):
        arm.imresize(np.zeros((4, 4), bool), 2)
    with pytest.raises(ValueError, match="not empty"):
        arm.imresize(np.zeros((0, 4)), 2)
    with pytest.raises(ValueError, match=r"\(h, w\)"):
        arm.imresize(np.zeros(4), 2)
    with pytest.raises(TypeError, match="give uint8"):
        arm.degrade(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match="smaller than the scale"):
        arm.degrade(np.zeros((3, 8, 3), np.uint8))


def test_grids_are_the_released_ones(golden):
    grids = np.load(golden / "arm_crop_combine.npz")
    for key in grids:
        if key.startswith("rows_"):
            h, w = map(int, key[5:].split("x"))
            assert arm.cut_starts(h, 32, 28) == grids[key].tolist()
            assert arm.cut_starts(w, 32, 28) == grids[f"cols_{h}x{w}"].tolist()


def test_flush_patches_are_added_where_enough_remains():
    assert len(arm.cut_starts(510, 32, 28, 12)) * len(arm.cut_starts(339, 32, 28, 12)) == 216
    assert arm.cut_starts(72, 32, 28, 12) == [0, 28]  # 12 remain: not more than 12
    assert arm.cut_starts(73, 32, 28, 12) == [0, 28, 41]
    assert arm.cut_starts(32, 32, 28, 12) == [0]
    with pytest.raises(ValueError, match="holds no patch"):
        arm.cut_starts(31, 32, 28)
