"""PSNR and SSIM against the released numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lithe import arm


@pytest.fixture(scope="module")
def released(golden):
    return np.load(golden / "arm_metrics.npz")


@pytest.mark.parametrize("other", ["b_rgb", "c_rgb", "d_rgb_float32"])
def test_psnr_and_ssim(released, other):
    a, b, name = released["a_rgb"], released[other], other[0]
    assert arm.psnr(a, b) == pytest.approx(float(released[f"psnr_rgb_a_{name}"]), abs=1e-9)
    inner = float(released[f"psnr_rgb_crop4_a_{name}"])
    assert arm.psnr(a, b, 4) == pytest.approx(inner, abs=1e-9)
    luma = float(released[f"psnr_y_crop4_a_{name}"])
    assert arm.psnr(a, b, 4, "y") == pytest.approx(luma, abs=1e-4)
    if f"ssim_rgb_a_{name}" in released:
        assert arm.ssim(a, b) == pytest.approx(float(released[f"ssim_rgb_a_{name}"]), abs=1e-9)
        grey = float(released[f"ssim_y_a_{name}"])
        assert arm.ssim(a, b, channel="y") == pytest.approx(grey, abs=1e-9)


def test_luma_and_equal_images(released):
    a = released["a_rgb"]
    assert np.allclose(arm.luma(a), released["y_of_a_float64"], rtol=0, atol=1e-9)
    assert arm.psnr(a, a) == float(released["psnr_identical"]) == arm.psnr_of(0.0)
    assert arm.ssim(a, a) == pytest.approx(1)
    assert arm.psnr_of(np.array([0.0, 255.0**2])).tolist() == [80.0, 0.0]


def test_bicubic_on_set5_is_the_published_oracle(shared):
    from PIL import Image

    found = []
    for path in sorted((shared / "data" / "sr" / "Set5").iterdir()):
        large, small = arm.degrade(np.array(Image.open(path).convert("RGB")))
        back = arm.imresize(small, 4)
        found.append(arm.psnr(large, back, 4, "y"))
    assert np.mean(found) == pytest.approx(28.43, abs=0.02)


def test_bad_pairs_are_refused():
    a = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        arm.psnr(a, a[:7])
    with pytest.raises(ValueError, match="leaves nothing"):
        arm.psnr(a, a, 4)
    with pytest.raises(ValueError, match="channel is 'g'"):
        arm.psnr(a, a, channel="g")
    with pytest.raises(ValueError, match="SSIM needs"):
        arm.ssim(a, a)
