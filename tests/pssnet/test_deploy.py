from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from lithe import export
from lithe.data import fake_images
from lithe.pssnet.deploy import Deployed
from lithe.pssnet.elastic import Resized
from lithe.pssnet.recalibrate import calibration_batches, recalibrate, running_averages
from lithe.pssnet.replay import load_trace, replay
from lithe.pssnet.sliced import Active, Span, slice_
from lithe.pssnet.space import Subnet
from lithe.pssnet.table import LatencyTable

CLOSE = 1e-6


@pytest.fixture
def batches(elastic_networks):
    return [elastic_networks.images(6, seed=k) for k in range(3)]


@pytest.fixture
def deployed(supernet_of, drawn, batches):
    """The concatenating network with four subnets, recalibrated."""
    network, space = supernet_of("dense")
    return Deployed(network, list(dict.fromkeys(drawn(space, 2))), batches=batches)


def test_recalibration_matches_the_released_one(golden):
    with np.load(golden / "pss_bn_recal.npz") as file:
        held = {name: torch.from_numpy(file[name]) for name in file.files}
    network = nn.Sequential(nn.BatchNorm2d(6))
    switch = slice_(network, {"0"})
    switch.setting = {"0": Active(Span(5))}
    with torch.no_grad(), running_averages(network) as averages:
        for batch in held["batches"][:9]:  # it asks for 8 and stops after the ninth
            network(batch)
        found = averages()
    for key in ("running_mean", "running_var"):
        torch.testing.assert_close(found[f"0.{key}"], held[key][:5], atol=1e-6, rtol=1e-6)
    switch.setting = {"0": Active(Span(5), ready={k[2:]: v for k, v in found.items()})}
    torch.testing.assert_close(network.eval()(held["x_eval"]), held["y_eval"], atol=1e-5, rtol=1e-5)
    assert torch.equal(network[0].whole("running_mean"), torch.zeros(6))


def test_recalibration_leaves_the_network_as_it_was(supernet_of, drawn, batches):
    network, space = supernet_of("dense")
    network.train()
    network.body.norm.eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = recalibrate(network, drawn(space, 1), batches)
    assert network.subnet == space.largest()
    assert network.training
    assert not network.body.norm.training
    assert network.body.norm.momentum == 0.1
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    norm = found[space.smallest()]["norm.running_mean"]
    assert norm.shape == (12,)
    assert found.keys() == network.statistics.keys()


def test_no_batch_and_no_statistics_are_refused(supernet_of):
    network, space = supernet_of("chain")
    with pytest.raises(ValueError, match="no batch to recalibrate on"):
        recalibrate(network, space.largest(), [])
    with (
        pytest.raises(ValueError, match="has no statistics yet"),
        network.calibrated(space.largest()),
    ):
        pass


def test_calibration_batches_are_the_same_every_time():
    data = fake_images((3, 8, 8), 4, 10)
    first, second = (calibration_batches(data, 4, batches=5) for _ in range(2))
    assert len(first) == 5
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_each_subnet_runs_on_its_own_statistics(deployed, elastic_networks):
    x = elastic_networks.images(3, seed=9)
    outputs = []
    for entry in deployed.retained:
        assert deployed.set_subnet(entry.subnet) == entry.subnet
        y = deployed(x)
        small = deployed.extract()
        torch.testing.assert_close(y, small(x).detach(), atol=CLOSE, rtol=CLOSE)
        shared = deployed.network.set(entry.subnet)(x)
        assert not torch.allclose(y, shared, atol=1e-3)
        outputs.append(y)
    assert not torch.allclose(outputs[0], outputs[-1])


def test_the_best_subnet_within_the_budget_is_taken(supernet_of, drawn):
    network, space = supernet_of("chain")
    subnets = sorted(dict.fromkeys(drawn(space, 4)), key=space.macs)
    plain = Deployed(network, subnets)
    for subnet in subnets:
        assert space.macs(plain.set_budget(macs=space.macs(subnet))) == space.macs(subnet)
        below = [space.macs(s) for s in subnets if space.macs(s) < space.macs(subnet)]
        if below:
            assert space.macs(plain.set_budget(macs=space.macs(subnet) - 1)) == max(below)
    scored = Deployed(network, {s: -space.macs(s) for s in subnets})  # smaller is better here
    assert scored.set_budget(macs=1e12) == subnets[0]


