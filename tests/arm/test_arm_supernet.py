"""Supernets: the released forward passes, prefix slicing, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.func import functional_call

from lithe import arm, export
from lithe.arm.receptive import receptive_field


@pytest.fixture(scope="module", params=["fsrcnn", "carn"])
def released(request, golden):
    name = request.param
    net = arm.load_official(golden / f"arm_{name}_official.safetensors", name)
    return name, net, np.load(golden / f"arm_{name}_forward.npz")


@torch.no_grad()
def test_released_weights_give_the_released_outputs_at_every_width(released):
    _, net, forward = released
    compared = 0
    for width in net.widths[1:]:
        for size in ("32", "_small"):
            if f"y{size}_w{width}" in forward:
                made = net(torch.from_numpy(forward[f"x{size}"]), width)
                assert np.abs(made.numpy() - forward[f"y{size}_w{width}"]).max() < 1e-5
                compared += 1
    assert compared == {56: 6, 64: 4}[net.widths[-1]]


@torch.no_grad()
def test_intermediate_tensors_are_the_released_ones(released):
    name, net, forward = released
    x = torch.from_numpy(forward["x_small"])
    for width in net.widths[1:]:
        branch, found = net.branch(width), {}
        if name == "fsrcnn":
            found["head"] = branch.head_conv(x)
            found["body"] = branch.body_conv(found["head"])
        else:
            found["submean"] = branch.sub_mean(x)
            found["entry"] = branch.entry(found["submean"])
            found["b1"] = branch.b1(found["entry"])
        for key, tensor in found.items():
            if f"small_{key}_w{width}" in forward:
                assert np.abs(tensor.numpy() - forward[f"small_{key}_w{width}"]).max() < 1e-5


@torch.no_grad()
def test_srresnet_of_two_blocks_gives_the_released_outputs(golden):
    forward = np.load(golden / "arm_srresnet_tiny_forward.npz")
    net = arm.Supernet("srresnet", widths=(9, 13, 16), blocks=2)
    weights = {k[2:]: torch.from_numpy(forward[k]) for k in forward if k.startswith("W/")}
    net.full.load_state_dict(weights)
    for width in (9, 13, 16):
        made = net(torch.from_numpy(forward["x"]), width)
        assert np.abs(made.numpy() - forward[f"y_w{width}"]).max() < 1e-5


def test_keys_and_shapes_are_the_released_ones(golden):
    keys = json.loads((golden / "arm_official_keys.json").read_text())
    for name, rows in keys.items():
        own = {k: list(t.shape) for k, t in arm.Supernet(name).full.state_dict().items()}
        assert own == {row["key"]: row["shape"] for row in rows}


def test_prefixes_align_neither_groups_nor_concatenations():
    net = arm.Supernet("carn")
    tensors, full = net.tensors(36), dict(net.full.named_parameters())
    assert torch.equal(tensors["c1.0.weight"], full["c1.0.weight"][:36, :72])
    assert torch.equal(tensors["b1.b1.body.0.weight"], full["b1.b1.body.0.weight"][:36, :9])
    assert torch.equal(
        tensors["upsample.up.body.0.weight"], full["upsample.up.body.0.weight"][:144, :9]
    )
    deconv = arm.Supernet("fsrcnn").tensors(16)["tail_conv.weight"]
    assert tuple(deconv.shape) == (16, 3, 9, 9)


def test_gradients_reach_the_prefix_and_nothing_else():
    net = arm.Supernet("fsrcnn", widths=(4, 8), base="bilinear", interpolation=None)
    net(torch.rand(1, 3, 9, 8), 4).sum().backward()
    grad = net.full.tail_conv.weight.grad
    assert grad[:4].abs().sum() > 0
    assert grad[4:].abs().sum() == 0


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["fsrcnn", "carn", "srresnet"])
def test_a_branch_is_the_same_network_on_its_own(backbone):
    options = {"blocks": 2} if backbone == "srresnet" else {}
    net = arm.Supernet(backbone, widths=(8, 16), **options)
    x = torch.rand(2, 3, 7, 9)
    deployed = net.deployed()
    for index, width in enumerate(net.widths):
        assert torch.equal(net(x, index), net(x, width))
        assert torch.allclose(net.branch(index)(x), net(x, width), atol=1e-6)
        assert torch.allclose(deployed(x, index), net(x, width), atol=1e-6)
    net.full.load_state_dict({k: t + 1 for k, t in net.full.state_dict().items()})
    assert not torch.allclose(deployed(x, 2), net(x, 2))  # its weights are its own


@torch.no_grad()
def test_branch_0_is_torch_bicubic_and_free():
    net, x = arm.Supernet("fsrcnn"), torch.rand(1, 3, 6, 5)
    expected = nn.functional.interpolate(x, scale_factor=4, mode="bicubic", align_corners=False)
    assert torch.equal(net(x, 0), expected)
    assert net.macs(0) == net.released_cost(0) == net.params(0) == 0


def test_interpolation_is_the_released_one(golden):
    sizes = np.load(golden / "arm_imresize.npz")
    x = torch.from_numpy(sizes["down4_uint8"]).permute(2, 0, 1)[None].float() / 255
    for mode in ("bicubic", "bilinear"):
        made = arm.Interpolation(4, mode)(x)[0].numpy()
        assert np.abs(made - sizes[f"torch_{mode}_x4_0_1"]).max() < 1e-5


def test_first_weights_are_a_function_of_the_generator():
    one, two, other = (
        arm.Supernet("carn", widths=(8,), generator=torch.Generator().manual_seed(s)).full
        for s in (1, 1, 2)
    )
    assert torch.equal(one.entry.weight, two.entry.weight)
    assert not torch.equal(one.entry.weight, other.entry.weight)


def test_released_start_is_a_tenth_of_kaiming():
    generator = torch.Generator().manual_seed(0)
    net = arm.Supernet("srresnet", widths=(64,), blocks=1, generator=generator).full
    weight = net.recon_trunk[0].conv1.weight
    assert float(weight.detach().std()) == pytest.approx(0.1 * (2 / (64 * 9)) ** 0.5, rel=0.02)
    assert net.conv_first.bias.abs().max() == 0


@torch.no_grad()
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("make", [arm.FSRCNN, arm.CARN])
def test_other_scales_have_the_right_size_and_reach(make, scale):
    net = make(8, scale)
    assert net(torch.rand(1, 3, 5, 6)).shape == (1, 3, 5 * scale, 6 * scale)
    assert net.halo == receptive_field(net)


@torch.no_grad()
@pytest.mark.parametrize(
    "net",
    [
        arm.FSRCNN(4),
        arm.FSRCNN(4, 2),
        arm.FSRCNN(4, 3, base="bilinear"),
        arm.CARN(4),
        arm.SRResNet(4, 2),
        arm.Interpolation(4, "bicubic"),
        arm.Interpolation(4, "bilinear"),
        arm.Interpolation(3, "nearest"),
    ],
    ids=lambda net: f"{type(net).__name__}-{net.scale}",
)
def test_the_declared_reach_is_what_a_spoilt_pixel_spoils(net):
    # not-a-number spreads to everything that reads it; float64 kernels mix no other pixels in
    net, side = net.double(), 2 * net.halo + 3
    for axis in (2, 3):
        x = torch.rand(1, 3, side, side, dtype=torch.float64)
        x[:, :, side // 2, side // 2] = torch.nan
        spoilt = net(x)[0].isnan().any(0).any(3 - axis).view(side, net.scale).any(1).nonzero()
        reach = max(side // 2 - int(spoilt.min()), int(spoilt.max()) - side // 2)
        assert reach == net.halo


def test_a_width_goes_through_export(tmp_path):
    net = arm.Supernet("fsrcnn", widths=(4, 8)).branch(4)
    export.save(net, tmp_path / "net", torch.rand(1, 3, 8, 8))
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(export.load(tmp_path / "net")(x), net(x))


def test_a_backbone_of_ones_own():
    def make(width, generator=None):
        return nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 12, 1), nn.PixelShuffle(2)
        )

    net = arm.Supernet(make, 2, widths=(6, 10))
    x = torch.rand(1, 3, 8, 8)
    own = functional_call(make(6), net.tensors(6), (x,))
    assert torch.equal(net(x, 6), own)
    assert net.names == ("bicubic", "make-6", "make-10")


def test_what_is_refused():
    with pytest.raises(ValueError, match="backbone is 'edsr'"):
        arm.Supernet("edsr")
    with pytest.raises(ValueError, match=r"width is 20; this supernet has the widths \(0, 16"):
        arm.Supernet("fsrcnn")(torch.rand(1, 3, 8, 8), 20)
    with pytest.raises(ValueError, match="branch number"):
        arm.Supernet("fsrcnn", widths=(1, 3, 8))
    with pytest.raises(ValueError, match="rising"):
        arm.Supernet("fsrcnn", widths=(16, 8))
    with pytest.raises(ValueError, match="groups"):
        arm.Supernet("carn", widths=(30, 64))
    with pytest.raises(ValueError, match="needs widths"):
        arm.Supernet(lambda width: nn.Conv2d(3, width, 1))
    with pytest.raises(ValueError, match="must be a prefix"):
        arm.Supernet(lambda width: nn.Conv2d(3, 60 // width, 1), widths=(6, 10))
    with pytest.raises(ValueError, match="scale is 5"):
        arm.Supernet("fsrcnn", 5)
    with pytest.raises(ValueError, match="mode is 'lanczos'"):
        arm.Interpolation(4, "lanczos")


def test_images_that_are_none_are_refused():
    net = arm.Supernet("fsrcnn", widths=(4, 8))
    for branches in (net, arm.slimmable(net.branch(2), torch.rand(1, 3, 8, 8))):
        with pytest.raises(TypeError, match="uint8"):
            branches(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 0)
        with pytest.raises(ValueError, match=r"\(n, 3, h, w\)"):
            branches(torch.rand(3, 8, 8), 1)


def test_weights_of_another_network_are_refused(golden, tmp_path):
    with pytest.raises(ValueError, match="does not hold a carn supernet"):
        arm.load_official(golden / "arm_fsrcnn_official.safetensors", "carn")
    with pytest.raises(FileNotFoundError, match="no weights"):
        arm.load_official(tmp_path / "none.safetensors", "carn")
    (tmp_path / "broken.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(ValueError, match="cannot be read"):
        arm.load_official(tmp_path / "broken.safetensors", "carn")


def test_weights_load_from_npz_and_from_safetensors_alike(tmp_path):
    net = arm.FSRCNN(56)
    np.savez(tmp_path / "w.npz", **{k: t.numpy() for k, t in net.state_dict().items()})
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    one, two = (arm.load_official(tmp_path / f"w.{s}", "fsrcnn") for s in ("npz", "safetensors"))
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(one(x, 36), two(x, 36))
    assert not one.training
