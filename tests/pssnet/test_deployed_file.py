"""Files of deployed networks: damaged or foreign ones end in one sentence and change nothing."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from lithe.pssnet import LatencyTable
from lithe.pssnet.deploy import Deployed


@pytest.fixture
def written(supernet_of, drawn, elastic_networks, tmp_path):
    """``written(tensors=..., **about)``: the path of a file with these changes."""
    network, space = supernet_of("dense")
    batches = [elastic_networks.images(6)]
    good = Deployed(network, drawn(space, 0), batches=batches).save(tmp_path / "good.safetensors")
    with safe_open(good, framework="pt") as file:
        about = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    def change(changed=None, **said):
        path = tmp_path / "changed.safetensors"
        kept = {k: v for k, v in (tensors | (changed or {})).items() if v is not None}
        save_file(kept, path, {k: v for k, v in (about | said).items() if v is not None})
        return path

    return change


def _row(**changes):
    row = {"resolution": 8, "widths": [8, 4, 8], "score": 1.0, "ms": None} | changes
    return json.dumps([list(row.values())])


DAMAGED = {
    "no widths": ({}, {"widths": None}, "no list of its widths"),
    "no json": ({}, {"subnets": "["}, "no list of its widths"),
    "no subnet": ({}, {"subnets": "[]"}, "lists no subnet"),
    "a short row": ({}, {"subnets": "[[8]]"}, r"\[8\] is no subnet"),
    "a score of NaN": ({}, {"subnets": _row(score=float("nan"))}, "is no subnet with a score"),
    "a time in words": ({}, {"subnets": _row(ms="soon")}, "is no subnet with a score and a time"),
    "a strange width": ({}, {"subnets": _row(widths=[5, 4, 8])}, "of another space: one is 5"),
    "a width in words": ({}, {"subnets": _row(widths=["a", [], 8])}, "of another space"),
    "a weight too few": ({"weights/body.one.weight": None}, {}, "is missing in it"),
    "a weight too many": ({"weights/body.four": torch.ones(1)}, {}, "missing in yours"),
    "another shape": ({"weights/body.one.weight": torch.ones(2)}, {}, r"is \(2,\) in it"),
    "short statistics": (
        {"statistics/0/norm.running_mean": torch.ones(3)},
        {},
        "the statistics of Subnet.* do not fit",
    ),
    "half of the statistics": ({"statistics/0/norm.running_var": None}, {}, "do not fit"),
    "statistics of nothing": ({"statistics/1/nowhere.running_var": torch.ones(3)}, {}, "not fit"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_says_what_is_wrong_and_leaves_the_network_as_it_was(
    case, written, supernet_of, elastic_networks
):
    tensors, about, message = DAMAGED[case]
    network, _ = supernet_of("dense")
    network.body.load_state_dict(elastic_networks.made("dense", seed=5).state_dict())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message) as error:
        Deployed.load(written(tensors, **about), network)
    assert str(error.value).startswith("changed.safetensors is ")
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    assert not network.statistics


def test_an_unchanged_file_is_read(written, supernet_of):
    assert len(Deployed.load(written(), supernet_of("dense")[0]).retained) == 2
    without = {f"statistics/0/{n}": None for n in ("norm.running_mean", "norm.running_var")}
    without |= {f"statistics/0/three.1.{n}": None for n in ("running_mean", "running_var")}
    assert len(Deployed.load(written(without), supernet_of("dense")[0]).retained) == 2
    with pytest.raises(TypeError, match="model is a Linear"):
        Deployed.load(written(), nn.Linear(2, 2))


@pytest.mark.parametrize("limit", ["1e6", float("nan"), True, [1], None.__class__])
def test_a_budget_that_is_no_number_is_refused(limit, supernet_of, drawn):
    network, space = supernet_of("chain")
    deployed = Deployed(network, drawn(space, 0))
    for name in ("macs", "ms"):
        with pytest.raises(ValueError, match=f"{name} is .*; give a number"):
            deployed.set_budget(**{name: limit})
    assert deployed.current == deployed.retained[-1]


def test_scores_tables_and_batches_are_looked_at(supernet_of, drawn, elastic_networks):
    network, space = supernet_of("chain")
    subnets, x = drawn(space, 0), elastic_networks.images(4)
    with pytest.raises(ValueError, match=r"the score of Subnet.* is nan"):
        Deployed(network, dict.fromkeys(subnets, float("nan")))
    with pytest.raises(TypeError, match="table is a str"):
        Deployed(network, subnets, table="table.json")
    with pytest.raises(TypeError, match=r"\(8, 8\) is a tuple; give Subnets"):
        Deployed(network, [(8, 8)])
    for batches, error, message in (
        (x, TypeError, "batches is one tensor"),
        ([(x, x)], TypeError, "holds a tuple; give tensors, without labels"),
        ([x[:0]], ValueError, r"a batch is \(0, 3, 12, 12\)"),
        ([x[0]], ValueError, r"a batch is \(3, 12, 12\)"),
        ([x[:, :2]], ValueError, r"like the example, \(1, 3, 12, 12\)"),
        ([x, x * float("nan")], ValueError, "holds NaN or infinity"),
    ):
        with pytest.raises(error, match=message):
            Deployed(network, subnets, batches=batches)
    assert not network.statistics
    assert len(Deployed(network, subnets[0]).retained) == 1


def test_what_was_moved_can_still_be_timed_and_exported(
    supernet_of, drawn, elastic_networks, tmp_path
):
    network, space = supernet_of("chain")
    x = elastic_networks.images(6)
    deployed = Deployed(network, drawn(space, 0), batches=[x]).double()
    small = deployed.extract(deployed.set_subnet(space.smallest()))
    torch.testing.assert_close(small(x.double()).detach(), deployed(x.double()))
    deployed.measure(repeats=1, warmup=0)
    assert all(entry.ms > 0 for entry in deployed.retained)
    deployed.save_subnet(tmp_path / "small")
    assert deployed.to_onnx(tmp_path / "small.onnx") <= 1e-4


def test_a_measurement_that_stops_leaves_the_present_subnet(supernet_of, drawn, monkeypatch):
    network, space = supernet_of("chain")
    deployed = Deployed(network, drawn(space, 0))
    before = deployed.current

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lithe.pssnet.deploy.latency", stopped)
    with pytest.raises(KeyboardInterrupt):
        deployed.measure()
    assert deployed.current is before
    assert deployed.network.subnet == before.subnet


def test_a_table_of_another_network_is_refused(supernet_of, drawn):
    network, space = supernet_of("chain")
    _, other = supernet_of("residual")
    table = LatencyTable({"cpu": dict.fromkeys(other.blocks(other.largest()), 1.0)})
    with pytest.raises(LookupError, match="no entry for"):
        Deployed(network, drawn(space, 0), table=table)
