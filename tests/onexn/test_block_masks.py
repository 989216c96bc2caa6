"""Block masks against the released ones, against loops, and where they deviate on purpose."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe import onexn
from lithe.onexn.grid import Grid


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def released(golden):
    return np.load(golden / "onexn_masks.npz")


def cases(released):
    for key in released:
        if key.endswith("mask_out_in"):
            layer, n, rate, kind, _ = key.split("__")
            weight = torch.from_numpy(released[f"{layer}__weight"])
            yield weight, int(n[1:]), float(rate[1:]), kind == "rearr", released[key].astype(bool)


def straddling(weight, n, sparsity):
    """The released definition, where ``n`` kernels in a row may belong to two channels."""
    turned = weight.movedim(0, 1)
    scores = turned.reshape(-1, n * weight[0, 0].numel()).abs().sum(1)
    kept = torch.ones(len(scores), dtype=torch.bool)
    kept[scores.argsort()[: int(sparsity * len(scores))]] = False
    spread = kept[:, None].expand(-1, n * weight[0, 0].numel()).reshape(turned.shape)
    return spread.movedim(0, 1)


def test_masks_equal_the_released_ones_where_n_divides_the_filters(released):
    count = 0
    for weight, n, rate, rearrange, theirs in cases(released):
        if len(weight) % n == 0:
            ours = onexn.block_mask(weight, n, rate, rearrange)
            assert ours.shape == weight.shape
            assert np.array_equal(ours.flatten(2).all(2), theirs), (weight.shape, n, rate)
            assert torch.equal(ours.flatten(2).all(2), ours.flatten(2).any(2))
            count += 1
    assert count == 112


def test_released_blocks_straddle_input_channels_where_n_does_not_divide(released):
    count = 0
    for weight, n, rate, rearrange, theirs in cases(released):
        if len(weight) % n and not rearrange:
            ours = onexn.block_mask(weight, n, rate)
            assert np.array_equal(straddling(weight, n, rate).flatten(2).all(2), theirs)
            assert not np.array_equal(ours.flatten(2).all(2), theirs)
            Grid(weight.shape, n).kept(ours)
            with pytest.raises(ValueError, match="part of the block"):
                Grid(weight.shape, n).kept(torch.from_numpy(theirs).reshape(weight.shape))
            count += 1
    assert count == 4


def test_narrow_blocks_are_ranked_by_mean_and_not_by_sum(released):
    weight = torch.from_numpy(released["pw_24x96__weight"])
    for rate in (0.25, 0.5, 0.75, 0.9):
        ours = onexn.block_mask(weight, 16, rate).flatten(1)[[0, 16]].numpy()
        golden = {
            k: released[f"pw_24x96__N16__p{rate}__ragged_{k}__block_mask"] for k in ("mean", "sum")
        }
        assert np.array_equal(ours, golden["mean"])
        assert not np.array_equal(ours, golden["sum"])


def test_the_order_is_the_released_one(released):
    for layer in ("pw_64x32", "pw_96x24", "c3_32x16", "pw_24x96", "pw_128x64"):
        order = onexn.rearrangement(torch.from_numpy(released[f"{layer}__weight"]))
        assert np.array_equal(order, released[f"{layer}__perm_ascending_official"])
        assert np.array_equal(order.flip(0), released[f"{layer}__perm_descending_paper"])


def test_rearrangement_keeps_more_of_the_weight(released):
    weight = torch.from_numpy(released["pw_128x64__weight"])
    for n in (4, 16, 32):
        plain, moved = (weight[onexn.block_mask(weight, n, 0.5, r)].abs().sum() for r in (0, 1))
        assert moved > 1.05 * plain


def loops(weight, n, sparsity, order, groups):
    """Twin: block after block, with Python's own sort."""
    o, i = weight.shape[:2]
    blocks = []
    for group in range(groups):
        own = order[group * o // groups : (group + 1) * o // groups].tolist()
        for start in range(0, len(own), n):
            for channel in range(i):
                rows = own[start : start + n]
                mean = sum(weight[f, channel].double().abs().mean() for f in rows) / len(rows)
                blocks.append((float(mean), len(blocks), rows, channel))
    mask = torch.ones(weight.shape, dtype=torch.bool)
    for _, _, rows, channel in sorted(blocks)[: int(sparsity * len(blocks))]:
        for f in rows:
            mask[f, channel] = False
    return mask


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 7), st.integers(1, 5), st.sampled_from([(), (1, 1), (3, 2)]), st.integers(1, 9),
    st.floats(0, 0.99), st.booleans(), st.integers(1, 3), st.integers(0, 9),
)  # fmt: skip
def test_masks_equal_a_loop_over_blocks(o, i, kernel, n, sparsity, rearrange, groups, seed):
    weight = normal(o * groups, i, *kernel, seed=seed)
    mask = onexn.block_mask(weight, n, sparsity, rearrange, groups=groups)
    order = onexn.rearrangement(weight, groups) if rearrange else torch.arange(o * groups)
    assert torch.equal(mask, loops(weight, n, sparsity, order, groups))


