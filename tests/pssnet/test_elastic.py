from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lithe import zoo
from lithe.cost import count
from lithe.pssnet import mobilenet_v1_space, sample_at
from lithe.pssnet.elastic import elastic
from lithe.pssnet.sliced import Active, Span, restore_, slice_, take
from lithe.pssnet.space import Subnet

NAMES = ["chain", "residual", "gated", "dense", "flat", "grouped"]
CLOSE = 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_an_extracted_subnet_computes_what_the_slices_compute(
    name, supernet_of, drawn, elastic_networks
):
    network, space = supernet_of(name)
    network.eval()
    x = elastic_networks.images()
    with torch.no_grad():
        for subnet in drawn(space):
            small = network.extract(subnet).eval()
            torch.testing.assert_close(network.set(subnet)(x), small(x), atol=CLOSE, rtol=CLOSE)
            widest = subnet == space.largest()
            assert (sum(p.numel() for p in small.parameters()) == _size(network)) == widest


def _size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_macs_and_parameters_are_those_of_the_extracted_network(
    name, supernet_of, drawn, elastic_networks
):
    network, space = supernet_of(name)
    for subnet in drawn(space):
        cost = count(network.extract(subnet), elastic_networks.images(1))
        assert (space.macs(subnet), space.params(subnet)) == (cost.macs, cost.params)
        options = space.options(subnet)
        terms = space.terms(subnet.resolution)
        assert sum(t.values[tuple(options[j] for j in t.depends)] for t in terms) == cost.macs
        assert max(len(term.depends) for term in terms) <= 2


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_extracted_network_and_zero_elsewhere(
    name, supernet_of, drawn, elastic_networks
):
    network, space = supernet_of(name)
    x = elastic_networks.images()
    for subnet in drawn(space, 2):
        small = network.extract(subnet).train()
        network.zero_grad()
        for net in (small, network.set(subnet).train()):
            net(x).square().sum().backward()
        physical = dict(small.named_parameters())
        physical = {key.removeprefix("net."): p.grad for key, p in physical.items()}
        for key, parameter in network.body.named_parameters():
            place, _, leaf = key.rpartition(".")
            module = network.body.get_submodule(place)
            active = network.switch.setting.get(place)
            mine = parameter.grad
            if active is not None:
                axes = module.axes if leaf == "weight" else (0,)
                for axis, span in zip(axes, (active.rows, active.columns)):
                    mine = take(mine, axis, span)
            torch.testing.assert_close(mine, physical[key], atol=1e-5, rtol=1e-4)
            outside = parameter.grad.count_nonzero() - mine.count_nonzero()
            assert outside == 0, key


@pytest.mark.parametrize("name", ["chain", "dense", "grouped"])
def test_training_moves_the_statistics_of_active_channels_alone(
    name, supernet_of, elastic_networks
):
    network, space = supernet_of(name)
    small = network.extract(space.smallest()).train()
    before = {key: value.clone() for key, value in network.body.named_buffers()}
    x = elastic_networks.images()
    network.set(space.smallest()).train()(x)
    small(x)
    got = {key.removeprefix("net."): value for key, value in small.named_buffers()}
    for key, value in network.body.named_buffers():
        if value.ndim:
            active = network.switch.setting.get(key.rpartition(".")[0], Active(None))
            torch.testing.assert_close(take(value, 0, active.rows), got[key])
            moved = (value != before[key]).sum()
            assert moved == len(got[key])


def test_prefixes_are_views_of_the_weights(supernet_of):
    network, space = supernet_of("residual")
    network.set(space.smallest())
    for layer in network.body.modules():
        if hasattr(layer, "whole") and layer.whole("weight") is not None:
            assert layer.weight.data_ptr() == layer.whole("weight").data_ptr()
    conv = network.body.inner[0]
    assert conv.weight.shape == (12, 8, 3, 3)
    assert conv.whole("weight").shape == (24, 16, 3, 3)


def test_coupled_layers_share_one_width(supernet_of):
    network, space = supernet_of("residual")
    assert space.names == ("stem.0", "inner.0")
    assert network.report.widths[0].producers == ("stem.0", "outer.0")
    assert space.choices == ((8, 12, 16), (12, 16, 20, 24))
    assert "head: it is the network's output" in str(network.report)


def test_groups_go_as_a_whole(supernet_of):
    network, space = supernet_of("grouped")
    network.set(space.smallest())
    assert network.body[1][0].groups == 2
    assert network.body[1][0].weight.shape == (16, 4, 3, 3)


def test_the_state_dict_stays_that_of_the_ordinary_network(supernet_of, elastic_networks):
    network, space = supernet_of("gated")
    plain = elastic_networks.made("gated", seed=7)
    network.set(space.smallest())
    network.body.load_state_dict(plain.state_dict())
    for key, value in plain.state_dict().items():
        assert torch.equal(network.body.state_dict()[key], value)
    assert {type(m) for m in network.plain().modules()} == {type(m) for m in plain.modules()}


