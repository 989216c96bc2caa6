"""A part of a network that torch computes: everything a program has no step for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx

__all__ = ["TorchPart"]


class TorchPart:
    """Computes one value of a network from values that lie in buffers.

    Args:
        module: the nodes in between, as a module of their own.
        sources: where its inputs come from.
        shapes: of the inputs, the batch first.
    """

    def __init__(
        self,
        module: fx.GraphModule,
        sources: tuple[fx.Node, ...],
        shapes: tuple[torch.Size, ...],
    ) -> None:
        self.module, self.sources, self.shapes = module, sources, shapes
        self._compute = module.forward

    @classmethod
    def of(
        cls,
        network: fx.GraphModule,
        graph: fx.Graph,
        node: fx.Node,
        ready: Collection[fx.Node],
        values: dict[fx.Node, Any],
    ) -> TorchPart:
        """The part that ends with ``node`` and begins with what is ``ready``."""
        needed = _needed(node, ready)
        part, twin, sources = fx.Graph(), {}, []
        for other in graph.nodes:  # the order of the whole graph
            if other not in needed:
                continue
            if other in ready and other is not node:
                twin[other] = part.placeholder(other.name)
                sources.append(other)
        for other in graph.nodes:
            if other in needed and other not in twin:
                twin[other] = part.node_copy(other, twin.__getitem__)
        part.output(twin[node])
        shapes = tuple(values[source].shape for source in sources)
        return cls(fx.GraphModule(network, part, "Part"), tuple(sources), shapes)

    def __call__(self, *planes: Tensor) -> Tensor:
        """Compute from ``(batch, c, h, w)`` views; the result is a new tensor so shaped."""
        # Images lie apart in the arena; what torch is given must allow views across the batch.
        inputs = [x.reshape(shape).contiguous() for x, shape in zip(planes, self.shapes)]
        y = self._compute(*inputs)
        if y.ndim == 4:
            return y
        if y.ndim == 3:
            return y.unsqueeze(2)
        return y.reshape(*y.shape[:3], -1) if y.ndim > 4 else y[(..., *[None] * (4 - y.ndim))]


def _needed(node: fx.Node, ready: Collection[fx.Node]) -> set[fx.Node]:
    found, open_ = {node}, [node]
    while open_:
        current = open_.pop()
        if current in ready and current is not node:
            continue
        for source in current.all_input_nodes:
            if source not in found:
                found.add(source)
                open_.append(source)
    return found
