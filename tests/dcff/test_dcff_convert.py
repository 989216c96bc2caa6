"""Any network made a fused one: what is fused, that it runs, and that nothing is lost."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe import channels, cost, dcff, zoo


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def image(n=1, side=32):
    return torch.randn(n, 3, side, side, generator=generator(5))


class Mixed(nn.Module):
    """Residual sum, depthwise, grouped, concatenation, a bias, a shared layer, pixel shuffle."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.inner = nn.Conv2d(12, 10, 3, padding=1, bias=False)
        self.back = nn.Conv2d(10, 12, 1)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.grouped = nn.Conv2d(12, 8, 1, groups=2)
        self.twice = nn.Conv2d(20, 20, 1)
        self.up = nn.Conv2d(20, 16, 1)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        x = x + self.back(F.relu(self.inner(x)))
        x = self.depthwise(x)
        x = torch.cat([x, self.grouped(x)], 1)
        x = self.twice(F.relu(self.twice(x)))
        return self.out(F.pixel_shuffle(self.up(x), 2))


def trained(build):
    """A network whose batch norms have seen data, so that equalities mean something."""
    torch.manual_seed(0)
    net = build()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(generator=generator())
                module.running_var.uniform_(0.5, 2, generator=generator())
                module.weight.normal_(generator=generator())
                module.bias.normal_(generator=generator())
    return net.eval()


NETWORKS = {
    "small": zoo.small_cnn,
    "resnet20": zoo.resnet20,
    "mixed": Mixed,
}


@pytest.fixture(params=NETWORKS)
def net(request):
    return trained(NETWORKS[request.param])


def onehot(converted):
    """Rows at the final temperature for the selection that the conversion made."""
    dcff.refresh(converted, 1, 2, temperature=1e9, update="never")
    return converted.eval()


def test_rate_zero_loses_nothing(net):
    converted = onehot(dcff.convert(net, 0.0, image()))
    with torch.no_grad():
        torch.testing.assert_close(dcff.compact(converted)(image(2)), net(image(2)))


