from __future__ import annotations

import math

import pytest
import torch

from lithe import zoo
from lithe.cost import count
from lithe.pssnet import LatencyTable, MissingEntryError, mobilenet_v1_space, mobilenet_v2_space
from lithe.pssnet.block import Block
from lithe.pssnet.chain import chain
from lithe.pssnet.elastic import elastic
from lithe.pssnet.measure import Validation, covering, measure, validate
from lithe.pssnet.runners import ElasticRunner
from lithe.pssnet.space import Subnet

QUICK = {"repeats": 2, "warmup": 1}


def _blocks(space, subnets=None):
    subnets = space.subnets() if subnets is None else subnets
    return {block for subnet in subnets for block in space.blocks(subnet)}


@pytest.mark.parametrize("name", ["chain", "residual", "gated", "dense", "grouped"])
def test_a_covering_holds_every_block_with_few_subnets(name, supernet_of):
    _, space = supernet_of(name)
    carriers = covering(space)
    assert _blocks(space, carriers) == _blocks(space)
    assert len(carriers) <= len(_blocks(space))
    assert covering(space, known=dict.fromkeys(_blocks(space))) == []


def test_a_covering_of_a_deep_network_is_small():
    model = zoo.small_cnn(widths=(16,) * 6, generator=torch.Generator().manual_seed(0))
    _, space = elastic(model, torch.zeros(1, 3, 8, 8), (0.25, 0.5, 1.0), divisor=4)
    carriers = covering(space)
    assert space.count() == 3**6
    assert len(carriers) <= 3 * 3 * 2  # pairs of neighbours, twice for those that do not fit
    assert _blocks(space, carriers) == _blocks(space)


def test_a_covering_of_given_subnets_leaves_out_what_adds_nothing(supernet_of, drawn):
    _, space = supernet_of("chain")
    subnets = drawn(space, 3)
    assert covering(space, [*subnets, *subnets]) == list(dict.fromkeys(subnets))


def test_a_measured_table_has_every_block_with_its_spread(supernet_of, drawn):
    _, space = supernet_of("residual")
    table = LatencyTable.measure(space, "cpu", **QUICK)
    assert set(table.times["cpu"]) == _blocks(space)
    for block, us in table.times["cpu"].items():
        low, high = table.spread["cpu"][block]
        assert 0 <= low <= high
        assert us > 0
    for subnet in drawn(space):
        total = sum(table.block_us(block) for block in space.blocks(subnet))
        assert table.latency_us(space, subnet) == pytest.approx(total)
    assert table.about["fingerprint"]["torch"] == torch.__version__


def test_measuring_continues_where_it_stopped(supernet_of, tmp_path, monkeypatch):
    _, space = supernet_of("chain")
    path = tmp_path / "table.json"
    whole, passes = ElasticRunner.blocks_us, []

    def failing(self, subnet, *rest):
        if len(passes) == 3:
            raise KeyboardInterrupt
        passes.append(subnet)
        return whole(self, subnet, *rest)

    monkeypatch.setattr(ElasticRunner, "blocks_us", failing)
    with pytest.raises(KeyboardInterrupt):
        measure(space, path=path, **QUICK)
    stopped = LatencyTable.load(path)
    assert 0 < len(stopped) < len(_blocks(space))
    monkeypatch.setattr(ElasticRunner, "blocks_us", whole)
    table = measure(space, path=path, **QUICK)
    assert set(table.times["cpu"]) == _blocks(space)
    assert all(table.block_us(block) == us for block, us in stopped.times["cpu"].items())
    assert LatencyTable.load(path).times == table.times
    with pytest.raises(ValueError, match="was measured otherwise: repeats=2 there, 3 here"):
        measure(space, path=path, repeats=3, warmup=1)


def test_a_table_is_held_against_whole_subnets(supernet_of, drawn):
    _, space = supernet_of("chain")
    subnets = list(dict.fromkeys(drawn(space, 4)))
    table = measure(space, subnets=subnets, clock="processor", **QUICK)
    checked = validate(table, space, subnets, **QUICK)
    assert len(checked.measured_us) == len(subnets)
    assert min(checked.measured_us) > 0
    assert f"{len(subnets)} held-out subnets: median error" in str(checked)
    lacking = next(s for s in space.subnets() if table.missing(space.blocks(s)))
    with pytest.raises(MissingEntryError, match="no entry for"):
        validate(table, space, [*subnets, lacking])
    with pytest.raises(ValueError, match="needs two or more"):
        validate(table, space, subnets[:1])
    table.about["fingerprint"]["cpu"] = "another"
    with pytest.raises(ValueError, match="another machine: cpu='another' there"):
        validate(table, space, subnets)


