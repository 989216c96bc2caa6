"""A whole network, timed: what runs is the pruned network, and it is checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lithe.onexn.speed import race
from lithe.onexn.speed.networks import network, photograph, skeleton
from lithe.onexn.speed.rivals import dense_networks
from lithe.onexn.speed.timing import Times
from lithe.zoo import small_cnn


def image() -> Tensor:
    return torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    model = small_cnn(widths=(8, 16, 16), generator=torch.Generator().manual_seed(0)).eval()
    monkeypatch.setattr(race, "network", lambda name: model)
    monkeypatch.setattr(race, "photograph", image)
    monkeypatch.setattr(race, "runtimes", lambda *given: ({}, ["nothing is installed"]))
    return model


@pytest.fixture
def set_times(monkeypatch: pytest.MonkeyPatch) -> dict:
    asked = {}

    def stub(ways: dict, **options: object) -> dict[str, Times]:
        asked.update(options, ways=ways)
        ms = {"contiguous": 6.0, "channels_last": 5.0}
        return {
            name: Times(np.array([ms.get(name, 4.0 if "0.0" in name else 2.0)] * 3))
            for name in ways
        }

    monkeypatch.setattr(race, "in_turn", stub)
    return asked


@pytest.mark.usefixtures("small")
def test_ratios_are_to_the_faster_layout_and_to_ourselves(set_times: dict) -> None:
    found = race.run_race("mobilenet_v2", [(4, 0.0), (4, 0.5)])
    own = found.runner(4, 0.5)
    assert (own.ratio, own.earned, own.median_ms) == (2.5, 2.0, 2.0)
    assert own.error <= 1e-5
    assert [(x.n, x.sparsity, x.tuned) for x in found.runners] == [
        (4, 0.0, False),
        (4, 0.0, True),
        (4, 0.5, True),
    ]
    assert found.absent == ("nothing is installed",)
    assert set_times["clock"] == "process"
    with pytest.raises(KeyError, match="n=8"):
        found.runner(8, 0.5)


@pytest.mark.usefixtures("small")
def test_every_way_computes_the_network(set_times: dict, small: nn.Module) -> None:
    race.run_race("mobilenet_v2", [(4, 0.5)])
    with torch.no_grad():
        expected = small(image())
    for name in ("contiguous", "channels_last", "packed (4, 0.0, False)"):
        assert torch.allclose(set_times["ways"][name].call(), expected, atol=1e-5), name
    pruned = set_times["ways"]["packed (4, 0.5, True)"].call()
    assert not torch.allclose(pruned, expected, atol=1e-3)


@pytest.mark.usefixtures("small", "set_times")
def test_a_wrong_network_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "finalise", lambda model: nn.Flatten())
    monkeypatch.setattr(race, "relative_error", lambda ours, torchs: float("nan"))
    with pytest.raises(ArithmeticError, match="N=4"):
        race.run_race("mobilenet_v2", [(4, 0.5)])


def test_folding_changes_nothing_but_the_batch_norms(small: nn.Module) -> None:
    ways = dense_networks(small, image())
    with torch.no_grad():
        expected = small(image())
    for way in ways.values():
        assert torch.allclose(way.call(), expected, atol=1e-5)
    assert any(isinstance(m, nn.BatchNorm2d) for m in small.modules())


def test_random_networks_have_activations_of_ordinary_size() -> None:
    state = torch.random.get_rng_state()
    model = network("mobilenet_v3_small")
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.inference_mode():
        out = model(photograph(64))
    assert 1e-3 < float(out.std()) < 1e3
    assert not model.training
    assert skeleton("mobilenet_v3_small").classifier[0].weight.device.type == "meta"


def test_an_unknown_network_is_refused() -> None:
    for make in (network, skeleton):
        with pytest.raises(ValueError, match="lenet"):
            make("lenet")
