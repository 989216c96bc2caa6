"""What makes no sense is refused where it enters, by name."""

import pytest
import torch
from torch import nn

from lithe import dcff, export, zoo

NAN, INF = float("nan"), float("inf")
IMAGE = torch.zeros(1, 3, 8, 8)


def network():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))


@pytest.mark.parametrize("call", [dcff.compact, dcff.fused_layers])
def test_a_model_that_is_none_is_refused(call):
    with pytest.raises(TypeError, match=r"a str, not a torch\.nn\.Module"):
        call("vgg16")


@pytest.mark.parametrize("rates", ["0.5", [0.5], {}, {"0": "0.5"}])
def test_rates_that_are_no_numbers_are_refused(rates):
    with pytest.raises(ValueError, match=r"rates is .*; give a number or"):
        dcff.convert(network(), rates, IMAGE)


@pytest.mark.parametrize("target", ["macs", 0.5, {}, {"macs": "0.5"}])
def test_targets_that_are_no_mapping_to_numbers_are_refused(target):
    with pytest.raises(ValueError, match=r"target is .*; give {'macs': 0.5}"):
        dcff.convert(network(), None, IMAGE, target=target)


def test_weights_that_are_not_finite_are_refused_with_their_layer():
    model = network()
    model[0].weight.data[0] = NAN
    with pytest.raises(ValueError, match=r"^0: 1 of 8 filters hold NaN"):
        dcff.convert(model, 0.5, IMAGE)


def test_one_name_may_be_skipped_without_a_list():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3))
    report = dcff.convert(model, 0.5, IMAGE, skip="1").conversion
    assert report.skipped["1"] == "left out on request"
    with pytest.raises(ValueError, match="skip names conv1; convolutions are 0, 1, 2"):
        dcff.convert(model, 0.5, IMAGE, skip="conv1")


@pytest.mark.parametrize("rate", ["0.5", None, NAN, 1.0, -0.1])
def test_a_rate_is_a_number_below_one(rate):
    with pytest.raises(ValueError, match=r"rate is .*; it must be a number in \[0, 1\)"):
        dcff.kept(8, rate)


def test_a_multiple_is_checked_at_rate_zero_too():
    with pytest.raises(ValueError, match="multiple_of is 0"):
        dcff.kept(8, 0.0, multiple_of=0)


@pytest.mark.parametrize("change", [{"epoch": "1"}, {"start": "1"}, {"end": None}])
def test_a_schedule_takes_numbers(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        dcff.inverse_temperature(**{"epoch": 1, "epochs": 10, **change})


@pytest.mark.parametrize(
    ("distance", "t"),
    [
        (torch.full((2, 2), NAN), 1.0),
        (torch.tensor([[0.0, INF], [INF, 0.0]]), 0.0),
        (torch.tensor([[0.0, 3.0], [3.0, 0.0]]), 1.7e308),
        (torch.zeros(0, 0), 1.0),
    ],
)
def test_proxies_without_finite_logarithms_are_refused(distance, t):
    with pytest.raises(ValueError, match=r"not finite|must be square"):
        dcff.log_proxy(distance, t)


@pytest.mark.parametrize("previous", [[0.2, 0.7], [[0], [1]]])
def test_slots_are_a_list_of_whole_numbers(previous):
    with pytest.raises(ValueError, match="2 distinct indices below 3"):
        dcff.select(torch.rand(3), 2, torch.tensor(previous), "slot_stable")


@pytest.mark.parametrize("t", [NAN, INF, -1.0])
@pytest.mark.parametrize("mode", ["intended", "released"])
def test_a_schedule_of_ones_own_may_not_leave_its_range(mode, t):
    model = dcff.convert(network(), 0.5, IMAGE)
    with pytest.raises(ValueError, match="temperature gave"):
        dcff.refresh(model, 0, 10, mode, temperature=lambda epoch, epochs: t)


@pytest.mark.parametrize(
    "sizes", [{"kernel_size": 0}, {"stride": 0}, {"dilation": 0}, {"padding": "sam"}]
)
def test_a_layer_with_impossible_sizes_is_refused(sizes):
    with pytest.raises(ValueError, match=r"each at least 1|'valid' or 'same'"):
        dcff.FusedConv2d(3, 8, 4, **{"kernel_size": 3, **sizes})


@pytest.mark.parametrize(
    ("rows", "selected", "says"),
    [([[2.0, -1.0]], [0], "must not be negative"), ([[1.0, 0.0]], [7], "filters are 0 to 1")],
)
def test_rows_that_mix_nothing_sensible_are_refused(rows, selected, says):
    layer = dcff.FusedConv2d(3, 2, 1, 3)
    with pytest.raises(ValueError, match=says):
        layer.set_rows(torch.tensor(rows), torch.tensor(selected))


def test_a_share_that_cannot_be_met_is_answered_with_a_share():
    net, image = zoo.small_cnn(widths=(4, 4)), torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"cannot be met: the least is 0\.\d+"):
        dcff.convert(net, None, image, target={"macs": 1e-6})


def test_an_uncompacted_network_is_named_when_it_cannot_be_saved(tmp_path):
    image = torch.zeros(1, 3, 8, 8)
    fused = dcff.convert(zoo.small_cnn(widths=(4, 4)), 0.5, image)
    with pytest.raises(export.ExportError, match="'0' is a FusedConv2d"):
        export.save(fused, tmp_path / "net", image)


def test_a_wrong_example_is_one_line():
    with pytest.raises(ValueError, match="does not run") as error:
        dcff.convert(zoo.small_cnn(), 0.5, torch.zeros(1, 4, 16, 16))
    assert len(str(error.value).splitlines()) == 1
