"""The paper's two spaces: every golden subnet, counts, laws, and bad input."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from lithe.pssnet import Costs, Subnet, mobilenet_v1_space, mobilenet_v2_space

SPACES = {"mbv1": mobilenet_v1_space(), "mbv2": mobilenet_v2_space()}


def golden_subnets(golden, net):
    return json.loads((golden / f"pss_subnets_{net}.json").read_text())["subnets"]


@pytest.mark.parametrize("net", SPACES)
def test_every_golden_subnet_costs_what_it_should(golden, net):
    space = SPACES[net]
    rows = golden_subnets(golden, net)
    assert len(rows) == 24
    for row in rows:
        subnet = space.subnet(row["resolution"], row["ratios"])
        assert list(subnet.widths) == row["channels"]
        assert list(space.effective(subnet).widths) == row["effective_channels"]
        assert space.macs(subnet) == row["macs"]
        assert space.params(subnet) == row["params_total"]
        assert space.norm_floats(subnet) == row["bn_running_stat_floats"]


def test_max_and_min_net_are_the_golden_ones(golden):
    for net, space in SPACES.items():
        rows = {row["name"]: row for row in golden_subnets(golden, net)}
        for name, subnet in (("max", space.largest()), ("min", space.smallest())):
            assert subnet == space.subnet(rows[name]["resolution"], rows[name]["ratios"])


def test_reachable_channels_and_their_chances_equal_golden(golden):
    choices = json.loads((golden / "pss_space_choices.json").read_text())
    for space in SPACES.values():
        for base, row, weights in zip(space.bases, space.choices, space.weights):
            known = choices["channel_choices"][str(base)]
            assert list(row) == known["values"]
            np.testing.assert_allclose(weights, known["prob"], rtol=0, atol=1e-12)
        assert list(space.resolutions) == choices["resolution"]["values"]
        np.testing.assert_allclose(
            space.resolution_weights, choices["resolution"]["prob"], rtol=0, atol=1e-12
        )


def test_numbers_of_distinct_subnets():
    assert f"{mobilenet_v1_space().count():.3g}" == "4.15e+15"
    assert mobilenet_v2_space().count() == 1_688_544
    assert mobilenet_v2_space(head="full").count() == 41_184


def test_the_released_head_counts_nowhere_but_in_tables():
    space = mobilenet_v2_space()
    wide = space.subnet(224, 1.0)
    narrow = Subnet(224, (*wide.widths[:-1], 960))
    assert space.macs(wide) == space.macs(narrow)
    assert space.params(wide) == space.params(narrow)
    assert space.blocks(wide)[-2] != space.blocks(narrow)[-2]
    assert space.effective(narrow) == wide


def test_a_sliced_head_is_as_narrow_as_it_says():
    space = mobilenet_v2_space(head="sliced")
    wide = space.subnet(224, 1.0)
    narrow = Subnet(224, (*wide.widths[:-1], 960))
    saved = 320 * (320 * 49 + 49 + 1000)
    assert space.macs(wide) - space.macs(narrow) == saved
    assert space.params(wide) - space.params(narrow) == 320 * (320 + 2 + 1000)
    assert space.effective(narrow) == narrow


@pytest.mark.parametrize("net", SPACES)
def test_terms_add_up_to_the_macs(net):
    space, generator = SPACES[net], torch.Generator().manual_seed(0)
    costs = Costs(space)
    subnets = [space.sample(generator) for _ in range(50)]
    assert [costs.cost(s) for s in subnets] == [space.macs(s) for s in subnets]
    for resolution in (128, 200):
        own = [Subnet(resolution, s.widths) for s in subnets]
        many = costs.many(resolution, np.array([space.options(s) for s in own]))
        assert many.tolist() == [space.macs(s) for s in own]


def test_draws_follow_the_weights():
    space, generator = SPACES["mbv1"], torch.Generator().manual_seed(0)
    subnets = [space.sample(generator) for _ in range(4000)]
    seen = Counter(s.resolution for s in subnets)
    rows = [([seen[r] for r in space.resolutions], space.resolution_weights)]
    for j in (0, 3, 11):
        seen = Counter(s.widths[j] for s in subnets)
        rows.append(([seen[c] for c in space.choices[j]], space.weights[j]))
    for counts, weights in rows:
        assert chisquare(counts, 4000 * np.array(weights)).pvalue > 1e-4


def test_subnets_are_keys():
    space = SPACES["mbv1"]
    one, same = space.subnet(224, 0.9), space.subnet(224, [0.9] * 14)
    assert one == same
    assert len({one, same}) == 1
    with pytest.raises(AttributeError):
        one.resolution = 128


def test_what_is_not_in_a_space_is_refused():
    space = SPACES["mbv1"]
    with pytest.raises(ValueError, match=r"3 ratios given; this space has 14"):
        space.subnet(224, [1.0] * 3)
    with pytest.raises(ValueError, match=r"ratio of stem is 0\.5; this space has 0\.75 to 1\.0"):
        space.subnet(224, 0.5)
    with pytest.raises(ValueError, match=r"resolution is 225; it must be one of 128, 136"):
        space.subnet(225, 1.0)
    with pytest.raises(ValueError, match=r"stem is 25 channels; it must be one of 24, 32"):
        space.macs(Subnet(224, (25, *space.largest().widths[1:])))
    with pytest.raises(ValueError, match=r"2 widths; this space has 14"):
        space.check(Subnet(224, (32, 64)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratios": (0.0, 1.0)}, "ratios is"),
        ({"ratios": (0.9, 0.8)}, "ratios is"),
        ({"resolutions": (100, 224)}, "resolutions is"),
        ({"resolutions": (224, 128)}, "resolutions is"),
        ({"head": "none"}, "head is 'none'; it may be released, full, sliced"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mobilenet_v2_space(**options)
