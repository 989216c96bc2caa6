from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lithe.training.feed import Plan, micro_batches

PLAN = Plan(n=30, batch_size=8, drop_last=False, seed=0, epoch=0)


def test_every_item_comes_once_an_epoch():
    batches = [indices for _, indices in PLAN.batches()]
    assert [len(batch) for batch in batches] == [8, 8, 8, 6]
    assert sorted(torch.cat(batches).tolist()) == list(range(30))
    dropped = replace(PLAN, drop_last=True)
    assert [len(batch) for _, batch in dropped.batches()] == [8, 8, 8]
    assert dropped.steps == 3


def test_order_changes_with_epoch_and_seed_alone():
    orders = [
        replace(PLAN, **change).order().tolist()
        for change in ({}, {"epoch": 1}, {"seed": 1}, {"batch_size": 4}, {"pieces": 3})
    ]
    assert orders[0] == orders[3] == orders[4]
    assert orders[0] != orders[1] != orders[2]


def test_starting_late_gives_the_rest_of_the_same_epoch(images):
    whole, late = list(micro_batches(images, PLAN)), list(micro_batches(images, PLAN, 2))
    assert len(whole) == 4
    assert len(late) == 2
    for (x, y), (late_x, late_y) in zip(whole[2:], late, strict=True):
        assert torch.equal(x, late_x)
        assert torch.equal(y, late_y)


def test_steps_are_augmented_differently(images):
    same = replace(images, pixels=images.pixels[:1].expand(30, -1, -1, -1).contiguous())
    firsts = [x[0] for x, _ in micro_batches(same, PLAN)]
    assert not all(torch.equal(firsts[0], other) for other in firsts[1:])


@given(n=st.integers(1, 20), processes=st.integers(1, 4), accumulate=st.integers(1, 4))
def test_parts_cover_a_batch_once_and_their_shares_add_up(n, processes, accumulate):
    pieces, seen, total = processes * accumulate, [], 0.0
    for process in range(processes):
        mine = tuple(range(process * accumulate, (process + 1) * accumulate))
        parts = replace(PLAN, pieces=pieces, mine=mine).parts(n)
        assert len(parts) == accumulate  # all processes take part in every exchange
        for cut, share in parts:
            items = list(range(n))[cut]
            assert items
            total += share
            seen += items if share else []
            assert share in (0.0, pytest.approx(len(items) / n))
    assert seen == list(range(n))
    assert total == pytest.approx(1)


def test_micro_batches_put_together_are_the_whole_batch(images):
    whole = list(micro_batches(images, PLAN))
    parts = [
        list(micro_batches(images, replace(PLAN, pieces=4, mine=(2 * p, 2 * p + 1))))
        for p in (0, 1)
    ]
    for k, (x, y) in enumerate(whole):
        pieces = [*parts[0][2 * k : 2 * k + 2], *parts[1][2 * k : 2 * k + 2]]
        assert torch.equal(torch.cat([piece[0] for piece in pieces]), x)
        assert torch.equal(torch.cat([piece[1] for piece in pieces]), y)
