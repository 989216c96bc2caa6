"""MobileNetV1: the published sizes."""

import pytest
import torch

from lithe import cost, zoo


def test_parameters_and_macs_are_the_published_ones():
    with torch.device("meta"):
        model = zoo.mobilenet_v1()
        found = cost.count(model, torch.zeros(1, 3, 224, 224))
    assert found.params == 4_231_976  # 4.2 million
    assert found.macs == 568_740_352  # 569 million


@pytest.mark.parametrize("width", [0.25, 0.5, 1.4])
def test_widths_scale_and_stay_multiples_of_eight(width):
    with torch.device("meta"):
        model = zoo.mobilenet_v1(7, width, stem_stride=1)
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    filters = [m.out_channels for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(f % 8 == 0 for f in filters)
    assert filters[-1] == 1024 * width // 8 * 8


def test_weights_come_from_the_generator_alone():
    one, two = (
        zoo.mobilenet_v1(5, 0.25, generator=torch.Generator().manual_seed(1)).state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_width_of_nothing_is_refused():
    with pytest.raises(ValueError, match="width is 0"):
        zoo.mobilenet_v1(width=0)
