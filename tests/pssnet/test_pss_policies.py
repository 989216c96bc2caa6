"""Policies: where subnets come from, what is remembered, bit-equal resume."""

import json
from collections import Counter
from math import inf

import pytest
import torch

from lithe.pssnet import (
    POLICIES,
    Budget,
    Choice,
    Draw,
    EmptyBinError,
    LatencyTable,
    PooledPolicy,
    Settings,
    Subnet,
    anneal,
    mobilenet_v2_space,
    policy,
)

SPACE = mobilenet_v2_space()
MACS = Budget("macs", 100_000_000, 220_000_000, 20_000_000)
EPOCHS = 10


def make(name, seed=0, **changes):
    if name != "uniform":
        changes = {"capacity": 4, "draws": 2000} | changes
    return policy(name, SPACE, [MACS], torch.Generator().manual_seed(seed), **changes)


def metric(subnet, epoch):
    """A made-up performance: better later, better when wide."""
    return -3.0 + 0.1 * epoch + 0.0001 * sum(subnet.widths)


def run(own, epochs, iterations=25, start=0):
    """The iterations of some epochs, as training would call them."""
    seen = []
    for epoch in range(start, epochs):
        own.begin_epoch(epoch, EPOCHS)
        for _ in range(iterations):
            for choice in own.next_subnets():
                own.update(choice, metric(choice.subnet, epoch))
                seen.append(choice)
            for choice in own.checkups():
                own.rescore(choice, metric(choice.subnet, epoch))
                seen.append(choice)
    return seen


@pytest.mark.parametrize("name", POLICIES)
def test_resume_is_bit_equal(name):
    whole, first = make(name), make(name)
    straight = run(whole, 6)
    before = run(first, 3)
    state = json.loads(json.dumps(first.state_dict(), allow_nan=False))
    second = make(name, seed=99)  # another seed: the state brings its own
    second.load_state_dict(state)
    after = run(second, 6, start=3)
    assert before + after == straight
    assert second.state_dict() == whole.state_dict()
    assert second.retained() == whole.retained()


@pytest.mark.parametrize("name", [n for n in POLICIES if n != "uniform"])
def test_every_choice_is_inside_its_bin(name):
    for choice in run(make(name), 3):
        resource, target = choice.place
        assert resource == "macs"
        assert MACS.target(SPACE.macs(choice.subnet)) == target


def test_pools_are_visited_alike():
    own = make("released")
    own.begin_epoch(0, EPOCHS)
    seen = Counter(own.next_subnets()[0].place[1] for _ in range(600))
    assert set(seen) == set(MACS.targets)
    assert min(seen.values()) > 80  # 120 each, give or take 4 standard deviations


def test_epoch_zero_and_pools_that_are_not_full_take_from_the_space():
    own = make("released")
    assert {c.source for c in run(own, 1)} == {"space"}
    own.begin_epoch(EPOCHS - 1, EPOCHS)
    for pool in own.pools.values():
        pool.restore(pool.entries()[:3], pool.clock)
    assert {own.next_subnets()[0].source for _ in range(50)} == {"space"}


def test_the_share_of_the_space_anneals():
    own = make("released")
    run(own, 4)
    own.begin_epoch(5, EPOCHS)
    share = anneal(5, EPOCHS)
    assert (own.space_share, own.temperature) == (share, share)
    sources = Counter(own.next_subnets()[0].source for _ in range(1000))
    assert abs(sources["space"] / 1000 - share) < 0.04


def test_space_only_never_draws_from_its_pools_but_fills_them():
    own = make("space")
    assert {c.source for c in run(own, 9)} == {"space"}
    assert all(pool.full for pool in own.pools.values())


def test_pool_uniform_has_no_preference():
    own = make("pool-uniform")
    assert own.temperature == inf


def test_released_pools_know_ratios_and_ours_know_networks():
    released, ours = make("released"), make("effective")
    run(released, 2), run(ours, 2)
    assert all(isinstance(key, Draw) for pool in released.pools.values() for key in pool)
    keys = [key for pool in ours.pools.values() for key in pool]
    assert all(isinstance(key, Subnet) and key.widths[-1] == 1280 for key in keys)
    assert (released.held_out, ours.held_out) == (False, True)


def test_ours_measures_resting_entries_again():
    ours = make("effective", rescore=2)
    ours.begin_epoch(0, EPOCHS)
    assert ours.checkups() == ()
    run(ours, 1)
    for choice in ours.checkups():
        pool = ours.pools[choice.place]
        assert choice.key == pool.stalest()
        ours.rescore(choice, -1.0)
        assert choice.key != pool.stalest() or len(pool) == 1
    gone = Choice(SPACE.largest(), next(iter(ours.pools)), "pool", SPACE.largest())
    ours.rescore(gone, -1.0)  # evicted in the meantime: nothing happens
    assert gone.key not in ours.pools[gone.place]
    assert make("released").checkups() == ()