def test_a_budget_out_of_reach_names_the_range(deployed):
    costs = [entry.macs for entry in deployed.retained]
    with pytest.raises(ValueError, match=f"they need {min(costs)} to {max(costs)}"):
        deployed.set_budget(macs=min(costs) - 1)
    for wrong in ({}, {"macs": 1e9, "ms": 1.0}):
        with pytest.raises(ValueError, match="either macs= or ms="):
            deployed.set_budget(**wrong)


def test_a_budget_in_milliseconds_asks_the_table(supernet_of, drawn):
    network, space = supernet_of("chain")
    subnets = list(dict.fromkeys(drawn(space, 4)))
    blocks = {block for subnet in subnets for block in space.blocks(subnet)}
    table = LatencyTable({"cpu": {block: 1.0 + block.cout for block in blocks}})
    deployed = Deployed(network, subnets, table=table)
    times = {s: table.latency_us(space, s) / 1000 for s in subnets}
    chosen = deployed.set_budget(ms=sorted(times.values())[1])
    within = [s for s in subnets if times[s] <= sorted(times.values())[1]]
    assert chosen == max(within, key=space.macs)
    with pytest.raises(ValueError, match="no retained subnet fits ms="):
        deployed.set_budget(ms=min(times.values()) / 2)


def test_without_a_table_subnets_are_timed_when_first_needed(deployed):
    assert all(entry.ms is None for entry in deployed.retained)
    before = deployed.current.subnet
    deployed.measure(repeats=1, warmup=0)
    assert deployed.current.subnet == before
    assert all(entry.ms > 0 for entry in deployed.retained)
    assert deployed.set_budget(ms=1e9) == deployed.retained[-1].subnet


def test_a_switch_allocates_no_weights(supernet_of, drawn, batches):
    network, space = supernet_of("residual")
    deployed = Deployed(network, drawn(space, 2), batches=batches)
    stored = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def addresses():
        layers = [m for m in deployed.network.body.modules() if hasattr(m, "whole")]
        tensors = [
            getattr(m, k)
            for m in layers
            for k in ("weight", "bias", "running_mean")
            if hasattr(m, k) and getattr(m, k) is not None
        ]
        return [tensor.data_ptr() for tensor in tensors]

    first = {}
    for _ in range(2):
        for entry in deployed.retained:
            deployed.set_budget(macs=entry.macs)
            found = addresses()
            assert first.setdefault(entry.subnet, found) == found
    for layer in deployed.network.body.modules():
        if hasattr(layer, "whole") and layer.whole("weight") is not None:
            assert layer.weight.untyped_storage().data_ptr() in stored


def test_weights_are_shared_with_the_supernet_but_the_switch_is_not(deployed, supernet_of, batches):
    network, space = supernet_of("chain")
    made = Deployed(network, [space.largest(), space.smallest()], batches=batches)
    made.set_subnet(space.smallest())
    before = made(batches[0])
    network.set(space.largest())
    assert torch.equal(made(batches[0]), before)
    with torch.no_grad():
        network.body[-1].whole("bias").add_(1)
    torch.testing.assert_close(made(batches[0]), before + 1)


def test_it_stays_in_eval_mode_and_follows_a_move(deployed, elastic_networks):
    x = elastic_networks.images(3, seed=9)
    deployed.set_subnet(deployed.retained[0].subnet)
    before = deployed(x)
    assert not deployed.train().network.training
    assert not before.requires_grad
    deployed.double()
    after = deployed(x.double())
    assert after.dtype == torch.float64
    torch.testing.assert_close(after.float(), before, atol=1e-5, rtol=1e-5)


def test_it_comes_back_from_a_file(deployed, supernet_of, elastic_networks, tmp_path):
    x = elastic_networks.images(3, seed=9)
    deployed.measure(repeats=1, warmup=0)
    path = deployed.save(tmp_path / "deployed.safetensors")
    again = Deployed.load(path, supernet_of("dense")[0])
    assert again.retained == deployed.retained
    for entry in deployed.retained:
        deployed.set_subnet(entry.subnet)
        again.set_subnet(entry.subnet)
        assert torch.equal(again(x), deployed(x))
    with pytest.raises(ValueError, match="other free widths"):
        Deployed.load(path, supernet_of("chain")[0])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read"):
        Deployed.load(path, supernet_of("dense")[0])


