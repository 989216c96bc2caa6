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
    operator.itruediv: operator.truediv, operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod, operator.ipow: operator.pow, operator.iand: operator.and_,
    operator.ior: operator.or_, operator.ixor: operator.xor,
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
    "adjoint",
    "alpha_dropout",
    "broadcast_to",
    "chunk",
    "contiguous",
    "cpu",
    "detach",
    "diagonal",
    "dropout",
    "dsplit",
    "expand",
    "expand_as",
    "feature_alpha_dropout",
    "flatten",
    "float",
    "getattr",
    "getitem",
    "hsplit",
    "moveaxis",
    "movedim",
    "narrow",
    "permute",
    "positive",
    "ravel",
    "real",
    "reshape",
    "reshape_as",
    "select",
    "split",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "tensor_split",
    "to",
    "transpose",
    "type",
    "type_as",
    "unbind",
    "unflatten",
    "unfold",
    "unsafe_chunk",
    "unsafe_split",
    "unsqueeze",
    "view",
    "view_as",
    "vsplit",
    "AlphaDropout",
    "FeatureAlphaDropout",
    "Flatten",
    "Unflatten",
}
#: Methods and attributes that give numbers about a tensor: ``+=`` on those overwrites nothing.
_NUMBERS = {
    "size", "dim", "numel", "nelement", "ndimension", "stride", "shape", "ndim", "__len__",
}  # fmt: skip


def make_plain(network: fx.GraphModule) -> None:
    """Rewrite in-place operations so that no value ever changes after it was made.

    Args:
        network: a followed network; changed.

    Raises:
        ValueError: a part of a tensor is overwritten, whose whole is read again later.
    """
    order = {node: index for index, node in enumerate(network.graph.nodes)}
    # All are looked for before any is changed: one module may overwrite in several places.
    for node in [node for node in network.graph.nodes if _overwrites(network, node)]:
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
        in_place = bool(getattr(network.get_submodule(node.target), "inplace", False))
        if in_place and leaf(network, node) is None:
            raise ValueError(f"{node.name} overwrites its input and has hooks")
        return in_place
    if node.op == "call_method":
        in_place = node.target.endswith("_") and not node.target.endswith("__")
        if in_place and node.target not in _METHODS:
            raise ValueError(f"{node.name}: the method {node.target} has no known plain twin")
        return in_place
    if node.target is operator.setitem or node.kwargs.get("out") is not None:
        raise ValueError(f"{node.name} writes into a tensor")
    if node.op != "call_function":
        return False
    if node.target in _OPERATORS:
        return isinstance(node.args[0], fx.Node) and not _is_number(node.args[0])
    if node.target in _FUNCTIONS:
        return True
    place = _INPLACE.get(node.target)
    if place is not None:
        return bool(argument(node, place, "inplace", False))
    name = getattr(node.target, "__name__", "")
    if (name.endswith("_") and not name.endswith("__")) or node.kwargs.get("inplace"):
        raise ValueError(f"{node.name}: the function {name} has no known plain twin")
    return False


def _is_number(node: fx.Node) -> bool:
    """A size, or what was computed from sizes alone."""
    if node.op == "call_method":
        return node.target in _NUMBERS
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[1] in _NUMBERS
    sources = node.all_input_nodes
    return (
        getattr(node.target, "__module__", "") == "_operator"
        and bool(sources)
        and all(map(_is_number, sources))
    )


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
