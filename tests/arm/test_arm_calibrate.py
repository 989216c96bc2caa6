"""Patches measured as released, and tables judged on images they have not seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lithe import arm


@pytest.fixture(scope="module")
def pipeline(golden):
    return np.load(golden / "arm_pipeline.npz")


@pytest.mark.parametrize("name", ["fsrcnn", "carn"])
def test_patches_of_a_photograph_are_measured_and_routed_as_released(golden, pipeline, name):
    net = arm.load_official(golden / f"arm_{name}_official.safetensors", name)
    table, costs = arm.official_table(golden / "arm_lut_official.npz", name)
    patches = arm.measure(net, [pipeline["hr_rgb"]], batch=4)
    assert np.array_equal(patches.scores, pipeline["scores"])
    theirs = pipeline[f"{name}_patch_psnr_crop4"]
    # one pixel of 43,200 that rounds the other way moves a patch by 1e-4 dB at the most
    assert np.abs(patches.psnr.T - theirs).max() < 2e-4
    for row, k in enumerate(pipeline[f"{name}_k"]):
        routes = arm.choose_all(table.predict(patches.scores), costs, k * costs.max())
        assert np.array_equal(routes, pipeline[f"{name}_choice"][row])
        assert costs[routes].mean() == pytest.approx(pipeline[f"{name}_flops"][row])


def test_photographs_are_measured_as_released(golden):
    theirs = np.load(golden / "arm_skimage_patch_table.npz")
    net = arm.load_official(golden / "arm_fsrcnn_official.safetensors", "fsrcnn")
    for name, image in arm.photographs(("astronaut", "brick")):
        whole = arm.measure(net, [image], border=0)
        inner = arm.measure(net, [image])
        assert np.array_equal(whole.scores, theirs[f"{name}/score"])
        for j, branch in enumerate(net.names):
            assert np.abs(whole.mse[j] - theirs[f"{name}/mse/{branch}"]).max() < 5e-3
            assert np.abs(inner.psnr[j] - theirs[f"{name}/psnr_crop4/{branch}"]).max() < 3e-4


def test_pixels_are_quantised_half_to_even():
    y = torch.tensor([-0.2, 0.5 / 255, 1.5 / 255, 2.5 / 255, 1.7]).view(1, 1, 1, 5)
    assert arm.to_uint8(y.expand(1, 3, 1, 5))[0, 0, :, 0].tolist() == [0, 0, 2, 2, 255]


def invented(n=400, images=4, seed=0):
    """Patches of which smooth ones gain more in dB and edgy ones more in squared error."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 200, n)
    image = np.arange(n) % images
    error = (scores + 10) * np.exp(0.1 * rng.normal(size=images)[image])
    left = 0.5 + scores / 600 + rng.uniform(-0.1, 0.1, n)
    return arm.Patches(scores, np.stack([error, left * error]), image, ("a", "b"))


def test_each_image_is_predicted_by_the_others():
    patches = invented()
    found = arm.held_out(patches, 8, "mse")
    own = patches.image == 2
    table = patches.of(~own).table(8, "mse")
    assert np.array_equal(found.predicted[:, own], table.predict(patches.scores[own]).T)
    assert np.array_equal(found.measured, patches.mse)
    assert found.bias.shape == found.rmse.shape == (2,)
    assert (found.rmse >= np.abs(found.bias)).all()
    seen = patches.table(8, "mse").predict(patches.scores).T
    assert ((seen - patches.mse) ** 2).mean() < ((found.predicted - patches.mse) ** 2).mean()


def test_the_bins_that_foretell_gains_best_are_taken():
    patches = invented()
    table, found = arm.calibrate(patches, "mse", (1, 10, 300))
    errors = {k: arm.held_out(patches, k, "mse").gain_rmse for k in (1, 10, 300)}
    assert found.bins == table.bins == min(errors, key=errors.get) == 10
    assert found.gain_rmse == errors[10] < min(errors[1], errors[300])
    assert np.array_equal(table.values, patches.table(10, "mse").values)
    assert table.target == "mse"


def test_a_squared_error_table_saves_more_error_than_a_psnr_table_at_the_same_cost():
    patches = invented()
    costs, budget = [0.0, 1.0], 100.0
    left = {}
    for target in ("psnr", "mse"):
        gains = patches.table(20, target).gains(patches.scores)
        routes = arm.allocate(gains, costs, budget)
        left[target] = patches.mse[routes, np.arange(400)].sum()
    best = patches.mse[arm.oracle(patches.mse.T, costs, budget), np.arange(400)].sum()
    assert best <= left["mse"] < left["psnr"]


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="large enough"):
        arm.measure(arm.Mixed([arm.Interpolation()]), [np.zeros((100, 300, 3), np.uint8)])
    one = invented(images=1)
    with pytest.raises(ValueError, match="two or more"):
        arm.held_out(one)
    with pytest.raises(ValueError, match="no numbers of bins"):
        arm.calibrate(one, bins=())
    with pytest.raises(ValueError, match="no photograph 'lena'"):
        next(arm.photographs(("lena",)))
