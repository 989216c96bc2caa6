"""A network in eval mode as a graph of operations, its layers kept whole."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from lithe.export.leaves import is_leaf
from lithe.onexn.packed_layers import PackedConv2d, PackedLinear

__all__ = ["DependsOnData", "argument", "follow", "leaf", "outcomes"]

#: ``a += b`` and its like; torch.fx by itself follows them as ``a + b``, which overwrites nothing.
_IN_PLACE = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor")
_IDENTITIES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity)


class _Proxy(fx.Proxy):
    """Writes down that an operator was an in-place one."""


def _in_place(name: str) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def method(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", getattr(operator, name), (self, other), {})

    return method


for _name in _IN_PLACE:
    setattr(_Proxy, f"__{_name}__", _in_place(_name))


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True  # a buffer is read when the network runs, not while tracing

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m) or super().is_leaf_module(m, module_qualified_name)


class DependsOnData(ValueError):
    """A network whose graph is not the same for all inputs of a shape."""


def follow(model: nn.Module, inputs: int) -> fx.GraphModule:
    """A copy of a network in eval mode, as a graph without what does nothing there.

    Args:
        model: any module that ``torch.fx`` can trace; left as it is.
        inputs: how many tensors it is called with.

    Raises:
        ValueError: the forward pass cannot be traced (it branches on data), takes another number
            of inputs, or weights are not float32.
    """
    network = copy.deepcopy(model).eval().cpu()
    _check_weights(network)
    if is_leaf(network):  # a layer alone; the tracer would look inside it
        network = nn.Sequential(network)
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # a forward may raise anything when it meets a proxy
        raise ValueError(
            f"{type(model).__name__} cannot be followed: its forward pass depends on the data, "
            f"or torch.fx does not know it ({error})"
        ) from error
    _check_inputs(graph, inputs, type(model).__name__)
    followed = fx.GraphModule(network, graph, "Packed")
    _put_input_first(followed.graph)
    _drop_identities(followed)
    followed.delete_all_unused_submodules()
    followed.recompile()
    return followed.requires_grad_(False).eval()


def leaf(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer that a node calls; None for a node that calls none, or one with hooks."""
    if node.op != "call_module":
        return None
    module = network.get_submodule(node.target)
    return None if module._forward_hooks or module._forward_pre_hooks else module


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    """An argument of a node by place or name."""
    return node.args[index] if index < len(node.args) else node.kwargs.get(name, default)


def outcomes(network: fx.GraphModule, inputs: tuple[Tensor, ...]) -> dict[fx.Node, Any]:
    """What each node gives for inputs of these shapes: tensors without data, or plain values.

    Raises:
        DependsOnData: the network runs, but shapes or numbers come from the values of its input,
            and would be others for another image.
        ValueError: the network does not run on such inputs.
    """
    try:
        return _outcomes(network, inputs)
    except Exception as error:  # of any kind: what tensors without data cannot go through
        reason = error
    try:
        with torch.no_grad():
            network(*inputs)
    except Exception as error:  # whatever the network makes of a shape it was not built for
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise ValueError(f"the network does not run on an input of shape {shapes}: {error}") from (
            error
        )
    raise DependsOnData(f"it cannot be followed without the values of its input ({reason})")


def _outcomes(network: fx.GraphModule, inputs: tuple[Tensor, ...]) -> dict[fx.Node, Any]:
    found: dict[fx.Node, Any] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            found[n] = torch.utils._pytree.tree_map(_without_data, result)
            return result

        def call_module(self, target: str, args: tuple, kwargs: dict) -> Any:
            layer = self.fetch_attr(target)
            if isinstance(layer, PackedConv2d | PackedLinear):
                return _shape_of_packed(layer, *args)
            return super().call_module(target, args, kwargs)

    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        Recorder(network).run(*(mode.from_tensor(x) for x in inputs))
    return found


def _shape_of_packed(layer: PackedConv2d | PackedLinear, x: Tensor) -> Tensor:
    """A tensor of the right shape; the weight is not unpacked for it."""
    if x.shape[-1 if isinstance(layer, PackedLinear) else -3] != layer.shape[1] * layer.groups:
        raise ValueError(f"input of shape {tuple(x.shape)} for a weight {tuple(layer.shape)}")
    weight = torch.zeros(1, device=x.device).expand(layer.shape)
    if isinstance(layer, PackedLinear):
        return nn.functional.linear(x, weight)
    moves = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return nn.functional.conv2d(x, weight, None, *moves)


def _without_data(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if isinstance(value, Tensor) else value


def _check_weights(network: nn.Module) -> None:
    tensors = [*network.named_parameters(), *network.named_buffers()]
    for name, value in tensors:
        if value.is_floating_point() and value.dtype is not torch.float32:
            raise ValueError(f"{name} is {value.dtype}; packed networks compute in torch.float32")


def _check_inputs(graph: fx.Graph, inputs: int, name: str) -> None:
    """Inputs that have a default and no use are dropped; any other needs an example."""
    places = [node for node in graph.nodes if node.op == "placeholder"]
    for node in places[inputs:]:
        if node.users or not node.args:
            raise ValueError(f"{name} takes {len(places)} inputs, the example has {inputs}")
        graph.erase_node(node)
    if len(places) < inputs:
        raise ValueError(f"{name} takes {len(places)} inputs, the example has {inputs}")


def _put_input_first(graph: fx.Graph) -> None:
    """``layer(input=x)`` means ``layer(x)``, which is what all that follows looks for."""
    for node in graph.nodes:
        called = node.op == "call_module" or (
            node.op == "call_function" and not {"condition", "sorted_sequence"} & node.kwargs.keys()
        )
        if called and not node.args and "input" in node.kwargs:
            node.args = (node.kwargs["input"],)
            node.kwargs = {key: value for key, value in node.kwargs.items() if key != "input"}


def _drop_identities(network: fx.GraphModule) -> None:
    for node in list(network.graph.nodes):
        if _is_identity(network, node):
            node.replace_all_uses_with(node.args[0])
            network.graph.erase_node(node)


def _is_identity(network: fx.GraphModule, node: fx.Node) -> bool:
    """Dropout and the like in eval mode. ``F.dropout`` stays where it was asked to drop."""
    if node.op == "call_module":
        layer = leaf(network, node)
        return type(layer) in _IDENTITIES or type(layer).__name__ == "StochasticDepth"
    if node.op != "call_function":
        return node.op == "call_method" and node.target == "detach"
    name = getattr(node.target, "__name__", "")
    if name == "stochastic_depth":
        return argument(node, 3, "training", True) is False
    dropouts = ("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout")
    return name in dropouts and argument(node, 2, "training", True) is False
