"""From a request, one index set per named layer, to the index sets of every layer it touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .errors import UncuttableError
from .flow import Balance, Layer, Value
from .graph import ChannelGraph, trace

__all__ = ["Indices", "Plan", "Request", "plan"]

Indices = Tensor | Sequence[int]
Request = Mapping[str, Indices]


@dataclass(frozen=True)
class Plan:
    """Which channels stay, and in which order, everywhere in a network.

    Attributes:
        graph: the channel graph it was made for.
        outputs: kept output channels of each touched module, int64, in their new order.
        inputs: kept input channels (features, for a linear layer) of each touched module.
        kept: mask over channel classes.
        content: class whose channels stand where those of a class stood, over all classes.
    """

    graph: ChannelGraph
    outputs: dict[str, Tensor]
    inputs: dict[str, Tensor]
    kept: Tensor
    content: Tensor

    def order(self, classes: Tensor) -> Tensor:
        """Positions to keep along an axis with the given classes, in their new order.

        Args:
            classes: class of each channel, ``(c,)``.

        Returns:
            Positions ``(k,)``. The old order stays where the new one would need channels
            that this axis does not hold; the network then reorders at run time.
        """
        slots = self.kept[classes].nonzero()[:, 0]
        here = classes[slots]
        wanted = self.content[here]
        if torch.equal(here, wanted):
            return slots
        turn = _occurrence(here)
        span = len(classes) + 1
        have, want = here * span + turn, wanted * span + turn
        ranked, places = have.sort()
        found = torch.searchsorted(ranked, want).clamp(max=len(ranked) - 1)
        if not torch.equal(ranked[found], want):
            return slots
        return slots[places[found]]

    def touches(self, classes: Tensor) -> bool:
        """Whether any of these classes is dropped or moved."""
        moved = self.content[classes] != classes
        return bool((~self.kept[classes] | moved).any())

    def groups_left(self, layer: Layer) -> int:
        """Number of groups that a convolution has after the cut."""
        ins, outs = (self.order(self.graph.classes.of(side)) for side in (layer.ins, layer.outs))
        per_in, per_out = len(layer.ins) // layer.groups, len(layer.outs) // layer.groups
        return group_rows(ins // per_in, outs // per_out)

    def apply(self, model: nn.Module | None = None) -> nn.Module:
        """Build the smaller module.

        Args:
            model: the module to cut (it stays as it is); the traced one by default, or one of
                the same structure with other weights.

        Returns:
            A module with the same parameter names. It is of the model's own class when its
            forward needs no change, else a :class:`torch.fx.GraphModule`.
        """
        from .compact import compact

        return compact(self, self.graph.model if model is None else model)


def plan(
    model: nn.Module | ChannelGraph,
    request: Request,
    example: Tensor | tuple[Tensor, ...] | None = None,
) -> Plan:
    """Work out what a request means for the whole network.

    Args:
        model: a module, or its channel graph (then ``example`` is not needed).
        request: for each named convolution (or linear layer) the output channels to keep, in
            the order wanted. All layers that share a width follow the one that is named.
        example: example input ``(1, c, h, w)``.

    Returns:
        The plan; ``plan.apply()`` carries it out.

    Raises:
        KeyError: a name is not a layer of the graph.
        TypeError: the indices are not integers.
        UncuttableError: the indices are empty, repeated or out of range; two requests
            contradict each other; or the structure forbids the cut, with the reason.
        UntraceableError: the channels run into an operation that is not known.
    """
    graph = model if isinstance(model, ChannelGraph) else _traced(model, example)
    wanted = {name: _checked(graph, name, indices) for name, indices in request.items()}
    kept = _kept(graph, wanted)
    content = _content(graph, wanted)
    made = Plan(graph, {}, {}, kept, content)
    for name, layer in graph.flow.layers.items():
        for ids, side in ((layer.outs, made.outputs), (layer.ins, made.inputs)):
            classes = graph.classes.of(ids)
            order = made.order(classes)
            if not torch.equal(order, torch.arange(len(ids))):
                side[name] = order
    _refuse_empty(made)
    for balance in graph.flow.balances:
        _refuse_unbalanced(made, balance)
    for name, indices in wanted.items():
        if not torch.equal(made.order(graph.labels(name)), indices):
            raise UncuttableError(f"`{name}`: channels that go together must keep their order")
    return made


def _traced(model: nn.Module, example: Tensor | tuple[Tensor, ...] | None) -> ChannelGraph:
    if example is None:
        raise TypeError("an example input is needed to trace a module; pass example=")
    return trace(model, example)


def _checked(graph: ChannelGraph, name: str, indices: Indices) -> Tensor:
    """Validate one index set against its layer."""
    width = len(graph.layer(name).outs)
    chosen = torch.as_tensor(indices).cpu()
    if chosen.numel() == 0:
        raise UncuttableError(f"`{name}`: no channel is kept; keep at least one of its {width}")
    if chosen.is_floating_point() or chosen.is_complex() or chosen.dtype == torch.bool:
        raise TypeError(f"`{name}`: indices must be integers, got {chosen.dtype}")
    if chosen.ndim != 1:
        raise UncuttableError(
            f"`{name}`: indices must be one list, got shape {tuple(chosen.shape)}"
        )
    chosen = chosen.long()
    wrong = chosen[(chosen < 0) | (chosen >= width)]
    if len(wrong):
        raise UncuttableError(f"`{name}`: index {int(wrong[0])} is not one of 0..{width - 1}")
    values, counts = chosen.unique(return_counts=True)
    if counts.max() > 1:
        raise UncuttableError(f"`{name}`: index {int(values[counts > 1][0])} is given twice")
    return chosen


def _kept(graph: ChannelGraph, wanted: dict[str, Tensor]) -> Tensor:
    """Mask of the classes that stay, after every request was heard."""
    dropped_by: dict[int, str] = {}
    for name, indices in wanted.items():
        labels = graph.labels(name)
        stays = torch.zeros(len(labels), dtype=torch.bool).index_fill(0, indices, True)
        gone = labels[~stays].unique()
        torn = gone[torch.isin(gone, labels[stays])]
        if len(torn):
            block = (labels == torn[0]).nonzero()[:, 0].tolist()
            raise UncuttableError(f"`{name}`: channels {block} go together: keep all or none")
        _refuse_pinned(graph, name, gone, move=False)
        for label in gone.tolist():
            dropped_by.setdefault(label, name)
    _refuse_conflict(graph, wanted, dropped_by)
    kept = torch.ones(graph.classes.count, dtype=torch.bool)
    kept[list(dropped_by)] = False
    return kept


def _refuse_pinned(graph: ChannelGraph, name: str, classes: Tensor, move: bool) -> None:
    pin = graph.classes.pinned(classes, move)
    if pin is None:
        return
    if pin.error is not None:
        raise pin.error
    verb = "reordered" if move else "cut"
    raise UncuttableError(f"`{name}` cannot be {verb}: {pin.reason}")


def _refuse_conflict(
    graph: ChannelGraph, wanted: dict[str, Tensor], dropped_by: dict[int, str]
) -> None:
    for name, indices in wanted.items():
        for index, label in zip(indices.tolist(), graph.labels(name)[indices].tolist()):
            if label in dropped_by:
                other = dropped_by[label]
                raise UncuttableError(
                    f"`{name}` keeps channel {index}, which `{other}` drops: the two share a"
                    " width, ask for one of them or for the same channels"
                )


def _content(graph: ChannelGraph, wanted: dict[str, Tensor]) -> Tensor:
    """For each class, the class that takes its place."""
    content = torch.arange(graph.classes.count)
    moved_by: dict[int, str] = {}
    for name, indices in wanted.items():
        labels = graph.labels(name)
        slots, takes = labels[indices.sort().values], labels[indices]
        moves = slots != takes
        if moves.any():
            _refuse_pinned(graph, name, slots[moves], move=True)
        for slot, take in zip(slots.tolist(), takes.tolist()):
            if slot in moved_by and int(content[slot]) != take:
                both = f"`{moved_by[slot]}` and `{name}`"
                raise UncuttableError(f"{both} share a width but ask for different orders")
            content[slot] = take
            moved_by[slot] = name
    return content


def _refuse_empty(made: Plan) -> None:
    """Refuse a plan that leaves some tensor without channels."""
    graph = made.graph
    for node in graph.graph.nodes:
        value = graph.flow.values.get(node)
        if isinstance(value, Value) and value.ids is not None:
            classes = graph.classes.of(value.ids)
            if not made.kept[classes].any():
                raise UncuttableError(f"the request leaves `{node.name}` without any channel")


def _refuse_unbalanced(made: Plan, balance: Balance) -> None:
    """Refuse different numbers of channels in the groups of a grouped convolution."""
    classes = made.graph.classes
    try:
        group_rows(
            made.order(classes.of(balance.ins).flatten()) // balance.ins.shape[1],
            made.order(classes.of(balance.outs).flatten()) // balance.outs.shape[1],
        )
    except ValueError as error:
        ins = made.kept[classes.of(balance.ins)].sum(1).tolist()
        outs = made.kept[classes.of(balance.outs)].sum(1).tolist()
        raise UncuttableError(
            f"grouped convolution `{balance.name}` would keep {ins} inputs and {outs} outputs in"
            " its groups: keep equally many in each, in the groups' order (see"
            " ChannelGraph.cells and .select)"
        ) from error


def group_rows(ins: Tensor, outs: Tensor) -> int:
    """Number of groups left, given the old group of each kept input and output channel.

    Raises:
        ValueError: the channels do not form groups of equal size that read what they should.
    """
    count = len(ins.unique())
    if len(ins) % count or len(outs) % count:
        raise ValueError("unequal groups")
    ins, outs = ins.reshape(count, -1), outs.reshape(count, -1)
    if not (torch.equal(ins, ins[:, :1].expand_as(ins)) and bool((outs == ins[:, :1]).all())):
        raise ValueError("mixed groups")
    return count


def _occurrence(labels: Tensor) -> Tensor:
    """How many equal labels stand before each one."""
    ranked, places = labels.sort(stable=True)
    starts = torch.searchsorted(ranked, ranked)
    return torch.empty_like(labels).scatter(0, places, torch.arange(len(labels)) - starts)
