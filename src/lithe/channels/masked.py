"""The oracle twin: the whole network, with the dropped channels multiplied by zero."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn

from .compact import CompactGraph
from .graph import ChannelGraph
from .plan import Plan, Request, plan

__all__ = ["masked"]


def masked(
    model: nn.Module | ChannelGraph,
    request: Request,
    example: Tensor | tuple[Tensor, ...] | None = None,
) -> nn.Module:
    """The traced network with the dropped channels zeroed where a mixing layer reads them.

    A mixing layer is a convolution (not a depthwise one) or a linear layer. Zeroing happens
    there, and not where channels are made, so that the shifts of norms and the constants of
    activations vanish with their channel. This is what :func:`lithe.channels.keep` computes
    at a smaller size (the order of kept channels plays no part here).

    Args:
        model: a module, or its channel graph.
        request: kept output channels per named layer.
        example: example input ``(1, c, h, w)``; not needed with a graph.

    Returns:
        A graph module of the original size, with the parameter names of ``model``.

    Raises:
        UncuttableError: as :func:`lithe.channels.plan`.
    """
    made = plan(model, request, example)
    whole = copy.deepcopy(made.graph.model)
    graph = _with_masks(made, whole)
    for name, constant in made.graph.constants.items():
        whole.register_buffer(name, constant.clone(), persistent=False)
    return CompactGraph(whole, graph, f"Masked{type(made.graph.model).__name__}")


def _with_masks(made: Plan, whole: nn.Module) -> fx.Graph:
    graph, twin = fx.Graph(), {}
    sample = next(whole.parameters())
    reads = {read.node: read for read in made.graph.flow.reads}
    for node in made.graph.graph.nodes:
        twin[node] = graph.node_copy(node, twin.__getitem__)
        read = reads.get(node)
        if read is None:
            continue
        kept = made.kept[made.graph.classes.of(read.ids)]
        if kept.all():
            continue
        name = f"channel_mask_{len(graph.nodes)}"
        rank = len(made.graph.flow.values[read.source].shape)
        shape = [-1 if axis == read.axis else 1 for axis in range(rank)]
        mask = kept.reshape(shape).to(sample.device, sample.dtype)
        whole.register_buffer(name, mask, persistent=False)
        with graph.inserting_before(twin[node]):
            held = graph.create_node("get_attr", name)
            product = graph.call_function(torch.mul, (twin[read.source], held))
        twin[node].replace_input_with(twin[read.source], product)
    return graph
