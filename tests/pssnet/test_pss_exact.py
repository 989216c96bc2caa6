"""The exact sampler: inside its bin, unbiased, whatever the space and the resource."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from lithe.pssnet import (
    PAPER_BUDGETS,
    Block,
    Costs,
    EmptyBinError,
    ExactSampler,
    LatencyTable,
    Slot,
    Space,
    TooCoupledError,
    mobilenet_v1_space,
    mobilenet_v2_space,
    sample_at,
)
from lithe.pssnet.elimination import elimination

SMALL = mobilenet_v2_space(ratios=(0.9, 1.0), resolutions=(128, 144), head="full")


class Toy(Space):
    """Five widths with terms as in a residual network: 0 meets all others, 3 and 4 meet."""

    pairs = ((0, 1), (0, 2), (0, 3), (3, 4), (1,), ())

    def __init__(self):
        rows = [(2, 4, 6), (1, 2, 3, 5), (3, 7), (1, 4, 9), (2, 3)]
        weights = [(1, 2, 3), (4, 1, 1, 2), (1, 1), (1, 5, 1), (2, 1)]
        super().__init__("abcde", rows, (8, 16), weights, (1, 3))

    def layout(self, resolution):
        return tuple(
            Slot(pair, lambda *c, k=k: Block(f"b{k}", resolution, *(*c, 1, 1)[:2], macs=_toy(c, k)))
            for k, pair in enumerate(self.pairs)
        )

    def channels(self, position, ratio):
        return self.choices[position][-1]


def _toy(widths, k):
    return (k + 3) * int(np.prod(widths)) + 7 * sum(widths)


def noisy(space, seed=0):
    """A table of random times, as little monotone as the published CPU ones."""
    rng = np.random.default_rng(seed)
    blocks = {
        slot.block(*widths)
        for r in space.resolutions
        for slot in space.layout(r)
        for widths in product(*(space.choices[j] for j in slot.depends))
    }
    return LatencyTable({"cpu": {block: float(rng.gamma(4.0, 25.0)) for block in blocks}})


CASES = {
    "macs": (SMALL, "macs"),
    "latency": (SMALL, noisy(SMALL)),
    "residual": (Toy(), "macs"),
    "residual latency": (Toy(), noisy(Toy())),
}


@pytest.mark.parametrize("law", ["uniform", "space"])
@pytest.mark.parametrize("case", CASES)
def test_the_law_inside_a_bin_is_the_enumerated_one(case, law):
    space, resource = CASES[case]
    costs = Costs(space, resource)
    every = {s: costs.cost(s) for s in space.subnets()}
    low, high = min(every.values()), max(every.values())
    sampler = ExactSampler(space, resource, law, cells=100)
    assert sampler.range == pytest.approx((low, high), rel=1e-12)
    generator = torch.Generator().manual_seed(1)
    for target in (low, float(np.median(list(every.values()))), high):
        tolerance = 0.08 * (high - low)
        inside = [s for s, cost in every.items() if abs(cost - target) <= tolerance]
        chance = np.array([_chance(space, s) if law == "space" else 1.0 for s in inside])
        seen = Counter(sampler.draw_many(target, tolerance, 3000, generator))
        assert set(seen) <= set(inside)
        expected = 3000 * chance / chance.sum()
        assert _fits([seen[s] for s in inside], expected)


def _chance(space, subnet):
    chance = space.resolution_weights[space.resolutions.index(subnet.resolution)]
    for k, weights in zip(space.options(subnet), space.weights):
        chance *= weights[k]
    return chance


def _fits(seen, expected):
    """Chi-square with rare outcomes thrown together."""
    order = np.argsort(expected)
    seen, expected = np.array(seen)[order], np.array(expected)[order]
    group = np.floor(np.cumsum(expected) / 8).astype(int)
    group = np.minimum(group, group[-1] - 1) if group[-1] else group
    rows = [(seen[group == g].sum(), expected[group == g].sum()) for g in np.unique(group)]
    if len(rows) < 2:
        return True
    observed, wanted = map(np.array, zip(*rows))
    return chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-4


def test_the_check_itself_can_fail():
    expected = np.full(40, 50.0)
    assert _fits(np.full(40, 50), expected)
    assert not _fits(np.r_[np.full(20, 75), np.full(20, 25)], expected)


@pytest.mark.parametrize(
    ("net", "make"), [("mobilenet_v1", mobilenet_v1_space), ("mobilenet_v2", mobilenet_v2_space)]
)
def test_every_published_bin_of_macs_is_filled(net, make):
    space, budget = make(), PAPER_BUDGETS[net, "macs"]
    sampler, generator = ExactSampler(space), torch.Generator().manual_seed(0)
    for target in budget.targets:
        subnets = sampler.draw_many(target, budget.tolerance, 8, generator)
        assert len(subnets) == 8
        assert all(abs(space.macs(s) - target) <= budget.tolerance for s in subnets)
        assert len(set(subnets)) > 1


def test_a_big_bin_looks_like_plain_rejection():
    space = mobilenet_v1_space()
    sampler, generator = ExactSampler(space, law="space"), torch.Generator().manual_seed(3)
    plain = (space.sample(generator) for _ in range(8000))
    plain = [s for s in plain if abs(sampler.costs.cost(s) - 300e6) <= 10e6]
    exact = sampler.draw_many(300e6, 10e6, 5000, generator)
    chance = sampler.chance(300e6, 10e6)
    for subnets in (plain, exact):
        seen = Counter(s.resolution for s in subnets)
        assert _fits([seen[r] for r in chance], [len(subnets) * p for p in chance.values()])
    j = space.names.index("block2")  # the costliest width: 120 of 128 channels or so
    ours, theirs = (np.mean([s.widths[j] for s in subnets]) for subnets in (plain, exact))
    spread = np.std([s.widths[j] for s in exact])
    assert abs(ours - theirs) < 4 * spread * (len(plain) ** -0.5 + len(exact) ** -0.5)


def test_one_bin_of_the_published_cpu_grid_is_empty(golden):
    """No subnet of the shipped CPU table takes 30 ms, however it is sampled."""
    space, table = mobilenet_v1_space(), LatencyTable.load(golden / "pss_lut_mbv1.npz")
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(EmptyBinError, match=r"this space reaches from 8398\.\d+ to 28506\.\d+ us"):
        sample_at(space, table, 30_000, 500, generator)
    subnet = sample_at(space, table, 29_000, 500, generator)
    assert 28_500 <= table.latency_us(space, subnet) <= 28_506.5
    fast = sample_at(space, table.on("gpu"), 80, 5, generator)
    assert 75 <= table.latency_us(space, fast, "gpu") <= 85


def test_both_ends_of_a_bin_belong_to_it():
    costs = sorted({SMALL.macs(s) for s in SMALL.subnets()})
    generator = torch.Generator().manual_seed(0)
    for cost in (costs[0], costs[len(costs) // 2], costs[-1]):
        assert SMALL.macs(sample_at(SMALL, "macs", cost, 0, generator)) == cost
    gap = max(range(len(costs) - 1), key=lambda k: costs[k + 1] - costs[k])
    middle, half = (costs[gap] + costs[gap + 1]) / 2, (costs[gap + 1] - costs[gap]) / 2
    ends = {SMALL.macs(sample_at(SMALL, "macs", middle, half, generator)) for _ in range(60)}
    assert ends == {costs[gap], costs[gap + 1]}
    with pytest.raises(EmptyBinError, match="found no subnet that costs"):
        sample_at(SMALL, "macs", middle, half - 1, generator)


def test_the_generator_alone_decides():
    one, two = ([*_draws(11)], [*_draws(11)])
    assert one == two
    assert one != [*_draws(12)]


def _draws(seed):
    generator = torch.Generator().manual_seed(seed)
    for target in (90e6, 115e6, 130e6):
        yield sample_at(SMALL, "macs", target, 5e6, generator)


def test_budgets_out_of_reach_say_the_range():
    generator = torch.Generator().manual_seed(0)
    for target in (1e6, 1e9):
        with pytest.raises(EmptyBinError, match=r"reaches from \d+ to \d+ MACs"):
            sample_at(SMALL, "macs", target, 5e6, generator)
    for target, tolerance in ((float("nan"), 1.0), (9e7, -1.0), (9e7, float("inf"))):
        with pytest.raises(ValueError, match="must be finite"):
            sample_at(SMALL, "macs", target, tolerance, generator)


def test_unknown_resources_and_laws_are_refused():
    with pytest.raises(ValueError, match="resource is 'joules'"):
        ExactSampler(SMALL, "joules")
    with pytest.raises(ValueError, match="law is 'prior'; it may be uniform or space"):
        ExactSampler(SMALL, law="prior")


def test_a_space_too_entangled_to_count_is_refused():
    class Dense(Toy):
        pairs = ((0, 1, 2, 3, 4),)

        def __init__(self):
            rows = [range(1, 33)] * 5
            Space.__init__(self, "abcde", rows, (8,))

    with pytest.raises(TooCoupledError, match="one block depends on 5 widths"):
        ExactSampler(Dense())


def test_few_widths_are_alive_at_a_time():
    chain = [(j, j + 1) for j in range(9)]
    assert max(len(step.scope) for step in elimination(chain, [5] * 10)) == 2
    residual = [(0, j) for j in range(1, 10)]
    steps = elimination(residual, [5] * 10)
    assert max(len(step.scope) for step in steps) == 2
    assert sorted(step.variable for step in steps) == list(range(10))
    done = [t for step in steps for t in step.terms]
    assert sorted(done) == list(range(9))