def test_a_validation_wants_different_subnets_and_passes(supernet_of):
    _, space = supernet_of("chain")
    subnets = [space.largest(), space.smallest()]
    table = measure(space, subnets=subnets, **QUICK)
    with pytest.raises(ValueError, match="1 subnet given"):
        validate(table, space, subnets[:1] * 2)
    with pytest.raises(ValueError, match="repeats is 0"):
        validate(table, space, subnets, repeats=0)


def test_no_space_is_refused():
    with pytest.raises(TypeError, match="space is a str"):
        measure("mobilenet")


def test_a_table_is_not_written_anew_after_each_subnet(supernet_of, tmp_path, monkeypatch):
    _, space = supernet_of("chain")
    written = []
    save = LatencyTable.save
    monkeypatch.setattr(LatencyTable, "save", lambda self, p: written.append(save(self, p)))
    monkeypatch.setattr("lithe.pssnet.measure.SAVED_EVERY_S", 1e9)
    table = measure(space, path=tmp_path / "table.json", **QUICK)
    assert len(covering(space)) > 5
    assert len(written) == 1
    assert LatencyTable.load(tmp_path / "table.json") == table
    monkeypatch.setattr("lithe.pssnet.measure.SAVED_EVERY_S", -1.0)
    measure(space, path=tmp_path / "other.json", **QUICK)
    assert len(written) == 1 + len(covering(space)) + 1


def test_slices_of_many_subnets_are_not_kept_for_ever(supernet_of, monkeypatch):
    _, space = supernet_of("dense")
    monkeypatch.setattr("lithe.pssnet.runners.MOST_BUILT", 3)
    runner = ElasticRunner(space, "cpu", 1)
    subnets = list(space.subnets())[:8]
    for subnet in subnets:
        runner.ready(subnet)
        assert subnet in runner.settings
        assert len(runner.settings) <= 3
    assert len(runner.whole_us(subnets, 1, 0, "wall")) == 8


def test_errors_and_rank_correlation_are_as_defined():
    subnets = tuple(Subnet(k, ()) for k in range(1, 5))
    checked = Validation((11.0, 18.0, 30.0, 50.0), (10.0, 20.0, 30.0, 40.0), subnets)
    assert checked.median_error == pytest.approx(0.1)
    assert checked.spearman == pytest.approx(1)
    swapped = Validation((18.0, 11.0, 30.0, 50.0), (10.0, 20.0, 30.0, 40.0), subnets)
    assert swapped.spearman == pytest.approx(0.8)


@pytest.mark.parametrize("make", [mobilenet_v1_space, mobilenet_v2_space])
def test_chains_of_the_papers_blocks_cost_what_the_space_says(make):
    space = make(resolutions=(128, 136))
    for subnet in (space.largest(), space.sample(torch.Generator().manual_seed(1))):
        subnet = space.effective(subnet)  # the released table believes a head that is not there
        network = chain(space.blocks(subnet))
        cost = count(network, torch.zeros(1, 3, subnet.resolution, subnet.resolution))
        side = math.ceil(subnet.resolution / 32)
        pooled = side**2 * network[-1][-1].in_features
        assert cost.macs == space.macs(subnet) - pooled
        assert cost.params == space.params(subnet)


def test_the_papers_spaces_can_be_measured_too():
    space = mobilenet_v1_space(resolutions=(32, 32))
    subnets = [space.smallest(), space.largest()]
    table = measure(space, subnets=subnets, repeats=1, warmup=0)
    assert table.latency_us(space, space.largest()) > 0
    assert len(validate(table, space, subnets, repeats=1, warmup=0).errors) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "repeats is 0"),
        ({"repeats": "3"}, "repeats is '3'; it must be a whole number"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
        ({"warmup": -1}, "warmup is -1"),
        ({"batch": 0}, "batch is 0"),
        ({"clock": "sun"}, "clock is 'sun'"),
        ({"clock": "processor", "threads": 2}, "for one thread"),
        ({"subnets": []}, "no block to measure"),
    ],
)
def test_bad_settings_are_refused(options, message, supernet_of):
    with pytest.raises(ValueError, match=message):
        measure(supernet_of("chain")[1], **options)


def test_an_unknown_block_is_named():
    with pytest.raises(ValueError, match="cannot build Attention"):
        chain((Block("Attention", 8, 4, 4),))
