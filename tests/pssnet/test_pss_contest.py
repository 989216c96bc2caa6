"""The contest of policies: equal starts, honest counts, and a jury checked against plain loops."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from lithe.pssnet import Pool, contest, envelope, jury
from lithe.pssnet.diary import Diary
from lithe.pssnet.exhibits import Recording, Visit, lives, replayed
from lithe.pssnet.recalibrate import calibration_batches, recalibrate
from lithe.pssnet.settings import Config, split
from lithe.pssnet.supernet_training import evaluate_subnet

TINY = Config(
    train_images=64,
    held_out_images=32,
    test_images=40,
    widths=(4, 8),
    resolutions=(8, 16),
    divisor=2,
    ratios=(0.5, 1.0),
    targets=3,
    capacity=2,
    draws=500,
    epochs=3,
    batch_size=16,
)


@pytest.fixture(scope="module")
def images():
    return split("digits", TINY)


@pytest.fixture(scope="module")
def outcomes(images):
    names = ("uniform", "space", "released", "effective")
    return {name: _contend(name, images) for name in names}


def _contend(name, images, **options):
    return contest.contend(name, images, TINY.shape, TINY.recipe(0), **options)


def test_every_variant_is_a_policy_that_can_be_made(images):
    _, space = contest.build(images.train, TINY.shape, 0)
    budget = contest.grid(space, TINY.targets)
    for name, variant in contest.VARIANTS.items():
        made = contest._policy(variant, space, budget, TINY.shape, 0)
        assert made.name == variant.policy, name
        assert variant.says


def test_the_steps_between_released_and_effective_change_one_thing_each(images):
    _, space = contest.build(images.train, TINY.shape, 0)
    budget = contest.grid(space, TINY.targets)
    steps = [
        contest._policy(contest.VARIANTS[name], space, budget, TINY.shape, 0).settings
        for name in ("released", "keys", "rescored", "effective")
    ]
    released, keys, rescored, effective = steps
    assert keys == replace(released, keys="effective")
    assert rescored == replace(keys, rescore=1)
    assert effective == replace(rescored, sampler="exact", held_out=True)


def test_budgets_are_whole_inside_the_range_and_evenly_spread(images):
    _, space = contest.build(images.train, TINY.shape, 0)
    budget = contest.grid(space, 3)
    low, high = space.macs(space.smallest()), space.macs(space.largest())
    assert len(budget.targets) == 3
    assert all(isinstance(t, int) and low < t < high for t in budget.targets)
    assert len(set(np.diff([low, *budget.targets]))) == 1
    with pytest.raises(ValueError, match="targets do not fit"):
        contest.grid(space, high)


def test_same_seed_same_outcome_and_policies_start_alike(images, outcomes):
    again = _contend("released", images)
    assert again.metrics == outcomes["released"].metrics
    first = [contest.build(images.train, TINY.shape, seed)[0] for seed in (0, 0, 1)]
    weights = [network.state_dict()["body.0.weight"] for network in first]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_costs_are_counted_for_what_was_trained(images, outcomes):
    events = []
    outcome = _contend("released", images, watch=events.append)
    space = outcome.network.space
    ends = space.macs(space.largest()) + space.macs(space.smallest())
    macs = sum(ends + space.macs(event["choice"].subnet) for event in events)
    assert outcome.metrics["iterations"] == len(events) == 12
    assert outcome.metrics["train_macs"]["value"] == 3 * 16 * macs
    drawn = [event["choice"].source == "space" for event in events]
    assert outcome.metrics["space_share"]["value"] == pytest.approx(100 * fmean(drawn))
    distinct = {space.effective(event["choice"].subnet) for event in events}
    assert outcome.metrics["distinct"] == len(distinct)
    assert outcomes["space"].metrics["space_share"]["value"] == 100


def test_a_resumed_run_forgets_nothing(images, outcomes, tmp_path):
    def stop(event):
        if event["epoch"] == 2:
            raise MemoryError

    with pytest.raises(MemoryError):
        _contend("released", images, watch=stop, directory=tmp_path)
    again = _contend("released", images, directory=tmp_path)
    assert again.metrics == outcomes["released"].metrics


def test_the_jury_tests_what_the_pool_ranks_first_and_what_held_out_images_choose(images, outcomes):
    for name, outcome in outcomes.items():
        network, policy = outcome.network, outcome.policy
        batches = calibration_batches(images.train, 16, seed=0)

        def measured(subnet, data, network=network, batches=batches):
            recalibrate(network, subnet, batches)
            return evaluate_subnet(network, subnet, data, 16)

        first, best = [], []
        for place in sorted(policy.retained()):
            row = policy.retained()[place]
            scores = [measured(subnet, images.held_out)["top1"] for subnet in row]
            first.append(measured(row[0], images.test)["top1"])
            best.append(measured(row[scores.index(max(scores))], images.test)["top1"])
        assert outcome.curves["top1_pool"] == first, name
        assert outcome.curves["top1_chosen"] == best, name
        assert outcome.metrics["top1_chosen"]["value"] == pytest.approx(fmean(best))
        ends = network.space.smallest(), network.space.largest()
        low, high = (measured(subnet, images.test)["top1"] for subnet in ends)
        assert outcome.metrics["min_top1"]["value"] == low
        assert outcome.metrics["max_top1"]["value"] == high
        assert outcome.metrics["lowest_minus_min"]["value"] == pytest.approx(best[0] - low)


def test_rank_correlation_and_doubles_are_of_the_final_pools(images, outcomes):
    outcome = outcomes["released"]
    taus, entries, distinct = [], 0, 0
    for pool in outcome.policy.pools.values():
        subnets = [key.subnet for key in pool]
        entries, distinct = entries + len(subnets), distinct + len(set(subnets))
        found = [
            evaluate_subnet(outcome.network, subnet, images.held_out, 16)["loss"]
            for subnet in subnets
        ]
        if len(found) > 1:
            values = [value for _, value in pool.items()]
            taus.append(kendalltau(values, [-loss for loss in found]).statistic)
    expected = [tau for tau in taus if np.isfinite(tau)]
    assert outcome.metrics["doubles"]["value"] == pytest.approx(100 * (1 - distinct / entries))
    if expected:
        assert outcome.metrics["tau"] == pytest.approx(fmean(expected))


def test_height_is_the_mean_of_the_envelope_on_a_fine_grid():
    points = [(0.0, 10.0), (4.0, 30.0), (2.0, 5.0), (8.0, 25.0)]
    grid = np.linspace(1, 7, 200_001)
    x, y = zip(*envelope(points), (8.0, 30.0))
    assert jury.height(points, 1, 7) == pytest.approx(np.interp(grid, x, y).mean(), abs=1e-4)


def test_volume_is_a_staircase_above_chance():
    points = [(10.0, 20.0), (50.0, 60.0), (100.0, 50.0)]
    assert jury.volume(points, 100.0, 10.0) == pytest.approx(0.4 * 10 + 0.5 * 50)


def test_spread_out_keeps_both_ends():
    assert jury.spread_out(range(8), 3) == [0, 4, 7]
    assert jury.spread_out([1, 2], 3) == [1, 2]


def test_subnets_alone_cost_what_they_cost_inside(images, outcomes):
    outcome = outcomes["effective"]
    space = outcome.network.space
    subnets = [space.smallest(), space.largest()]
    metrics, curves = contest.alone(subnets, images, TINY.recipe(0))
    assert [metrics[f"macs_{k}"]["value"] for k in (0, 1)] == [space.macs(s) for s in subnets]
    assert curves["top1"] == [metrics[f"top1_{k}"]["value"] for k in (0, 1)]
    assert metrics["top1_0"]["n"] == 40


def test_the_callers_random_state_is_left_alone(images):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    _contend("uniform", images)
    assert torch.equal(torch.rand(3), expected)


def test_unknown_variant_is_refused_by_name(images):
    with pytest.raises(KeyError, match="fancy"):
        _contend("fancy", images)


def test_a_diary_reads_back_what_it_wrote(outcomes):
    policy = outcomes["released"].policy
    diary = Diary(policy)
    choice = policy.next_subnets()[0]
    diary.note({"choice": choice})
    other = Diary(policy)
    other.load_state_dict(diary.state_dict())
    assert other.metrics(1, 4) == diary.metrics(1, 4)


def test_lives_are_the_stays_of_a_replayed_pool():
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(60, 2, generator=generator).tolist()
    visits = tuple(Visit(0, False, int(8 * a), -b) for a, b in draws)
    recording = Recording(1, 3, 0.9, (1.0,), tuple("abcdefgh"), (visits,))
    stays = lives(recording, 0)
    assert sum(len(stay.visits) for stay in stays) == 60
    for until in range(61):
        pool: Pool[int] = Pool(3, 0.9)
        for visit in visits[:until]:
            pool.update(visit.subnet, visit.metric)
        assert replayed(recording, 0, until).items() == pool.items()
        inside = {s.subnet for s in stays if s.born < until <= s.gone or s.born < until > s.gone}
        present = {s.subnet for s in stays if s.born < until and s.gone >= until}
        assert set(pool) == present
        assert present <= inside
