"""The 1xN pattern: masks that keep or drop whole blocks of ``n`` filters by one input channel."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lithe.onexn.budget import Budget, check_budget, strongest, strongest_overall
from lithe.onexn.grid import Grid, check_weight
from lithe.onexn.rearrange import rearrangement

__all__ = ["block_mask", "block_masks", "grid_masks"]


def block_mask(
    weight: Tensor,
    n: int,
    sparsity: float,
    rearrange: bool = False,
    *,
    groups: int = 1,
    budget: Budget = "layer",
) -> Tensor:
    """Keep the blocks with the largest L1 norm.

    Equal to the released masks where ``n`` divides the number of filters. Where it does not,
    two deviations: the last row of blocks is narrower, while released blocks straddle two input
    channels there; and narrow blocks are ranked by their mean (see :class:`Grid`).

    Source: 1xN spec A1, A4.

    Args:
        weight: ``(o, i)`` or ``(o, i, kh, kw)``, ``i`` input channels per group.
        n: filters per block, at least 1.
        sparsity: share of blocks to drop, in [0, 1); ``int(p * blocks)`` go.
        rearrange: form blocks of filters with similar norm (:func:`rearrangement`) instead of
            neighbours. The mask stands in the natural order of the filters all the same.
        groups: of the convolution; no block holds filters of two groups.
        budget: ``"layer"`` or ``"row"`` (:func:`lithe.onexn.budget.strongest`).

    Returns:
        Mask shaped as the weight, bool, on its device; True for weights that stay.

    Raises:
        TypeError: ``weight`` is not a floating-point tensor.
        ValueError: any other argument out of range, or NaN or infinity in ``weight``.
    """
    check_weight(weight)
    order = rearrangement(weight, groups) if rearrange else None
    grid = Grid(weight.shape, n, order, groups)
    kept = strongest(grid.scores(weight), sparsity, budget)
    return grid.mask(kept).to(weight.device)


def block_masks(
    weights: Mapping[str, Tensor],
    n: int,
    sparsity: float,
    rearrange: bool = False,
    *,
    groups: Mapping[str, int] | None = None,
    budget: Budget = "global",
) -> dict[str, Tensor]:
    """Masks of several layers under one budget; see :func:`block_mask`.

    Args:
        weights: by name of the layer.
        n: filters per block.
        sparsity: share to drop: of all weights together with ``"global"``, else of each layer.
        rearrange: form blocks of filters with similar norm.
        groups: of those layers that have more than one.
        budget: ``"global"`` ranks the blocks of all layers together
            (:func:`lithe.onexn.budget.strongest_overall`); ``"layer"``, ``"row"``.

    Raises:
        TypeError, ValueError: as :func:`block_mask`, the layer named.
    """
    grids = {}
    for name, weight in weights.items():
        try:
            check_weight(weight)
            split = (groups or {}).get(name, 1)
            order = rearrangement(weight, split) if rearrange else None
            grids[name] = Grid(weight.shape, n, order, split)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
    return grid_masks(weights, grids, sparsity, budget)


def grid_masks(
    weights: Mapping[str, Tensor],
    grids: Mapping[str, Grid],
    sparsity: float,
    budget: Budget,
    gone: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Masks of layers whose grids are known.

    Args:
        weights: by name of the layer.
        grids: by name of the layer.
        sparsity: share to drop.
        budget: as :func:`block_masks`.
        gone: blocks that are to go first, ``(r, i)`` a layer.
    """
    check_budget(budget)
    scores = {name: grids[name].scores(weight) for name, weight in weights.items()}
    for name, blocks in (gone or {}).items():
        scores[name] = scores[name].masked_fill(blocks, -1.0)
    if budget == "global":
        kept = _overall(weights, grids, scores, sparsity)
    else:
        kept = {name: strongest(score, sparsity, budget) for name, score in scores.items()}
    return {
        name: grids[name].mask(kept[name]).to(weight.device) for name, weight in weights.items()
    }


def _overall(
    weights: Mapping[str, Tensor],
    grids: Mapping[str, Grid],
    scores: Mapping[str, Tensor],
    sparsity: float,
) -> dict[str, Tensor]:
    """Rank by mean magnitude, count in weights."""
    if not weights:
        return {}
    area = {name: weight[0, 0].numel() for name, weight in weights.items()}
    means = [scores[name] / (grids[name].n * area[name]) for name in weights]
    counts = [
        (grids[name].sizes * area[name])[:, None].expand(grids[name].blocks) for name in weights
    ]
    return dict(zip(weights, strongest_overall(means, counts, sparsity)))