def test_the_model_given_is_left_alone(elastic_networks):
    model = elastic_networks.made("residual")
    before = copy.deepcopy(model.state_dict())
    network, space = elastic(model, elastic_networks.images(1), (0.5, 1.0), divisor=4)
    network.set(space.smallest()).train()(elastic_networks.images()).sum().backward()
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert type(model.stem[0]) is nn.Conv2d


def test_using_comes_back_and_a_twin_is_set_apart(supernet_of, elastic_networks):
    network, space = supernet_of("chain")
    with network.using(space.smallest()):
        assert network.subnet == space.smallest()
    assert network.subnet == space.largest()
    with pytest.raises(ZeroDivisionError), network.using(space.smallest()):
        raise ZeroDivisionError
    assert network.subnet == space.largest()
    twin = network.twin()
    twin.set(space.smallest())
    assert network.subnet == space.largest()
    mine, theirs = (dict(net.named_parameters()) for net in (network, twin))
    assert all(mine[key] is theirs[key] for key in mine)
    copied = copy.deepcopy(network)  # as a moving average of the weights does
    copied.set(space.smallest())
    assert copied.body[0][0].whole("weight") is not network.body[0][0].whole("weight")
    with torch.no_grad():
        x = elastic_networks.images()
        assert torch.equal(copied.eval()(x), network.set(space.smallest()).eval()(x))


def test_a_written_size_leaves_its_width_fixed_and_names_the_line(supernet_of):
    network, space = supernet_of("written")
    assert space.names == ("one.0",)
    assert "elastic_networks.py:" in network.report.fixed["two.0"]
    assert "view" in network.report.fixed["two.0"]


def test_tied_layers_share_a_ratio_and_skipped_ones_stay(supernet_of, elastic_networks):
    network, space = supernet_of("gated", ties=[["stem.0", "squeeze"]], skip=["point.0"])
    assert space.names == ("stem.0",)
    assert network.report.fixed["point.0"] == "asked to stay whole"
    network.set(space.smallest())
    assert network.body.squeeze.weight.shape[:2] == (4, 8)
    small = network.extract(space.smallest()).eval()
    x = elastic_networks.images()
    torch.testing.assert_close(network.eval()(x), small(x), atol=CLOSE, rtol=CLOSE)


