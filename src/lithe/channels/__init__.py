"""Which tensors of a network share a width, and how index sets travel through it.

A model is traced with :mod:`torch.fx`; every channel of every tensor gets a number (an
*atom*), and each operation says which atoms must be kept or dropped together. From there on
a cut is a set of atoms removed, whatever concatenations, splits and shuffles lie between.
"""

from __future__ import annotations

from torch import Tensor, nn

from .errors import UncuttableError, UntraceableError
from .graph import ChannelGraph, trace
from .group import Group
from .masked import masked
from .plan import Plan, Request, plan

__all__ = [
    "ChannelGraph",
    "Group",
    "Plan",
    "UncuttableError",
    "UntraceableError",
    "keep",
    "masked",
    "permute",
    "plan",
    "trace",
]


def keep(
    model: nn.Module | ChannelGraph,
    request: Request,
    example: Tensor | tuple[Tensor, ...] | None = None,
) -> nn.Module:
    """Build a physically smaller copy that keeps only the named output channels.

    The result equals the original with the dropped channels zeroed where mixing layers read
    them (:func:`masked`), so the shifts that norms would give them vanish too. Layers that
    share a width with a named one follow it.

    Args:
        model: any module that torch.fx can trace, or its channel graph; it is not changed.
        request: output channels to keep per convolution (or linear layer), by qualified name.
            Their order is respected: ``[2, 0]`` keeps two channels and swaps them.
        example: example input ``(1, c, h, w)``; not needed with a graph.

    Returns:
        The smaller module, with the parameter names of the original: of the same class where
        its forward holds no size that changed, otherwise a :class:`torch.fx.GraphModule` of
        the eval pass (dropout written as a function call stays off in training; dropout and
        stochastic-depth modules act as always). Its index tensors, if it needs any, are
        non-persistent buffers ``channel_order_*``.

    Raises:
        KeyError: a name is not a convolution or linear layer of the traced pass.
        TypeError: indices that are not integers.
        UncuttableError: empty, repeated or out-of-range indices, requests that contradict
            each other, or a structure that forbids the cut.
        UntraceableError: the pass cannot be traced, or the channels run into an operation
            that is not known.
    """
    return plan(model, request, example).apply()


def permute(
    model: nn.Module | ChannelGraph,
    request: Request,
    example: Tensor | tuple[Tensor, ...] | None = None,
) -> nn.Module:
    """Build a copy that computes the same function with its inner channels reordered.

    Args:
        model: any module that torch.fx can trace, or its channel graph; it is not changed.
        request: for each named layer a permutation of all its output channels: entry ``k`` is
            the old number of the new channel ``k``. Consumers, and layers that share the
            width, follow.
        example: example input ``(1, c, h, w)``; not needed with a graph.

    Returns:
        The reordered module. Where the new order cannot be carried into the weights that
        follow (one half of a split, say), it is undone at run time by an index.

    Raises:
        UncuttableError: not a permutation, or the channels reach the network's output.
        KeyError, TypeError, UntraceableError: as :func:`keep`.
    """
    graph = model if isinstance(model, ChannelGraph) else None
    if graph is None:
        if example is None:
            raise TypeError("an example input is needed to trace a module; pass example=")
        graph = trace(model, example)
    for name, order in request.items():
        width = len(graph.layer(name).outs)
        if len(order) != width:
            raise UncuttableError(
                f"`{name}`: an order lists all its {width} channels once, got {len(order)} indices"
            )
    return plan(graph, request).apply()
