"""The upscaler: tiled equals whole, budgets are kept, the released pipeline is reproduced."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from lithe.arm import EdgeTable, Mixed, Supernet, load_official, official_table, psnr
from lithe.arm.branches import Interpolation
from lithe.arm.budget import BudgetError
from lithe.arm.released_cutting import combine, crop
from lithe.arm.upscaler import Upscaler


def table(m=4, bins=8):
    """Busier patches gain more, larger branches gain more, ever less so."""
    edges = np.linspace(0, 120, bins + 1)
    gain = np.outer(1 - 0.5 ** np.arange(m), np.arange(bins) + 1.0)
    return EdgeTable(edges, 30 + gain, np.ones(bins), names=tuple(f"b{j}" for j in range(m)))


@pytest.fixture(scope="module")
def fsrcnn():
    return Supernet("fsrcnn", generator=torch.Generator().manual_seed(0)).eval()


def picture(h, w, seed=0):
    """Smooth at the left, noise at the right."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(40, 200, w)[None, :, None] + np.zeros((h, 1, 3))
    noise = rng.normal(0, 40, (h, w, 3)) * (np.arange(w)[None, :, None] > w / 2)
    return (ramp + noise).clip(0, 255).astype(np.uint8)


def whole(branches, image, branch):
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        y = branches(x, branch)[0].clamp(0, 1)
    return y.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("branch", [0, 1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 7), (97, 131)])
def test_tiled_is_whole(fsrcnn, branch, size):
    image = picture(*size)
    only = Mixed([fsrcnn.branch(branch)])
    made = Upscaler(only, largest=32)(image.astype(np.float32) / 255)
    np.testing.assert_allclose(made.image, whole(fsrcnn, image, branch), atol=1e-5)
    assert made.image.shape == (4 * size[0], 4 * size[1], 3)


def test_a_deep_network_tiled_is_whole(golden):
    carn = load_official(golden / "arm_carn_official.safetensors", "carn")
    image = picture(40, 67)
    only = Mixed([carn.branch(1)])
    expected = whole(carn, image, 1)
    exact = Upscaler(only, largest=32)
    np.testing.assert_allclose(exact(image / 255).image, expected, atol=1e-5)
    visible = Upscaler(only, largest=32, halo="visible")
    assert visible.halos[0] < exact.halos[0] == 21
    np.testing.assert_allclose(visible(image / 255).image, expected, atol=1 / 255)
    assert visible(image).macs < 0.7 * exact(image).macs
    # without any margin the seams show: the comparison above can fail
    bare = Upscaler(only, largest=32, halo=0)(image / 255).image
    assert np.abs(bare - expected).max() > 5 / 255


def test_each_cell_is_the_whole_pass_of_its_branch(fsrcnn):
    image = picture(100, 150)
    up = Upscaler(fsrcnn, table())
    made = up(image, macs=0.5 * up(image).macs)
    assert len(set(made.routes.flat)) > 1
    passes = [np.rint(255 * whole(fsrcnn, image, j)) for j in range(4)]
    branch_of_pixel = made.routes.repeat(128, 0).repeat(128, 1)[:400, :600]
    expected = np.choose(branch_of_pixel[..., None], passes)
    assert np.abs(made.image - expected).max() <= 1  # a tie rounded the other way


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.8, 1.0])
def test_a_number_of_macs_is_kept_and_used(fsrcnn, share):
    image, up = picture(160, 224), Upscaler(fsrcnn, table(), largest=64)
    most = up(image).macs
    made = up(image, macs=share * most)
    assert made.macs <= share * most
    dearest_step = up.macs_per_pixel[-1] * 46**2  # one small tile with its margin
    assert made.macs > share * most - dearest_step
    assert sum(made.counts.values()) == made.routes.size == 35


def test_more_macs_never_mean_less_expected_gain(fsrcnn):
    image, up = picture(128, 160), Upscaler(fsrcnn, table())
    gains = up.gains(image)
    most, totals = up(image).macs, []
    for share in np.linspace(0, 1.2, 9):
        routes = up(image, macs=share * most).routes
        totals.append(np.take_along_axis(gains, routes[..., None], -1).sum())
    assert (np.diff(totals) >= -0.01 * gains.max()).all()


def test_eta_goes_from_interpolation_to_the_best(fsrcnn):
    image, up = picture(96, 128), Upscaler(fsrcnn, table())
    assert not up(image, eta=0).routes.any()
    assert (up(image, eta="best").routes == 3).all()
    assert up(image, eta=float("inf")).macs == up(image, eta="best").macs
    macs = [up(image, eta=eta).macs for eta in (1e5, 1e6, 1e7, 1e8)]
    assert macs == sorted(macs)
    assert macs[0] < macs[-1]


