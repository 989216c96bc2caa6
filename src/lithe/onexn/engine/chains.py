"""Which operations run as one step: a layer, the residual added to it, and the activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx

from lithe.onexn.engine.operations import Apply, Convolve, Filter, Join, Operation
from lithe.onexn.program import Activation

__all__ = ["Chain", "chains"]


@dataclass(frozen=True, eq=False)
class Chain:
    """Nodes that one step computes.

    Attributes:
        operation: of the first node.
        residual: what is added to its result, if anything.
        activation: applied last, if any.
        nodes: in order; the step stands where the last one stood.
    """

    operation: Operation
    residual: fx.Node | None
    activation: Activation | None
    nodes: tuple[fx.Node, ...]


def chains(graph: fx.Graph, operations: Mapping[fx.Node, Operation]) -> dict[fx.Node, Chain]:
    """Group operations into steps; every operation lies in exactly one.

    A value is only ever swallowed if nobody else reads it, so the step may stand where its last
    node stood.

    Args:
        graph: gives the order.
        operations: of those nodes that are one.

    Returns:
        By last node.
    """
    order = {node: index for index, node in enumerate(graph.nodes)}
    taken: set[fx.Node] = set()
    found: dict[fx.Node, Chain] = {}
    for node in graph.nodes:
        if node in operations and node not in taken:
            chain = _grow(node, operations, order, taken)
            taken.update(chain.nodes)
            found[chain.nodes[-1]] = chain
    return found


def _grow(
    node: fx.Node,
    operations: Mapping[fx.Node, Operation],
    order: Mapping[fx.Node, int],
    taken: set[fx.Node],
) -> Chain:
    operation, nodes, residual = operations[node], [node], None
    if isinstance(operation, Convolve | Filter):
        sum_ = _only_reader(node, operations, Join)
        if sum_ is not None and sum_ not in taken:
            residual = _other_side(node, operations[sum_], operations, order)
            nodes += [sum_] if residual is not None else []
    activation = None
    if isinstance(operation, Convolve | Filter | Join):
        last = _only_reader(nodes[-1], operations, Apply)
        if last is not None:
            activation = operations[last].activation
            nodes.append(last)
    return Chain(operation, residual, activation, tuple(nodes))


def _only_reader(
    node: fx.Node, operations: Mapping[fx.Node, Operation], kind: type
) -> fx.Node | None:
    if len(node.users) != 1:
        return None
    reader = next(iter(node.users))
    return reader if isinstance(operations.get(reader), kind) else None


def _other_side(
    node: fx.Node,
    join: Join,
    operations: Mapping[fx.Node, Operation],
    order: Mapping[fx.Node, int],
) -> fx.Node | None:
    """What a layer's result is added to, if the sum may be swallowed by that layer.

    Of two layers that are added, the later one takes the sum: the earlier result is there then.
    """
    other = join.b if join.a is node else join.a
    if join.kind != "add" or other is node or join.a.meta["shape"] != join.b.meta["shape"]:
        return None
    alone = isinstance(operations.get(other), Convolve | Filter) and len(other.users) == 1
    return None if alone and order[other] > order[node] else other