def test_equal_scores_drop_the_first_blocks():
    mask = onexn.block_mask(torch.ones(4, 4), 2, 0.5)
    assert torch.equal(mask, torch.tensor([[0], [0], [1], [1]]).bool().expand(4, 4))


@pytest.mark.parametrize("o", [16, 18])
def test_the_row_budget_gives_every_row_the_same_work(o):
    weight = normal(o, 20, 3, 3) * torch.arange(1, o + 1)[:, None, None, None]
    by_row = onexn.block_mask(weight, 4, 0.7, budget="row")[:, :, 0, 0].sum(1)
    by_layer = onexn.block_mask(weight, 4, 0.7)[:, :, 0, 0].sum(1)
    assert set(by_row.tolist()) == {20 - 14}
    assert len(set(by_layer.tolist())) > 1


def test_the_global_budget_is_magnitude_pruning_for_single_weights():
    weights = {"a": normal(6, 5), "b": normal(4, 9, seed=1) * 0.3, "c": normal(3, 3, seed=2)}
    masks = onexn.block_masks(weights, 1, 0.6)
    every = torch.cat([w.flatten().abs() for w in weights.values()])
    kept = torch.cat([masks[name].flatten() for name in weights])
    assert int((~kept).sum()) == int(0.6 * len(every))
    assert every[kept].min() > every[~kept].max()
    shares = [float(mask.float().mean()) for mask in masks.values()]
    assert max(shares) - min(shares) > 0.2, "layers keep unequal shares"


def test_the_global_budget_counts_weights_and_empties_no_layer():
    weights = {
        "small": normal(8, 4, 3, 3),
        "tiny": normal(10, 3) * 1e-3,
        "big": normal(16, 16, seed=1),
    }
    masks = onexn.block_masks(weights, 4, 0.8, rearrange=True)
    total = sum(weight.numel() for weight in weights.values())
    gone = sum(int((~mask).sum()) for mask in masks.values())
    assert 0.8 * total - 36 <= gone <= 0.8 * total
    assert masks["tiny"].any()
    for sparsity in (0.99, 0.9999):
        assert all(mask.any() for mask in onexn.block_masks(weights, 4, sparsity).values())


def test_other_budgets_of_many_layers_are_those_of_each_layer():
    weights = {"a": normal(6, 4, 3, 3), "b": normal(8, 9)}
    for budget in ("layer", "row"):
        masks = onexn.block_masks(weights, 4, 0.5, True, groups={"a": 2}, budget=budget)
        for name, weight in weights.items():
            groups = 2 if name == "a" else 1
            alone = onexn.block_mask(weight, 4, 0.5, True, groups=groups, budget=budget)
            assert torch.equal(masks[name], alone)


WEIGHT = normal(6, 4)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((WEIGHT, 0, 0.5), {}, "n is 0"),
        ((WEIGHT, 2.0, 0.5), {}, "n is 2.0"),
        ((WEIGHT, True, 0.5), {}, "n is True"),
        ((WEIGHT, 4, 1.0), {}, "sparsity is 1.0"),
        ((WEIGHT, 4, -0.1), {}, "sparsity is -0.1"),
        ((WEIGHT, 4, float("nan")), {}, "sparsity is nan"),
        ((WEIGHT, 4, "half"), {}, "sparsity is 'half'"),
        ((WEIGHT, 4, 0.5), {"groups": 4}, "groups is 4"),
        ((WEIGHT, 4, 0.5), {"groups": 0}, "groups is 0"),
        ((WEIGHT, 4, 0.5, True), {"groups": 4}, "groups is 4"),
        ((WEIGHT, 4, 0.5), {"budget": "global"}, "budget is 'global'"),
        ((WEIGHT[0], 4, 0.5), {}, r"shape \(4,\)"),
        ((WEIGHT[:0], 4, 0.5), {}, r"shape \(0, 4\)"),
        ((WEIGHT / 0, 4, 0.5), {}, "NaN or infinity in 24 places"),
    ],
)
def test_bad_input_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        onexn.block_mask(*arguments, **options)


def test_what_is_no_weight_is_refused():
    for weight, kind in ((WEIGHT.int(), "int32"), ([[1.0]], "list")):
        with pytest.raises(TypeError, match=kind):
            onexn.block_mask(weight, 4, 0.5)
        with pytest.raises(TypeError, match=kind):
            onexn.rearrangement(weight)
    with pytest.raises(ValueError, match="b: weight holds NaN"):
        onexn.block_masks({"a": WEIGHT, "b": WEIGHT * torch.nan}, 4, 0.5)


def test_orders_that_are_none_are_refused():
    with pytest.raises(ValueError, match="each of the 6 filters once"):
        Grid(WEIGHT.shape, 2, torch.zeros(6))
    with pytest.raises(ValueError, match="between groups of 3"):
        Grid(WEIGHT.shape, 2, torch.arange(6).flip(0), groups=2)
