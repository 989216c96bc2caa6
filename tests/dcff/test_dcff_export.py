"""A compact network leaves the house: a plan without its class, and ONNX that computes the same."""

from __future__ import annotations

import torch

from lithe import dcff, export, zoo


def compact_net() -> tuple[torch.nn.Module, torch.Tensor]:
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    net = zoo.small_cnn(generator=torch.Generator().manual_seed(1))
    fused = dcff.convert(net, 0.5, image[:1])
    dcff.refresh(fused, epoch=9, epochs=10)
    return dcff.compact(fused).eval(), image


def test_a_compact_network_reloads_without_its_class(tmp_path):
    net, image = compact_net()
    back = export.load(export.save(net, tmp_path / "small", image[:1]))
    with torch.inference_mode():
        assert torch.equal(back(image), net(image))


def test_a_compact_network_is_the_same_in_onnx(tmp_path):
    net, image = compact_net()
    path = export.to_onnx(net, tmp_path / "small.onnx", image[:1])
    assert export.check_onnx(path, net, image, tolerance=1e-4) <= 1e-4


def test_a_compact_residual_network_survives_both(tmp_path):
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    fused = dcff.convert(zoo.resnet20(generator=torch.Generator().manual_seed(3)), 0.4, image)
    net = dcff.compact(fused).eval()
    back = export.load(export.save(net, tmp_path / "residual", image))
    with torch.inference_mode():
        assert torch.equal(back(image), net(image))
    path = export.to_onnx(net, tmp_path / "residual.onnx", image)
    assert export.check_onnx(path, net, image, tolerance=1e-4) <= 1e-4