def test_onehot_conversion_equals_keeping_the_selected_channels(net):
    converted = dcff.convert(net, 0.5, image())
    request = {n: m.selected.clone() for n, m in dcff.fused_layers(converted).items()}
    onehot(converted)
    kept = channels.keep(net, request, image())
    with torch.no_grad():
        torch.testing.assert_close(converted(image(2)), kept(image(2)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(dcff.compact(converted)(image(2)), converted(image(2)))


def test_converted_networks_run_train_and_refresh(net):
    converted = dcff.convert(net, 0.5, image()).train()
    converted(image(2)).square().mean().backward()
    fused = dcff.fused_layers(converted)
    assert all(layer.weight.grad is not None for layer in fused.values())
    for epoch in range(3):
        with torch.no_grad():
            for layer in fused.values():
                layer.weight.add_(torch.randn(layer.weight.shape, generator=generator(epoch)))
        reports = dcff.refresh(converted, epoch, 3)
        assert [report.name for report in reports] == list(fused)
    with torch.no_grad():
        converted.eval()
        torch.testing.assert_close(dcff.compact(converted)(image(2)), converted(image(2)))


def test_the_original_is_left_as_it_was(net):
    before = {key: value.clone() for key, value in net.state_dict().items()}
    dcff.convert(net, 0.5, image())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not dcff.fused_layers(net)


def test_a_plain_chain_has_the_widths_of_its_rates():
    converted = dcff.convert(zoo.small_cnn(), 0.4, image())
    widths = [(layer.n_filters, layer.kept) for layer in dcff.fused_layers(converted).values()]
    assert widths == [(n, dcff.kept(n, 0.4)) for n in (16, 16, 32, 32, 64, 64)]
    narrow = zoo.small_cnn(widths=[m for _, m in widths])
    compact = dcff.compact(converted)
    assert cost.count(compact, image()).macs == cost.count(narrow, image()).macs
    assert {k: v.shape for k, v in compact.state_dict().items()} == {
        k: v.shape for k, v in narrow.state_dict().items()
    }


def test_residual_convolutions_select_the_same_channels_after_every_refresh():
    converted = dcff.convert(zoo.resnet20(), 0.5, image())
    stage = [converted.conv1, *(getattr(converted.layer1, str(k)).conv2 for k in range(3))]
    for epoch in range(3):
        with torch.no_grad():
            for layer in stage:
                layer.weight.copy_(
                    torch.randn(layer.weight.shape, generator=generator(epoch))
                    * torch.linspace(0.1, 2, 16).roll(epoch)[:, None, None, None]
                )
        dcff.refresh(converted, epoch, 3)
        for layer in stage[1:]:
            assert torch.equal(layer.selected, stage[0].selected)


def test_the_report_says_what_was_done_and_why_not():
    report = dcff.convert(trained(Mixed), 0.5, image()).conversion
    fused = {row.name: row for row in report.fused}
    assert set(fused) == {"stem", "inner", "back", "twice", "up"}
    assert fused["stem"].together_with == ("back", "twice")  # its input is its own output
    assert (fused["stem"].filters, fused["stem"].kept) == (12, 6)
    assert fused["up"].kept == 8  # whole blocks of four
    assert report.rate == 0.5
    assert "depthwise" in report.skipped["depthwise"]
    assert report.skipped["grouped"].startswith("2 groups")
    assert "output" in report.skipped["out"]
    assert "fused up: 8 of 16 filters" in str(report)


def test_coupled_convolutions_can_be_left_alone():
    report = dcff.convert(zoo.resnet20(), 0.5, image(), coupled="skip").conversion
    assert [row.name for row in report.fused] == [
        f"layer{s}.{b}.conv1" for s in (1, 2, 3) for b in range(3)
    ]
    assert "conv1" in report.skipped["layer1.0.conv2"]


def test_rates_by_name_leave_the_rest_alone():
    net = zoo.resnet20()
    report = dcff.convert(net, {"layer1.0.conv1": 0.7, "layer2.1.conv1": 0.2}, image()).conversion
    assert [(row.name, row.kept) for row in report.fused] == [
        ("layer1.0.conv1", 4),
        ("layer2.1.conv1", 25),
    ]
    assert report.skipped["layer1.1.conv1"] == "no rate given"
    assert report.rate is None


def test_paper_rates_through_convert_give_the_paper_network():
    config = dcff.PAPER_CONFIGS["vgg16"]
    compact = dcff.compact(
        dcff.convert(dcff.paper_model("vgg16", "dense"), config.layer_rates, image())
    )
    counted = cost.count(compact, image(), "thop031")
    assert (counted.macs, counted.params) == (72_771_956, 1_071_248)


def test_skipped_layers_hold_their_partners():
    report = dcff.convert(zoo.resnet20(), 0.5, image(), skip=("layer1.0.conv2",)).conversion
    assert report.skipped["layer1.0.conv2"] == "left out on request"
    assert "left out on request" in report.skipped["conv1"]


@pytest.mark.parametrize("kind", ["macs", "params"])
def test_target_is_met_and_hardly_missed(kind):
    net = zoo.small_cnn()
    converted = dcff.convert(net, None, image(), target={kind: 0.5})
    share = getattr(cost.count(dcff.compact(converted), image()), kind)
    share /= getattr(cost.count(net, image()), kind)
    # one channel of the widest layer is 1/64 of the width, twice that of the cost
    assert 0.5 - 3 / 64 < share <= 0.5
    absolute = getattr(cost.count(net, image()), kind) // 2
    again = dcff.convert(net, None, image(), target={kind: absolute})
    assert again.conversion.fused == converted.conversion.fused


def test_target_in_milliseconds_uses_the_clock(monkeypatch):
    from lithe.dcff import convert as function

    module = __import__("sys").modules[function.__module__]
    monkeypatch.setattr(module, "_milliseconds", lambda net, x: cost.count(net, x).macs / 1e6)
    converted = dcff.convert(zoo.small_cnn(), None, image(), target={"ms": 5.0})
    assert cost.count(dcff.compact(converted), image()).macs <= 5_000_000
    monkeypatch.undo()
    unhurried = dcff.convert(zoo.small_cnn(), None, image(), target={"ms": 1e9})
    assert unhurried.conversion.rate == 0


def test_multiples_are_respected():
    rows = dcff.convert(zoo.small_cnn(), 0.4, image(), multiple_of=8).conversion.fused
    assert [row.kept for row in rows] == [8, 8, 16, 16, 40, 40]


def test_fresh_weights_come_from_the_generator_at_the_compact_fan_in():
    net = zoo.small_cnn(generator=generator())
    one, two = (dcff.convert(net, 0.5, image(), init="fresh", generator=generator(3)) for _ in "ab")
    for left, right in zip(one.state_dict().values(), two.state_dict().values()):
        assert torch.equal(left, right)
    layer = one[3]
    bound = (1 / (8 * 9)) ** 0.5
    assert 0.98 * bound < layer.weight.abs().max() <= bound
    own = dcff.kl_scores(dcff.log_proxy(dcff.pairwise_distance(layer.weight), 1.0))
    assert layer.selected.sort().values.tolist() == dcff.select(own, 8).tolist()


def test_state_of_one_conversion_loads_into_another():
    nets = [dcff.convert(trained(zoo.resnet20), 0.5, image()).eval() for _ in range(2)]
    with torch.no_grad():
        for parameter in nets[0].parameters():
            parameter.mul_(1.1)
    dcff.refresh(nets[0], 1, 5)
    nets[1].load_state_dict(nets[0].state_dict())
    with torch.no_grad():
        assert torch.equal(nets[0](image()), nets[1](image()))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rates": 1.0}, "rate is 1.0"),
        ({"rates": -0.1}, "rate is -0.1"),
        ({"rates": 0.99}, "leaves none of 16 filters"),
        ({"rates": {"nine": 0.5}}, "rates name 'nine'"),
        ({"rates": {"20": 0.5}}, "20"),
        ({"rates": None}, "either rates or a target"),
        ({"rates": 0.5, "target": {"macs": 0.5}}, "either rates or a target"),
        ({"rates": None, "target": {"flops": 0.5}}, "'flops'.*macs"),
        ({"rates": None, "target": {"macs": 0}}, "macs is 0"),
        ({"rates": None, "target": {"macs": 10}}, "cannot be met"),
        ({"rates": 0.5, "init": "zeros"}, "'zeros'.*'fresh'"),
        ({"rates": 0.5, "coupled": "no"}, "'no'.*'skip'"),
        ({"rates": 0.5, "skip": ("nine",)}, "skip names nine"),
    ],
)
def test_bad_input_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        dcff.convert(zoo.small_cnn(), example=image(), **arguments)


def test_impossible_requests_say_why():
    with pytest.raises(ValueError, match=r"out cannot be fused: .*output"):
        dcff.convert(Mixed(), {"out": 0.5}, image())
    with pytest.raises(ValueError, match="share channels need one rate"):
        dcff.convert(zoo.resnet20(), {"conv1": 0.5, "layer1.0.conv2": 0.3}, image())
    with pytest.raises(ValueError, match=r"no convolution .* can be fused"):
        dcff.convert(nn.Conv2d(3, 4, 3), 0.5, image())
    converted = dcff.convert(zoo.small_cnn(), 0.5, image())
    with pytest.raises(ValueError, match="fused layers already"):
        dcff.convert(converted, 0.5, image())