def test_the_best_of_every_pool_are_retained_once_each():
    own = make("released", capacity=6)
    draw = Draw(SPACE.subnet(160, 0.9), (0.9,) * 9)
    twin = Draw(draw.subnet, (0.9,) * 8 + (0.901,))
    other = Draw(SPACE.subnet(168, 0.8), (0.8,) * 9)
    place = next(iter(own.pools))
    for key, value in ((other, -2.0), (draw, -1.0), (twin, -1.5)):
        own.update(Choice(key.subnet, place, "space", key), value)
    assert own.retained() == {place: (draw.subnet, other.subnet)}
    assert own.retained(top=1) == {place: (draw.subnet,)}


def test_uniform_widths_are_one_ratio_at_full_resolution():
    own = make("uniform")
    ratios = {SPACE.subnet(224, k / 1000) for k in range(750, 1001)}
    for choice in run(own, 2):
        assert choice.source == "uniform"
        assert choice.subnet in ratios
    kept = own.retained()
    assert set(kept) == {("macs", target) for target in MACS.targets}
    for (_, target), (subnet,) in kept.items():
        assert abs(SPACE.macs(subnet) - target) == min(abs(SPACE.macs(s) - target) for s in ratios)


def test_mixed_resources_keep_their_own_pools(golden):
    table = LatencyTable.load(golden / "pss_lut_mbv2.npz")
    budgets = [MACS, Budget("cpu", 12_000, 30_000, 3000)]
    generator = torch.Generator().manual_seed(0)
    own = policy("effective", SPACE, budgets, generator, {"cpu": table}, capacity=2)
    seen = run(own, 1, iterations=60)
    places = Counter(choice.place[0] for choice in seen)
    assert set(places) == {"macs", "cpu"}
    for choice in seen:
        if choice.place[0] == "cpu":
            assert abs(table.latency_us(SPACE, choice.subnet) - choice.place[1]) <= 1500


def test_targets_out_of_reach_are_listed_not_visited():
    wide = Budget("macs", 20_000_000, 420_000_000, 40_000_000)
    generator = torch.Generator().manual_seed(0)
    for name in ("released", "effective"):
        own = policy(name, SPACE, [wide], generator, capacity=2, draws=2000)
        served = {target for _, target in own.pools}
        assert served | {target for _, target in own.unreachable} == set(wide.targets)
        assert 340_000_000 not in served
        assert not served & {target for _, target in own.unreachable}


def test_what_makes_no_sense_is_refused():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="no policy 'best'; there are uniform, space"):
        make("best")
    with pytest.raises(ValueError, match="the uniform policy has no capacity"):
        make("uniform", capacity=3)
    with pytest.raises(ValueError, match="the exact sampler knows no ratios"):
        make("effective", keys="ratios")
    with pytest.raises(ValueError, match="is unknown"):
        Settings(sampler="best")
    with pytest.raises(ValueError, match="rescore -1"):
        make("effective", rescore=-1)
    with pytest.raises(ValueError, match="a budget is about 'cpu'; resources has macs"):
        policy("effective", SPACE, [Budget("cpu", 1, 10, 1)], generator)
    with pytest.raises(ValueError, match="one for each resource"):
        PooledPolicy("x", SPACE, [MACS, MACS], generator, Settings())
    far = Budget("macs", 10**10, 2 * 10**10, 10**9)
    with pytest.raises(EmptyBinError, match="no subnet of the space hits any target"):
        policy("effective", SPACE, [far], generator)


def test_states_of_other_policies_are_refused():
    released = make("released")
    with pytest.raises(ValueError, match="settings are"):
        make("space").load_state_dict(released.state_dict() | {"policy": "space"})
    with pytest.raises(ValueError, match="of policy 'released', not 'uniform'"):
        make("uniform").load_state_dict(released.state_dict())
    other = policy(
        "released",
        SPACE,
        [Budget("macs", 100_000_000, 200_000_000, 20_000_000)],
        torch.Generator().manual_seed(0),
        capacity=4,
        draws=2000,
    )
    with pytest.raises(ValueError, match="other budgets"):
        other.load_state_dict(released.state_dict())
    with pytest.raises(ValueError, match="it must be from 0"):
        released.begin_epoch(11, EPOCHS)


def test_a_bin_of_ties_alone_is_unreachable_and_not_searched_for_ever(monkeypatch):
    """Subnets on the border of two bins belong to one of them; the other has no pool."""
    kept = Budget.contains
    lost = MACS.targets[1]
    monkeypatch.setattr(Budget, "contains", lambda b, t, value: t != lost and kept(b, t, value))
    found = make("effective")
    assert ("macs", lost) in found.unreachable
    assert len(found.pools) == len(MACS.targets) - len(found.unreachable)
    monkeypatch.setattr(Budget, "contains", lambda b, t, value: False)
    with pytest.raises(EmptyBinError, match="hits any target"):
        make("effective")


def test_targets_are_all_that_lie_strictly_between():
    assert Budget("macs", 0, 25, 10).targets == (10, 20)
    assert Budget("macs", 0, 30, 10).targets == (10, 20)
