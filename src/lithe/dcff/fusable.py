"""Which convolutions of a network can be fused, which of them together, and why others cannot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lithe.channels import ChannelGraph
from lithe.dcff.rates import kept

__all__ = ["Coupled", "Unit", "fusable"]

Coupled = Literal["shared", "skip"]


@dataclass(frozen=True)
class Unit:
    """Convolutions that are fused and selected together; most units have one.

    Attributes:
        name: of its first convolution.
        classes: class of each filter, by convolution: filters of one class have to be kept or
            dropped together; numbered from 0 inside the unit.
        pools: pool of each class; classes of one pool may replace each other.
        loose: pools of which classes may be dropped.
    """

    name: str
    classes: Mapping[str, Tensor]
    pools: Tensor
    loose: frozenset[int]

    def quotas(
        self, rates: Mapping[str, float], multiple_of: int | None = None, at_least_one: bool = False
    ) -> Tensor:
        """How many classes of each pool stay.

        Args:
            rates: pruning rate by convolution; those that share classes follow each other.
            multiple_of: see :func:`lithe.dcff.kept`.
            at_least_one: keep one class where a rate would leave none, instead of refusing.

        Raises:
            ValueError: convolutions that share channels ask for different rates, or a rate
                leaves nothing.
        """
        sizes = self.pools.bincount()
        quotas = sizes.clone()
        for pool in self.loose:
            rate = self._rate(pool, rates)
            size = int(sizes[pool])
            small = at_least_one or len(sizes) > 1
            if rate is not None and small and int(size * (1 - rate)) < 1:
                quotas[pool] = 1
            elif rate is not None:
                try:
                    quotas[pool] = kept(size, rate, multiple_of)
                except ValueError as error:
                    raise ValueError(f"{self.name}: {error}") from None
        return quotas

    def _rate(self, pool: int, rates: Mapping[str, float]) -> float | None:
        inside = [n for n, classes in self.classes.items() if (self.pools[classes] == pool).any()]
        asked = {name: rates[name] for name in inside if name in rates}
        if len(set(asked.values())) > 1:
            raise ValueError(f"convolutions that share channels need one rate, got {asked}")
        return next(iter(asked.values()), None)


def fusable(
    graph: ChannelGraph, coupled: Coupled = "shared", skip: Collection[str] = ()
) -> tuple[list[Unit], dict[str, str]]:
    """Sort the convolutions of a network into units to fuse and others, with the reason.

    Args:
        graph: of the network.
        coupled: ``"shared"`` fuses convolutions that share a width as one unit; ``"skip"``
            leaves them as they are.
        skip: convolutions to leave as they are.

    Returns:
        Units in the network's order, and a reason for every convolution outside of them.

    Raises:
        ValueError: ``skip`` names what is no convolution of the graph, or ``coupled`` is unknown.
    """
    if coupled not in ("shared", "skip"):
        raise ValueError(f"coupled is {coupled!r}; known are 'shared' and 'skip'")
    if isinstance(skip, str):
        skip = (skip,)
    convs = [n for n, layer in graph.flow.layers.items() if layer.role in ("conv", "depthwise")]
    unknown = sorted(set(skip) - set(convs))
    if unknown:
        raise ValueError(f"skip names {', '.join(unknown)}; convolutions are {', '.join(convs)}")
    units, reasons = [], {}
    for group in graph.groups():
        refused = {
            name: reason
            for name in group.producers
            if (reason := _refusal(graph, name, skip)) is not None
        }
        unit, more = _unit(graph, list(group.producers), refused, coupled, group.reasons)
        reasons |= refused | more
        units += [unit] if unit else []
    fused = {name for unit in units for name in unit.classes}
    reasons |= {n: "depthwise: follows its input" for n in convs if n not in fused | set(reasons)}
    return units, {name: reasons[name] for name in convs if name not in fused}


def _refusal(graph: ChannelGraph, name: str, skip: Collection[str]) -> str | None:
    """Why a producer cannot become a fused layer whatever its channels do."""
    module = dict(graph.model.named_modules(remove_duplicate=False)).get(name)
    if name in skip:
        return "left out on request"
    if graph.layer(name).role == "linear":
        return "a linear layer"
    if module is None:
        return "a functional convolution: its filters are no module's"
    if type(module) is not nn.Conv2d:
        return f"{type(module).__name__} is not an ordinary two-dimensional convolution"
    if module.groups != 1:
        return f"{module.groups} groups: filters of different groups cannot mix"
    if module.padding_mode != "zeros":
        return f"padding mode {module.padding_mode!r}; fused layers pad with zeros"
    return None


def _unit(
    graph: ChannelGraph,
    producers: list[str],
    refused: Mapping[str, str],
    coupled: Coupled,
    why: tuple[str, ...],
) -> tuple[Unit | None, dict[str, str]]:
    """The unit of one width group, and why some of its convolutions stay out."""
    labels = {name: graph.labels(name) for name in producers}
    found, local = torch.cat(list(labels.values())).unique(return_inverse=True)
    classes = dict(zip(producers, local.split([len(x) for x in labels.values()])))
    makers = torch.stack([torch.isin(torch.arange(len(found)), c) for c in classes.values()])
    held = ~graph.classes.loose(found)
    held |= makers[[name in refused for name in producers]].any(0)
    reasons = {}
    for name in producers:
        own = classes[name]
        partners = makers[:, own].any(1).nonzero()[:, 0].tolist()
        others = [producers[k] for k in partners if producers[k] != name]
        if name in refused:
            continue
        if coupled == "skip" and others:
            held[own] = True
            reasons[name] = f"shares its width with {', '.join(others)}"
        elif held[own].all():
            blocked = [f"shares its width with {o} ({refused[o]})" for o in others if o in refused]
            reasons[name] = "; ".join(blocked or why) or "its channels must stay"
    fused = [name for name in producers if name not in refused and name not in reasons]
    if not fused:
        return None, reasons
    return _assembled(graph, fused, classes, makers, held), reasons


def _assembled(
    graph: ChannelGraph,
    fused: list[str],
    classes: Mapping[str, Tensor],
    makers: Tensor,
    held: Tensor,
) -> Unit:
    """Number the pools: classes with the same makers, in the same cell, equally free."""
    cells = torch.zeros(makers.shape[1], dtype=torch.long)
    for name in fused:
        cells[classes[name]] = graph.cells(name)
    signature = torch.cat([makers.long(), cells[None], held[None].long()]).T
    used = torch.cat([classes[name] for name in fused]).unique()
    kinds, pools = signature[used].unique(dim=0, return_inverse=True)
    own = {name: torch.searchsorted(used, classes[name]) for name in fused}
    loose = frozenset(k for k, kind in enumerate(kinds) if not kind[-1])
    return Unit(fused[0], own, pools, loose)
