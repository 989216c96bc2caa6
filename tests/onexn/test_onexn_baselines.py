"""The baselines remove what they say, at the same rate; the schedule rises as it should."""

from __future__ import annotations

import pytest
import torch

from lithe import onexn
from lithe.onexn.grid import Grid

WEIGHT = torch.randn(16, 12, 3, 3, generator=torch.Generator().manual_seed(0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_all_baselines_remove_the_same_share():
    masks = [
        onexn.weight_mask(WEIGHT, 0.75),
        onexn.filter_mask(WEIGHT, 0.75),
        onexn.kernel_mask(WEIGHT, 0.75),
        onexn.block_mask(WEIGHT, 4, 0.75),
        onexn.random_block_mask(WEIGHT, 4, 0.75, seeded()),
    ]
    for mask in masks:
        assert mask.shape == WEIGHT.shape
        assert mask.dtype is torch.bool
        assert float(mask.float().mean()) == 0.25


def test_finer_patterns_keep_more_of_the_weight():
    masks = [onexn.weight_mask(WEIGHT, 0.5), onexn.kernel_mask(WEIGHT, 0.5)]
    masks += [onexn.block_mask(WEIGHT, n, 0.5) for n in (4, 16)]
    kept = [float(WEIGHT[mask].abs().sum()) for mask in masks]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] > float(WEIGHT[onexn.random_block_mask(WEIGHT, 16, 0.5, seeded())].abs().sum())


def test_each_baseline_keeps_the_largest():
    weights = onexn.weight_mask(WEIGHT, 0.3)
    assert WEIGHT[weights].abs().min() > WEIGHT[~weights].abs().max()
    filters = onexn.filter_mask(WEIGHT, 0.3).flatten(1)
    assert torch.equal(filters.all(1), filters.any(1))
    norms = WEIGHT.abs().flatten(1).sum(1)
    assert norms[filters.all(1)].min() > norms[~filters.all(1)].max()
    kernels = onexn.kernel_mask(WEIGHT, 0.3).flatten(2)
    assert torch.equal(kernels.all(2), kernels.any(2))
    norms = WEIGHT.abs().flatten(2).sum(2)
    assert norms[kernels.all(2)].min() > norms[~kernels.all(2)].max()


def test_random_blocks_are_drawn_without_replacement():
    flat = WEIGHT.new_zeros(64, 64)
    mask = onexn.random_block_mask(flat, 4, 0.5, seeded())
    kept = Grid(flat.shape, 4).kept(mask)
    assert int((~kept).sum()) == 512
    assert torch.equal(mask, onexn.random_block_mask(flat, 4, 0.5, seeded()))
    assert not torch.equal(mask, onexn.random_block_mask(flat, 4, 0.5, seeded(1)))
    drawn = torch.randint(1024, (512,), generator=seeded())  # as the released baseline draws
    assert 0.37 < len(drawn.unique()) / 1024 < 0.41


def test_random_blocks_reach_every_block_equally_often():
    flat = WEIGHT.new_zeros(5, 4)  # a full row of blocks and a narrow one
    generator = seeded(5)
    draws = [onexn.random_block_mask(flat, 4, 0.5, generator) for _ in range(400)]
    share = torch.stack(draws).float().mean(0)
    assert float((share - 0.5).abs().max()) < 0.1  # four standard deviations


@pytest.mark.parametrize("mask", [onexn.weight_mask, onexn.filter_mask, onexn.kernel_mask])
def test_baselines_refuse_bad_input(mask):
    with pytest.raises(ValueError, match="sparsity is 1"):
        mask(WEIGHT, 1)
    with pytest.raises(ValueError, match="NaN"):
        mask(WEIGHT * torch.nan, 0.5)
    with pytest.raises(TypeError, match="int64"):
        mask(WEIGHT.long(), 0.5)


def test_the_cubic_schedule():
    values = [onexn.cubic_sparsity(t, 2, 12, 0.8) for t in range(15)]
    assert values[:3] == [0, 0, 0]
    assert values[12:] == [0.8, 0.8, 0.8]
    assert values == sorted(values)
    assert values[7] == pytest.approx(0.8 * (1 - 0.5**3))
    assert onexn.cubic_sparsity(7, 2, 12, 0.8, 0.4) == pytest.approx(0.8 - 0.4 / 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 1, 1.0), "sparsity is 1.0"),
        ((0, 1, 1, 0.5), "end must come later"),
        ((0, 0, 1, 0.5, 0.6), "initial is 0.6"),
        ((float("nan"), 0, 1, 0.5), "step is NaN"),
    ],
)
def test_the_schedule_refuses_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        onexn.cubic_sparsity(*arguments)