def test_parts_that_only_train_are_left_out(elastic_networks):
    class WithAuxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main = elastic_networks.made("chain")
            self.auxiliary = nn.Linear(5, 5)

        def forward(self, x):
            out = self.main(x)
            return out + self.auxiliary(out) if self.training else out

    x = elastic_networks.images()
    network, space = elastic(WithAuxiliary(), x[:1], (0.5, 1.0), divisor=4)
    assert not any("auxiliary" in name for name, _ in network.named_parameters())
    network.set(space.smallest()).train()(x).sum().backward()
    small = network.extract(space.smallest()).eval()
    torch.testing.assert_close(network.eval()(x), small(x), atol=CLOSE, rtol=CLOSE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratios": (1.0, 0.5)}, "ratios is"),
        ({"ratios": (0.0, 1.0)}, "above 0"),
        ({"divisor": 0}, "divisor is 0"),
        ({"divisor": 64}, "only 16 of its 16 channels are possible"),
        ({"resolutions": ()}, "resolutions is"),
        ({"skip": ["nowhere"]}, "nowhere"),
        ({"ties": [["stem.0", "nowhere"]]}, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused(options, message, elastic_networks):
    options = {"resolutions": None} | options
    with pytest.raises(ValueError, match=message):
        elastic(elastic_networks.made("residual"), elastic_networks.images(1), **options)


def test_a_resolution_the_network_does_not_run_at_is_refused(elastic_networks):
    with pytest.raises(ValueError, match=r"resolutions \[2, 12\]"):
        elastic(
            elastic_networks.made("flat"), elastic_networks.images(1), (0.5, 1), (2, 12), divisor=4
        )


def test_no_module_and_no_tensor_are_refused(elastic_networks):
    with pytest.raises(TypeError, match="model is a str"):
        elastic("resnet", elastic_networks.images(1))
    with pytest.raises(TypeError, match="example is a tuple"):
        elastic(elastic_networks.made("chain"), (1, 3, 12, 12))


def test_a_subnet_of_another_space_is_refused(supernet_of):
    network, space = supernet_of("chain")
    wrong = Subnet(12, (5,) * len(space.names))
    with pytest.raises(ValueError, match="is 5 channels; it must be one of"):
        network.set(wrong)
    with pytest.raises(ValueError, match=r"this space has 0\.5 to 1\.0"):
        space.subnet(12, 0.4)


def test_listed_ratios_are_the_only_ones(supernet_of):
    _, space = supernet_of("chain", ratios=(0.5, 0.75, 1.0))
    assert space.subnet(12, 0.75).widths == (8, 12, 12)
    with pytest.raises(ValueError, match=r"this space has 0\.5, 0\.75, 1\.0"):
        space.subnet(12, 0.8)


def test_the_exact_sampler_knows_elastic_spaces(supernet_of):
    _, space = supernet_of("residual")
    generator = torch.Generator().manual_seed(0)
    target = (space.macs(space.smallest()) + space.macs(space.largest())) / 2
    for _ in range(20):
        assert abs(space.macs(sample_at(space, "macs", target, 1e5, generator)) - target) <= 1e5


@settings(max_examples=15, deadline=None)
@given(
    widths=st.lists(st.integers(2, 20), min_size=2, max_size=4),
    low=st.sampled_from([0.25, 0.4, 0.7]),
    divisor=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_any_chain_of_any_widths_holds(widths, low, divisor, seed):
    generator = torch.Generator().manual_seed(seed)
    model = zoo.small_cnn(3, widths, generator=generator)
    x = torch.randn(2, 3, 8, 8, generator=generator)
    try:
        network, space = elastic(model, x[:1], (low, 1.0), (6, 8), divisor)
    except ValueError:
        assert len(widths) > 2  # three pools do not fit 6 pixels
        network, space = elastic(model, x[:1], (low, 1.0), (8, 16), divisor)
    subnet = space.sample(generator)
    small = network.eval().extract(subnet).eval()
    assert space.macs(subnet) == count(small, x[:1]).macs
    assert space.check(subnet) is subnet
    with torch.no_grad():
        torch.testing.assert_close(network.set(subnet)(x), small(x), atol=CLOSE, rtol=1e-5)


def test_mobilenet_v1_has_the_papers_widths():
    with torch.random.fork_rng(devices=[]):
        _, space = elastic(zoo.mobilenet_v1(), torch.zeros(1, 3, 224, 224), resolutions=(128, 224))
    paper = mobilenet_v1_space()
    assert space.choices == paper.choices
    for ratio in (0.75, 0.81, 1.0):
        subnet = space.subnet(128, ratio)
        assert subnet == paper.subnet(128, ratio)
        pooled = 16 * subnet.widths[-1]  # the paper counts the average pool, cost.count does not
        assert space.macs(subnet) == paper.macs(subnet) - pooled
        assert space.params(subnet) == paper.params(subnet)


CASES = {
    "mbv1_block_32_64_s2": {"0": (24, None, 24), "1": 24, "3": (56, 24, 1), "4": 56},
    "mbv2_block_16_16_s1_res": {},
    "mbv2_block_32_64_s2": {
        **{"body.0": (144, 24, 1), "body.1": 144, "body.3": (144, None, 144), "body.4": 144},
        **{"body.6": (48, 144, 1), "body.7": 48},
    },
}


def _block(case: str) -> nn.Module:
    if case.startswith("mbv1"):
        return nn.Sequential(
            nn.Conv2d(32, 32, 3, 2, 1, groups=32, bias=False),
            *(nn.BatchNorm2d(32), nn.ReLU6(), nn.Conv2d(32, 64, 1, bias=False)),
            *(nn.BatchNorm2d(64), nn.ReLU6()),
        )
    from lithe.pssnet.chain import InvertedResidual

    return InvertedResidual(16, 96, 16, 1) if "res" in case else InvertedResidual(32, 192, 64, 2)


@pytest.mark.parametrize("case", CASES)
def test_sliced_blocks_match_the_released_ones(case, golden):
    with np.load(golden / "pss_block_forward.npz") as file:
        held = {k.removeprefix(case + "/"): torch.from_numpy(file[k]) for k in file if case in k}
    block = _block(case).train()
    parameters = dict(block.named_parameters())
    for key, parameter in parameters.items():
        parameter.data.copy_(held[f"param/{key}"])
    switch = slice_(block, set(CASES[case]))
    switch.setting = {
        name: Active(Span(size))
        if isinstance(size, int)
        else Active(Span(size[0]), size[1] and Span(size[1]), size[2])
        for name, size in CASES[case].items()
    }
    x = held["x"].requires_grad_()
    y = block(x)
    torch.testing.assert_close(y, held["y_train"], atol=1e-5, rtol=1e-5)
    y.backward(held["g"])
    torch.testing.assert_close(x.grad, held["dx"], atol=1e-5, rtol=1e-4)
    for key, parameter in parameters.items():
        expected = held[f"grad/{key}"]
        torch.testing.assert_close(parameter.grad, expected, atol=1e-4, rtol=1e-4)
        assert torch.equal(parameter.grad == 0, expected == 0)
    assert type(restore_(block).get_parameter(next(iter(parameters)))) is nn.Parameter


def test_only_known_layers_are_sliced():
    with pytest.raises(TypeError, match="`0` is a LayerNorm"):
        slice_(nn.Sequential(nn.LayerNorm(4)), {"0"})
