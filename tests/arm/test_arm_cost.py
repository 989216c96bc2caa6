"""Both counters against the released numbers, to the digit."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from lithe import arm
from lithe.cost import count

PUBLISHED = {"fsrcnn": "468M", "carn": "1.15G", "srresnet": "5.19G"}


@pytest.fixture(scope="module")
def counted(golden):
    return json.loads((golden / "arm_flops_params.json").read_text())


@pytest.mark.parametrize("name", ["fsrcnn", "carn", "srresnet"])
def test_costs_and_sizes_of_all_widths(counted, name):
    net, theirs = arm.Supernet(name), counted[name]
    assert net.costs(released=True) == theirs["official_cost_list"]
    for width, row in theirs["per_width"].items():
        index = net.index(int(width))
        assert net.macs(index) == row["true_macs"]
        assert net.params(index) == row["active_params"]


@pytest.mark.parametrize("name", ["fsrcnn", "carn", "srresnet"])
def test_the_true_count_agrees_layer_by_layer(counted, name):
    net = arm.Supernet(name)
    for width, known in counted[name]["per_width"].items():
        branch = net.branch(int(width)).to("meta")
        rows = {
            r.name: r.macs for r in count(branch, torch.zeros(1, 3, 32, 32, device="meta")).rows
        }
        theirs: dict[str, int] = {}
        for layer in known["layers"]:
            theirs[layer["layer"]] = theirs.get(layer["layer"], 0) + layer["true_macs"]
        assert rows == theirs


def test_what_is_wrong_with_the_released_count():
    net = arm.Supernet("fsrcnn")
    rows = arm.released_rows(net.branch(56))
    true = {r.name: r.macs for r in count(net.branch(56), torch.zeros(1, 3, 32, 32)).rows}
    assert rows["tail_conv"] == 16 * 2 * true["tail_conv"]
    assert all(rows[n] == 2 * true[n] for n in true if n != "tail_conv")
    assert sum(rows[n] for n in rows if n not in true) == 4  # one for every PReLU
    assert net.released_cost(3) / (2 * net.macs(3)) == pytest.approx(9.388, abs=1e-3)
    assert f"{net.released_cost(3) / 1e6:.0f}M" == PUBLISHED["fsrcnn"]
    for name in ("carn", "srresnet"):
        assert f"{arm.Supernet(name).released_cost(3) / 1e9:.2f}G" == PUBLISHED[name]


def test_costs_grow_with_the_area():
    net = arm.Supernet("carn", widths=(8, 16))
    assert net.macs(2, 64, 48) == 3 * net.macs(2)
    assert net.released_cost(2, 64, 48) == 3 * net.released_cost(2)


def test_published_runs_recomputed_from_their_class_counts(golden):
    logs = json.loads((golden / "arm_official_test_logs.json").read_text())
    costs = {name: arm.Supernet(name).costs(released=True) for name in PUBLISHED}
    for run in logs:
        mean = arm.mean_cost(run["class_counts"], costs[run["net"].lower()])
        assert mean == pytest.approx(run["flops"], abs=5e4)  # logged to 0.1 M
        assert sum(run["class_counts"]) == run["n_patches"]
    assert len(logs) == 36


def test_overlap_and_bad_counts():
    assert arm.overlap_overhead() == pytest.approx(1.306, abs=1e-3)
    with pytest.raises(ValueError, match="step 33"):
        arm.overlap_overhead(32, 33)
    with pytest.raises(ValueError, match="do not fit"):
        arm.mean_cost([1, 2], [3.0])
    with pytest.raises(ValueError, match="do not fit"):
        arm.mean_cost([0, 0], [3.0, 4.0])


def test_mixed_branches_count_and_reach_by_themselves():
    other = nn.Sequential(nn.Conv2d(3, 12, 5, padding=2), nn.PixelShuffle(2))
    mixed = arm.Mixed([arm.Interpolation(2), other, arm.FSRCNN(8, 2)])
    assert mixed.names == ("bicubic", "sequential", "fsrcnn")
    assert mixed.macs(1, 10, 7) == 3 * 12 * 25 * 70
    assert [mixed.halo(j) for j in range(3)] == [2, 2, arm.FSRCNN(8, 2).halo]
    assert mixed(torch.rand(2, 3, 6, 5), 1).shape == (2, 3, 12, 10)
    assert mixed.deployed() is mixed


def test_a_branch_with_a_tensor_that_cannot_move_is_counted_by_running_it():
    class Tinted(nn.Sequential):
        tint = torch.ones(3, 1, 1)

        def forward(self, x):
            return super().forward(x * self.tint)

    own = Tinted(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
    assert arm.Mixed([own]).macs(0, 10, 7) == 3 * 12 * 9 * 70


def test_mixed_branches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="same factor"):
        arm.Mixed([arm.Interpolation(2), arm.FSRCNN(8, 4)])
    with pytest.raises(ValueError, match="three channels"):
        arm.Mixed([nn.Conv2d(3, 12, 1)])
    with pytest.raises(TypeError, match="not a torch"):
        arm.Mixed([lambda x: x])
    with pytest.raises(ValueError, match="2 names"):
        arm.Mixed([arm.Interpolation()], ["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        arm.Mixed([])
    with pytest.raises(ValueError, match="no branch 1"):
        arm.Mixed([arm.Interpolation()])(torch.rand(1, 3, 4, 4), 1)