def test_one_subnet_goes_to_files_of_its_own(deployed, elastic_networks, tmp_path):
    x = elastic_networks.images(1, seed=9)
    subnet = next(e.subnet for e in deployed.retained if e.subnet.resolution == 8)
    assert isinstance(deployed.extract(subnet), Resized)
    deployed.save_subnet(tmp_path / "small", subnet)
    deployed.set_subnet(subnet)
    loaded = export.load(tmp_path / "small")
    torch.testing.assert_close(loaded(x).detach(), deployed(x), atol=CLOSE, rtol=CLOSE)
    assert deployed.to_onnx(tmp_path / "small.onnx", subnet) <= 1e-4


def test_what_cannot_be_deployed_is_refused(supernet_of, deployed):
    network, space = supernet_of("chain")
    with pytest.raises(TypeError, match="model is a Linear"):
        Deployed(nn.Linear(2, 2), [space.largest()])
    with pytest.raises(ValueError, match="no subnet to retain"):
        Deployed(network, [])
    with pytest.raises(ValueError, match="listed twice"):
        Deployed(network, [space.largest()] * 2)
    with pytest.raises(ValueError, match="must be one of"):
        Deployed(network, [Subnet(12, (1,) * len(space.names))])
    with pytest.raises(ValueError, match="not among the"):
        deployed.set_subnet(Subnet(1, ()))


@pytest.fixture
def timed(supernet_of, drawn):
    """Subnets whose times are known: proportional to their MACs, the largest 10 ms."""
    network, space = supernet_of("chain")
    subnets = list(dict.fromkeys(drawn(space, 6)))
    full = space.macs(space.largest())
    table = LatencyTable(
        {"cpu": {b: 1e4 * max(b.macs, 1) / full for s in subnets for b in space.blocks(s)}}
    )
    return Deployed(network, subnets, table=table)


def test_a_replay_follows_the_load(timed):
    load = [1.0] * 10 + [2.5] * 10 + [1.0] * 10
    adaptive = replay(timed, 11.5, load)
    largest = timed.retained[-1].subnet
    stubborn = replay(timed, 11.5, load, fixed=largest)
    assert stubborn.miss_rate == pytest.approx(1 / 3)
    assert stubborn.switches == 0
    assert adaptive.miss_rate < stubborn.miss_rate
    assert adaptive.subnets[9] == largest  # an idle machine carries the largest
    assert adaptive.subnets[19] != largest
    assert adaptive.subnets[29] == largest
    assert adaptive.missed[10]  # the first frame under load could not be known
    assert not any(adaptive.missed[16:20])
    assert adaptive.elapsed_ms[10] == pytest.approx(2.5 * timed.retained[-1].ms)
    assert "30 frames" in str(adaptive)
    assert replay(timed, 11.5, load) == adaptive


def test_a_hopeless_deadline_runs_the_fastest_subnet(timed, elastic_networks):
    found = replay(timed, 1e-6, [1.0, 1.0], x=elastic_networks.images(1))
    assert found.miss_rate == 1
    assert set(found.subnets) == {timed.retained[0].subnet}


def test_traces_of_load(timed):
    trace = load_trace(500, torch.Generator().manual_seed(0), most=3.0, stay=0.9)
    assert min(trace) >= 1
    assert max(trace) <= 3
    changes = sum(a != b for a, b in pairwise(trace))
    assert 25 <= changes <= 80  # a binomial of 499 at 0.1, five deviations
    with pytest.raises(ValueError, match="most=0"):
        load_trace(5, torch.Generator(), most=0.5)
    with pytest.raises(ValueError, match="most=inf"):
        load_trace(5, torch.Generator(), most=float("inf"))
    with pytest.raises(ValueError, match="2 loads and 3 deadlines"):
        replay(timed, [1.0, 1.0, 1.0], [1.0, 1.0])
    for limit, load in ((float("nan"), [1.0]), (5.0, [1.0, float("nan")]), (5.0, [float("inf")])):
        with pytest.raises(ValueError, match="all of them finite"):
            replay(timed, limit, load)


def test_a_replay_takes_arrays(timed):
    load = [1.0, 2.0, 1.0]
    expected = replay(timed, [11.5] * 3, load)
    assert replay(timed, np.full(3, 11.5), np.array(load)) == expected
    assert replay(timed, np.float64(11.5), torch.tensor(load)) == expected
