"""Reference networks: shapes, names, first weights, and the released ResNet-20."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from lithe import zoo

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("build", [zoo.resnet20, zoo.vgg16, zoo.googlenet, zoo.small_cnn])
def test_images_become_logits_and_every_weight_gets_a_gradient(build):
    net = build(classes=7, generator=torch.Generator().manual_seed(0))
    logits = net(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_resnet50_shape_on_meta():
    with torch.device("meta"):
        assert zoo.resnet50()(torch.zeros(2, 3, 224, 224)).shape == (2, 1000)


@pytest.mark.parametrize("build", [zoo.resnet20, zoo.vgg16, zoo.small_cnn])
def test_weights_come_from_the_generator_alone(build):
    state = torch.random.get_rng_state()
    one, two, three = (
        build(generator=torch.Generator().manual_seed(seed)).state_dict() for seed in (3, 3, 4)
    )
    torch.random.set_rng_state(state)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], three[key]) for key in one if "weight" in key)


def test_kaiming_normal_has_its_variance():
    net = zoo.resnet_cifar(20, generator=torch.Generator().manual_seed(0))
    weight = net.layer3[1].conv1.weight
    # 36,864 draws: the standard deviation is known to 0.4 % (one sigma)
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    fanned = zoo.kaiming_normal_(nn.Conv2d(16, 64, 3), "fan_out")
    assert fanned.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


def test_released_resnet20_classifies_as_published(shared):
    net = zoo.resnet20().eval()
    weights = load_file(shared / "data" / "weights" / "resnet20_cifar10.safetensors")
    missing, unexpected = net.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    folder = shared / "data" / "cifar10"
    sheet = np.asarray(Image.open(folder / "test.webp").convert("RGB"))
    tiles = sheet.reshape(-1, 32, 25, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)
    with np.load(folder / "labels.npz") as arrays:
        labels = torch.from_numpy(arrays["y_test"].astype("int64"))
    x = torch.from_numpy(tiles[:1017].copy()).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        right = sum(
            int((net(batch).argmax(1) == label).sum())
            for batch, label in zip(x.split(128), labels.split(128))
        )
    assert right == 932


def test_kept_widths_narrow_the_network_by_name():
    net = zoo.resnet_cifar(20, kept={"layer1.0.conv1": 5})
    assert net.layer1[0].conv1.weight.shape == (5, 16, 3, 3)
    assert net.layer1[0].conv2.weight.shape == (16, 5, 3, 3)
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_option_a_shortcut_pads_the_smaller_half_left():
    from lithe.zoo.resnet_cifar import PadShortcut

    y = PadShortcut(6, 25, 2)(torch.ones(1, 6, 8, 8))
    assert y.shape == (1, 25, 4, 4)
    assert y[0, :, 0, 0].nonzero().flatten().tolist() == list(range(9, 15))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: zoo.resnet_cifar(21), "depth is 21"),
        (lambda: zoo.vgg16(kept={"features.1": 3}), "features.1"),
        (lambda: zoo.vgg16(kept={"features.0": 65}), "65 of 64"),
        (lambda: zoo.vgg16(kept={"features.0": 0}), "0 of 64"),
        (lambda: zoo.small_cnn(widths=()), "at least one"),
        (lambda: zoo.small_cnn(widths=(4, 0)), r"\(4, 0\)"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
