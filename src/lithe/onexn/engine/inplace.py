"""In-place operations made plain: later readers of what was overwritten read the result."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import torch
from torch import fx
from torch.nn import functional as F

from lithe.onexn.engine.graph import argument, leaf

__all__ = ["make_plain"]

_OPERATORS = {
    operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}  # fmt: skip
_FUNCTIONS = {
    F.relu_: F.relu, torch.relu_: F.relu, F.hardtanh_: F.hardtanh, F.elu_: F.elu,
    F.leaky_relu_: F.leaky_relu, F.selu_: F.selu, F.celu_: F.celu,
}  # fmt: skip
#: Where ``inplace`` stands among the positional arguments of functions that have it.
_INPLACE = {
    F.relu: 1, F.relu6: 1, F.hardswish: 1, F.hardsigmoid: 1, F.silu: 1, F.mish: 1, F.selu: 1,
    F.elu: 2, F.celu: 2, F.leaky_relu: 2, F.hardtanh: 3, F.threshold: 3,
}  # fmt: skip
#: Methods that change their tensor and have a twin that does not.
_METHODS = {
    "add_", "sub_", "mul_", "div_", "relu_", "sigmoid_", "tanh_", "clamp_", "clamp_min_",
    "clamp_max_", "masked_fill_",
}  # fmt: skip
#: What may hand on a part or another shape of the same memory.
_VIEWS = {
    "chunk", "contiguous", "detach", "expand", "expand_as", "flatten", "getitem", "movedim",
    "narrow", "permute", "real", "reshape", "select", "split", "squeeze", "swapaxes", "t",
    "tensor_split", "to", "transpose", "unbind", "unflatten", "unsqueeze", "view", "view_as",
    "Flatten", "Unflatten",
}  # fmt: skip


def make_plain(network: fx.GraphModule) -> None:
    """Rewrite in-place operations so that no value ever changes after it was made.

    Args:
        network: a followed network; changed.

    Raises:
        ValueError: a part of a tensor is overwritten, whose whole is read again later.
    """
    order = {node: index for index, node in enumerate(network.graph.nodes)}
    for node in list(network.graph.nodes):
        if not _overwrites(network, node):
            continue
        source = node.args[0]
        for relative in _same_memory(network, source):
            late = [user for user in relative.users if order[user] > order[node]]
            if relative is not source and any(user is not node for user in late):
                raise ValueError(f"{node.name} overwrites a part of {relative.name}, read later")
        for user in [user for user in source.users if order[user] > order[node]]:
            user.replace_input_with(source, node)
        _replace(network, node)
    network.graph.eliminate_dead_code()  # not before: what only overwrites has no readers
    network.delete_all_unused_submodules()
    network.recompile()


def _overwrites(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(leaf(network, node), "inplace", False))
    if node.op == "call_method":
        in_place = node.target.endswith("_") and not node.target.endswith("__")
        if in_place and node.target not in _METHODS:
            raise ValueError(f"{node.name}: the method {node.target} has no known plain twin")
        return in_place
    if node.target is operator.setitem or node.kwargs.get("out") is not None:
        raise ValueError(f"{node.name} writes into a tensor")
    if node.op != "call_function":
        return False
    if node.target in _OPERATORS or node.target in _FUNCTIONS:
        return isinstance(node.args[0], fx.Node)
    place = _INPLACE.get(node.target)
    return place is not None and bool(argument(node, place, "inplace", False))


def _replace(network: fx.GraphModule, node: fx.Node) -> None:
    if node.op == "call_module":
        leaf(network, node).inplace = False
    elif node.op == "call_method":
        node.target = node.target[:-1]
    elif node.target in _OPERATORS:
        node.target = _OPERATORS[node.target]
    elif node.target in _FUNCTIONS:
        node.target = _FUNCTIONS[node.target]
    else:
        node.args = node.args[: _INPLACE[node.target]]
        node.kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}


def _same_memory(network: fx.GraphModule, node: fx.Node) -> set[fx.Node]:
    """Nodes that may be views of the memory that ``node`` stands for."""
    family, open_ = {node}, [node]
    while open_:
        current = open_.pop()
        for other in _views(network, current):
            if other not in family:
                family.add(other)
                open_.append(other)
    return family


def _views(network: fx.GraphModule, node: fx.Node) -> Iterator[fx.Node]:
    if _is_view(network, node):
        yield from node.all_input_nodes[:1]
    yield from (user for user in node.users if _is_view(network, user))


def _is_view(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return type(network.get_submodule(node.target)).__name__ in _VIEWS
    if node.op == "call_method":
        return node.target in _VIEWS
    return node.op == "call_function" and getattr(node.target, "__name__", "") in _VIEWS
