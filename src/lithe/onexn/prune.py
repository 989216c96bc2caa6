"""Pruning any network to the 1xN pattern, at one stroke or little by little."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lithe import channels
from lithe.onexn.baselines import filter_mask, random_block_mask, weight_mask
from lithe.onexn.budget import Budget, check_budget, check_sparsity
from lithe.onexn.eligible import eligible
from lithe.onexn.grid import Grid, check_weight
from lithe.onexn.masked import MaskedConv2d, MaskedLinear, masked_layers
from lithe.onexn.moving import move_filters
from lithe.onexn.pattern import grid_masks
from lithe.onexn.rearrange import rearrangement

__all__ = ["Pattern", "PrunedLayer", "Pruning", "prune", "tighten"]

Pattern = Literal["block", "weight", "filter", "kernel", "random"]
Placement = Literal["natural", "moved", "rows"]
_PATTERNS = ("block", "weight", "filter", "kernel", "random")


@dataclass(frozen=True)
class PrunedLayer:
    """One pruned layer.

    Attributes:
        name: of the layer.
        weights: how many it has.
        kept: how many of them the mask keeps.
        placement: ``"natural"`` order of filters; ``"moved"``: filters changed places in the
            network; ``"rows"``: they stay and the layer remembers the rows of its blocks.
    """

    name: str
    weights: int
    kept: int
    placement: Placement


@dataclass(frozen=True)
class Pruning:
    """What :func:`prune` did; found on the pruned module as ``.pruning``.

    Attributes:
        n: filters per block.
        sparsity: the share that was asked for.
        pattern: ``"block"``, or a baseline.
        budget: ``"layer"``, ``"row"`` or ``"global"``.
        layers: the pruned layers in the network's order.
        skipped: every other convolution and linear layer with the reason.
    """

    n: int
    sparsity: float
    pattern: Pattern
    budget: Budget
    layers: tuple[PrunedLayer, ...]
    skipped: Mapping[str, str]

    @property
    def kept(self) -> float:
        """Share of the pruned layers' weights that stay."""
        return sum(x.kept for x in self.layers) / sum(x.weights for x in self.layers)

    def __str__(self) -> str:
        title = f"{len(self.layers)} layers pruned, {len(self.skipped)} left as they are"
        lines = [f"{title}; {self.kept:.1%} of the pruned layers' weights stay"]
        for row in self.layers:
            share = f"{row.kept} of {row.weights} weights ({row.kept / row.weights:.1%})"
            lines.append(f"  pruned {row.name}: {share}, filters {row.placement}")
        lines += [f"  left   {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


def prune(
    model: nn.Module,
    n: int = 4,
    sparsity: float = 0.5,
    rearrange: bool = True,
    example: Tensor | tuple[Tensor, ...] | None = None,
    skip: Collection[str] | None = None,
    *,
    budget: Budget = "layer",
    pattern: Pattern = "block",
    ends: bool = False,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """A copy of any network whose layers keep only their strongest blocks, ready to fine-tune.

    With ``rearrange`` and an ``example`` the filters themselves are reordered
    (:func:`lithe.onexn.moving.move_filters`), which leaves the function as it was. Layers that
    cannot move, and all without an example, keep their filters in place and remember which of
    them form a row of blocks. Masks are held by :class:`MaskedConv2d` and :class:`MaskedLinear`;
    weights, masks and orders are all in the ``state_dict``, so a run resumes by pruning again
    and loading it.

    Source: 1xN spec A1-A4.

    Args:
        model: left as it is.
        n: filters per block, at least 1.
        sparsity: share to drop, in [0, 1).
        rearrange: form blocks of filters with similar norm.
        example: input ``(1, c, h, w)``; lets filters move.
        skip: names of layers to leave as they are, besides those left out by rule
            (:func:`lithe.onexn.eligible.eligible`).
        budget: ``"layer"``, ``"row"`` or ``"global"`` (:func:`block_masks`).
        pattern: ``"block"``, or a baseline at the same rate: ``"weight"``, ``"filter"``,
            ``"kernel"`` or ``"random"`` blocks. Baselines have no use for ``rearrange``.
        ends: prune the first convolution and the last layer too.
        generator: for ``"random"``, on the CPU.

    Returns:
        The pruned module; ``.pruning`` is a :class:`Pruning` that prints as a report.

    Raises:
        ValueError: an argument is out of range, nothing can be pruned, or the model is pruned
            already (:func:`tighten` prunes it further).
        lithe.channels.UntraceableError: the model's data flow cannot be followed; pruning
            without an example needs no trace.
    """
    _check_request(model, sparsity, budget, pattern, generator)
    graph = None if example is None else channels.trace(model, example)
    chosen, reasons = eligible(model, graph, skip, ends)
    if not chosen:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ValueError(f"no layer of this network can be pruned ({listed or 'none found'})")
    for name, layer in chosen.items():
        _named(name, check_weight, layer.weight)
    rearrange = rearrange and pattern == "block"
    moved: frozenset[str] = frozenset()
    base = model
    if rearrange and graph is not None:
        run = [name for name in chosen if name in graph.flow.layers]
        base, moved = move_filters(graph, names=run)
    layers = {name: base.get_submodule(name) for name in chosen}
    placements = {n: "moved" if n in moved else "rows" if rearrange else "natural" for n in chosen}
    size = 1 if pattern == "kernel" else n
    grids = {name: _grid(name, x, size, placements[name]) for name, x in layers.items()}
    masks = _masks(layers, grids, sparsity, budget, pattern, generator)
    pruned = _with_masks(base, layers, masks, grids)
    rows = tuple(PrunedLayer(x, m.numel(), int(m.sum()), placements[x]) for x, m in masks.items())
    pruned.pruning = Pruning(size, float(sparsity), pattern, budget, rows, reasons)
    return pruned


def tighten(model: nn.Module, sparsity: float) -> Pruning:
    """Drop more blocks of a pruned model, in place: one step of gradual pruning.

    Blocks are ranked by the weights as trained so far; those already gone stay gone. Optimisers
    go on as they are: what their momentum makes of weights just dropped is never seen.

    Args:
        model: from :func:`prune` with the ``"block"`` or ``"kernel"`` pattern.
        sparsity: share to drop in all, not below the last one
            (:func:`lithe.onexn.cubic_sparsity` gives a schedule).

    Returns:
        The new report, also found as ``model.pruning``.

    Raises:
        ValueError: the model is not pruned, or by another pattern, or was sparser already.
    """
    before, layers = getattr(model, "pruning", None), masked_layers(model)
    if not isinstance(before, Pruning) or before.pattern not in ("block", "kernel"):
        raise ValueError("the model was not pruned in blocks; call onexn.prune first")
    if check_sparsity(sparsity) < before.sparsity:
        raise ValueError(f"sparsity is {sparsity}, below {before.sparsity}; blocks do not return")
    weights = {name: _named(name, check_weight, x.masked_weight) for name, x in layers.items()}
    grids = {name: layer.grid for name, layer in layers.items()}
    gone = {name: ~grids[name].kept(layer.mask) for name, layer in layers.items()}
    masks = grid_masks(weights, grids, sparsity, before.budget, gone)
    with torch.no_grad():
        for name, layer in layers.items():
            layer.mask &= masks[name]
            layer.weight.masked_fill_(~layer.mask, 0)
    rows = tuple(
        PrunedLayer(x.name, x.weights, int(layers[x.name].mask.sum()), x.placement)
        for x in before.layers
    )
    model.pruning = Pruning(
        before.n, float(sparsity), before.pattern, before.budget, rows, before.skipped
    )
    return model.pruning


def _check_request(
    model: nn.Module, sparsity: float, budget: str, pattern: str, generator: object
) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module")
    if masked_layers(model):
        raise ValueError("the model is pruned already; onexn.tighten prunes it further")
    check_sparsity(sparsity)
    check_budget(budget)
    if pattern not in _PATTERNS:
        raise ValueError(f"pattern is {pattern!r}; known are {', '.join(map(repr, _PATTERNS))}")
    if pattern in ("weight", "filter", "random") and budget != "layer":
        raise ValueError(f"budget is {budget!r}; the {pattern} baseline knows only 'layer'")
    if (generator is None) == (pattern == "random"):
        raise ValueError("give a generator with pattern='random', and only then")


def _named(name: str, check: Callable[..., Any], *args: Any) -> Any:
    """Run a check and put the layer's name before what it refuses."""
    try:
        return check(*args)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def _grid(name: str, layer: nn.Module, n: int, placement: Placement) -> Grid:
    groups = getattr(layer, "groups", 1)
    order = rearrangement(layer.weight, groups) if placement == "rows" else None
    return _named(name, Grid, layer.weight.shape, n, order, groups)


def _masks(
    layers: Mapping[str, nn.Module],
    grids: Mapping[str, Grid],
    sparsity: float,
    budget: Budget,
    pattern: Pattern,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    weights = {name: layer.weight.detach() for name, layer in layers.items()}
    if pattern in ("block", "kernel"):
        return grid_masks(weights, grids, sparsity, budget)
    if pattern == "random":
        return {
            name: random_block_mask(
                weight, grids[name].n, sparsity, generator, groups=grids[name].groups
            )
            for name, weight in weights.items()
        }
    mask = weight_mask if pattern == "weight" else filter_mask
    return {name: mask(weight, sparsity) for name, weight in weights.items()}


def _with_masks(
    base: nn.Module,
    layers: Mapping[str, nn.Module],
    masks: Mapping[str, Tensor],
    grids: Mapping[str, Grid],
) -> nn.Module:
    """A copy of ``base`` with masked layers in place of ordinary ones."""
    memo = {}
    for name, layer in layers.items():
        kind = MaskedConv2d if isinstance(layer, nn.Conv2d) else MaskedLinear
        grid = grids[name]
        memo[id(layer)] = kind.of(copy.deepcopy(layer), masks[name], grid.n, grid.order)
    # the memo makes deepcopy put the masked layer wherever the ordinary one is referred to
    return copy.deepcopy(base, memo)