def test_a_budget_below_the_cheapest_branch_is_refused(fsrcnn):
    net = Mixed([fsrcnn.branch(1), fsrcnn.branch(3)])
    up = Upscaler(net, table(2))
    with pytest.raises(BudgetError, match=r"below .* what the cheapest branch costs"):
        up(picture(40, 40), macs=1e6)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"eta": 1.0, "macs": 5}, "one budget at a time; these were given: eta, macs"),
        ({"macs": -1}, "macs is -1; it must be a positive number"),
        ({"ms": 0}, "ms is 0"),
        ({"deadline_ms": float("nan")}, "deadline_ms is nan"),
        ({"eta": "better"}, "eta is 'better'"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(fsrcnn, budget, message):
    with pytest.raises(ValueError, match=message):
        Upscaler(fsrcnn, table())(picture(8, 8), **budget)


def test_tables_and_margins_must_fit(fsrcnn):
    with pytest.raises(ValueError, match="the table has 3 branches, there are 4"):
        Upscaler(fsrcnn, table(3))
    with pytest.raises(ValueError, match="needs an edge table"):
        Upscaler(fsrcnn)(picture(8, 8), macs=1)
    with pytest.raises(ValueError, match="halo is 'wide'"):
        Upscaler(fsrcnn, halo="wide")
    with pytest.raises(ValueError, match="largest is 100"):
        Upscaler(fsrcnn, largest=100)


def test_progress_reaches_the_whole(fsrcnn):
    seen = []
    Upscaler(fsrcnn, largest=32)(picture(64, 80), tick=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (64 * 80, 64 * 80)
    assert seen == sorted(seen)


class Bare(nn.Module):
    """Any network that enlarges may be a branch; its reach is found from its graph."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 27, 5, padding=2)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.conv(x), 3)


def test_a_network_of_ones_own_behind_the_router():
    net = Bare().eval()
    up = Upscaler(Mixed([Interpolation(3), net]), table(2), largest=32)
    assert up.halos == [2, 2]
    image = picture(50, 70)
    np.testing.assert_allclose(
        up(image / 255, eta="best").image, whole(Mixed([net]), image, 0), atol=1e-5
    )


def test_images_come_back_as_they_went_in(fsrcnn):
    up = Upscaler(fsrcnn)
    gray = picture(20, 30)[..., 0]
    assert up(gray).image.shape == (80, 120)
    assert up(gray[..., None]).image.shape == (80, 120, 1)
    assert up(gray.astype(np.uint16) * 257).image.dtype == np.uint16
    assert up(gray / 255).image.dtype == np.float32
    made = up(Image.fromarray(gray)).image
    assert (made.mode, made.size) == ("L", (120, 80))
    np.testing.assert_array_equal(np.asarray(made), up(gray).image)


def test_sixteen_bits_are_not_cut_to_eight(fsrcnn):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (24, 24, 3)).astype(np.uint16)
    made = Upscaler(Mixed([fsrcnn.branch(0)]))(deep).image
    expected = whole(Mixed([fsrcnn.branch(0)]), np.float32(deep / 65535) * 255, 0)
    assert np.abs(made / 65535 - expected).max() < 1e-4
    assert len(np.unique(made)) > 5000


def test_cutting_as_released(golden):
    file = np.load(golden / "arm_crop_combine.npz")
    for key in (name for name in file.files if name.startswith("rows_")):
        size = key.removeprefix("rows_")
        h, w = map(int, size.split("x"))
        image = np.arange(h * w, dtype=np.int64).reshape(h, w, 1)
        patches, rows, columns = crop(image)
        corners = [divmod(int(first), w) for first in patches[:, 0, 0, 0]]
        assert [r for r, _ in corners[::columns]] == file[key].tolist()
        assert [c for _, c in corners[:columns]] == file[f"cols_{size}"].tolist()
        assert len(patches) == rows * columns
    made = combine(file["combine_patches_uint8"], *file["combine_grid"], 112)
    np.testing.assert_array_equal(made, file["combine_out_float32"])


@pytest.mark.parametrize(("backbone", "k_of_image"), [("fsrcnn", 0.8), ("carn", 1.3)])
def test_the_released_pipeline(golden, backbone, k_of_image):
    file = np.load(golden / "arm_pipeline.npz")
    supernet = load_official(golden / f"arm_{backbone}_official.safetensors", backbone)
    official, costs = official_table(golden / "arm_lut_official.npz", backbone)
    up = Upscaler(supernet, official)
    for number, k in enumerate(file[f"{backbone}_k"]):
        if backbone == "carn" and k != k_of_image:
            continue
        made = up(file["lr_rgb"], eta=k * costs.max(), released=True)
        choice = file[f"{backbone}_choice"][number]
        np.testing.assert_array_equal(made.routes.ravel(), choice)
        assert costs[made.routes].mean() == file[f"{backbone}_flops"][number]
        expected = file[f"{backbone}_psnr"][number]
        assert psnr(made.image, file["hr_rgb"], border=4) == pytest.approx(expected, abs=1e-4)
        if k == k_of_image:
            stored = file[f"{backbone}_sr_rgb_float32_k{k_of_image}"]
            assert np.abs(made.image - stored).max() <= 1
            assert (made.image != stored).mean() < 1e-3


def test_the_released_mode_refuses_what_it_cannot_cut(fsrcnn):
    up = Upscaler(fsrcnn, table())
    with pytest.raises(ValueError, match="holds no patch of 32"):
        up(picture(20, 40), released=True)
    with pytest.raises(ValueError, match="8-bit"):
        up(picture(40, 40) / 255, released=True)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 75), st.integers(1, 75), st.integers(0, 9), st.floats(0, 1))
def test_any_size_any_budget(h, w, seed, share):
    up, net = _toy_upscaler()
    image = picture(h, w, seed)
    made = up(image, macs=share * up(image).macs)
    assert made.image.shape == (2 * h, 2 * w, 3)
    passes = [np.rint(255 * whole(net, image, j)) for j in range(3)]
    branch = made.routes.repeat(64, 0).repeat(64, 1)[: 2 * h, : 2 * w]
    assert np.abs(made.image - np.choose(branch[..., None], passes)).max() <= 1


@cache
def _toy_upscaler():
    toy = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)).eval()
    net = Mixed([Interpolation(2), Interpolation(2, "bilinear"), toy])
    return Upscaler(net, table(3), largest=64), net


def test_the_released_rule_refuses_a_table_of_squared_errors(fsrcnn):
    up = Upscaler(fsrcnn, dataclasses.replace(table(), target="mse"))
    with pytest.raises(ValueError, match="decibels"):
        up(picture(40, 40), eta=1e6, released=True)
    assert up(picture(40, 40), released=True).routes.min() == 3  # without a price nothing is asked
