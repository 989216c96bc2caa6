"""Pools, priority, annealing and losses: golden traces step by step."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.nn import functional as F

from lithe.pssnet import (
    Pool,
    anneal,
    distillation_loss,
    effective_size,
    performance,
    priority,
)

METRICS = st.floats(-10, 0)


def test_pools_follow_the_golden_traces(golden):
    for trace in json.loads((golden / "pss_pool_traces.json").read_text()):
        pools = {}
        for event in trace["events"]:
            new = Pool(trace["pool_size"], trace["ema_lambda"])
            pool = pools.setdefault(event["target"], new)
            change = pool.update(event["key"], event["metric"])
            assert change.kind == event["kind"]
            assert change.evicted == event["evicted"]
            assert change.evicted_value == event["evicted_metric"]
            assert [list(pair) for pair in pool.items()] == event["pool_after"]


def test_priorities_equal_golden(golden):
    for case in json.loads((golden / "pss_priority.json").read_text())["cases"]:
        chances = priority(case["metrics"], case["temperature"])
        assert chances.dtype == torch.float64
        np.testing.assert_allclose(chances, case["prob"], rtol=1e-12, atol=1e-300)
        assert math.log(effective_size(chances)) == pytest.approx(case["entropy_nats"], abs=1e-12)


def test_annealing_equals_golden(golden):
    known = json.loads((golden / "pss_schedule.json").read_text())
    for epochs in (250, 100, 30):
        path = [anneal(e, epochs, 1.0, 0.01) for e in range(epochs)]
        assert path == known[str(epochs)]["p_space"] == known[str(epochs)]["temperature"]
    other = known["other_range_example"]
    path = [anneal(e, other["E"], other["start"], other["end"]) for e in range(other["E"])]
    assert path == other["values"]


def test_share_of_the_space_over_the_papers_run():
    shares = [anneal(e, 250) for e in range(250)]
    assert [next(e for e, p in enumerate(shares) if p < x) for x in (0.5, 0.1)] == [38, 126]
    assert round(100 * sum(shares) / 250, 1) == 21.7  # spec 3.4


def test_losses_equal_golden(golden):
    case = np.load(golden / "pss_losses.npz")
    student = torch.tensor(case["student"], requires_grad=True)
    teacher = torch.tensor(case["teacher"], requires_grad=True)
    loss = distillation_loss(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(case["kl"].item(), rel=1e-6)
    np.testing.assert_allclose(student.grad, case["dkl_dstudent"], rtol=1e-5, atol=1e-7)
    assert teacher.grad is None
    labels = torch.tensor(case["labels"])
    assert performance(teacher, labels) == pytest.approx(case["metric_of_teacher"].item(), rel=1e-6)
    assert -performance(teacher, labels) == pytest.approx(case["ce_teacher"].item(), rel=1e-6)


def test_distillation_is_the_cross_entropy_less_the_teachers_entropy():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    q = teacher.softmax(1)
    twin = F.cross_entropy(student, q) - torch.special.entr(q).sum(1).mean()
    torch.testing.assert_close(distillation_loss(student, teacher), twin)
    assert distillation_loss(student, student).abs() < 1e-12


@given(st.lists(st.tuples(st.integers(0, 9), METRICS), max_size=60), st.integers(1, 6))
def test_a_pool_keeps_to_its_capacity_and_evicts_its_least(stream, capacity):
    pool = Pool(capacity, 0.9)
    for key, metric in stream:
        before = dict(pool.items())
        change = pool.update(key, metric)
        assert len(pool) <= capacity
        if change.evicted is not None:
            assert change.evicted_value <= min([*before.values(), metric])
            assert change.evicted not in pool
    if len(pool):
        assert dict(pool.items())[pool.best()] == max(value for _, value in pool.items())
        assert [v for _, v in pool.ranked()] == sorted((v for _, v in pool.items()), reverse=True)


@given(st.lists(METRICS, min_size=1, max_size=40), st.floats(1e-3, 10), st.floats(-5, 5))
def test_priority_is_a_law_that_shifts_leave_alone(values, t, shift):
    chances = priority(values, t)
    assert float(chances.sum()) == pytest.approx(1)
    assert (chances >= 0).all()
    np.testing.assert_allclose(
        priority([v + shift for v in values], t), chances, rtol=1e-6, atol=1e-9
    )


def test_draws_follow_the_priority():
    pool = Pool(4, 0.9)
    for key, metric in (("a", -2.0), ("b", -1.9), ("c", -1.7), ("d", -2.4)):
        pool.update(key, metric)
    for t in (1.0, 0.1, math.inf):
        generator = torch.Generator().manual_seed(7)
        drawn = [pool.sample(t, generator) for _ in range(2000)]
        counts = [drawn.count(key) for key in pool]
        assert chisquare(counts, 2000 * pool.priorities(t).numpy()).pvalue > 1e-4


def test_the_stalest_entry_is_the_one_not_measured_for_longest():
    pool = Pool(3, 0.5)
    for key in "abca":
        pool.update(key, -1.0)
    assert pool.stalest() == "b"
    pool.rescore("b", -3.0)
    assert pool.stalest() == "c"
    assert dict(pool.items())["b"] == -2.0


def test_a_pool_restores_what_it_remembers():
    pool, back = Pool(3, 0.9), Pool(3, 0.9)
    for key, metric in zip("abcad", (-1.0, -2.0, -3.0, -0.5, -0.1)):
        pool.update(key, metric)
    back.restore(pool.entries(), pool.clock)
    for other in (pool, back):
        other.update("e", -0.7)
    assert pool.entries() == back.entries()
    assert pool.clock == back.clock


def test_what_makes_no_sense_is_refused():
    for options in ({"capacity": 0}, {"smoothing": 1.0}, {"smoothing": -0.1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Pool(**options)
    pool = Pool()
    with pytest.raises(LookupError, match="the pool is empty"):
        pool.best()
    with pytest.raises(LookupError, match="the pool is empty"):
        pool.sample(1.0, torch.Generator())
    with pytest.raises(ValueError, match="finite"):
        pool.update("a", float("nan"))
    assert len(pool) == 0
    with pytest.raises(KeyError):
        pool.rescore("a", -1.0)
    for values, t in (([], 1.0), ([float("nan")], 1.0), ([[1.0]], 1.0), ([1.0], 0.0)):
        with pytest.raises(ValueError, match="is"):
            priority(values, t)
    for arguments in ((-1, 10), (11, 10), (0, 0), (0, 10, 0.0), (0, 10, 1.0, float("inf"))):
        with pytest.raises(ValueError, match="it must be"):
            anneal(*arguments)
    with pytest.raises(ValueError, match=r"both must be \(n, classes\)"):
        distillation_loss(torch.zeros(2, 3), torch.zeros(2, 4))
