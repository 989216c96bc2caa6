from __future__ import annotations

import pytest
import torch

from lithe.data import generator_for, mixed_seed


def test_seeds_of_neighbouring_numbers_all_differ():
    seeds = {mixed_seed(a, b, c) for a in range(10) for b in range(10) for c in range(10)}
    assert len(seeds) == 1000
    assert mixed_seed(0, 1) != mixed_seed(1, 0)


def test_the_same_numbers_give_the_same_stream():
    a, b = (torch.rand(5, generator=generator_for(3, 1)) for _ in range(2))
    assert torch.equal(a, b)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        generator_for(-1)
