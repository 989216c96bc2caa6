"""The state that is carried through a graph: values with atoms, layers, ties and pins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from .atoms import Atoms, compress, varying
from .errors import UntraceableError
from .tracing import Outcome, Shape, module_path, source_line

__all__ = ["Balance", "Call", "Flow", "Layer", "Read", "Value", "carriers", "execute", "tensors"]


@dataclass(frozen=True)
class Value:
    """A tensor at one point of the graph.

    Attributes:
        shape: its sizes.
        ids: its atoms, one axis per tensor axis, of full size where they differ and 1 where
            they repeat; None for a tensor that carries no channels.
        why: of a tensor without atoms, what it is, for messages.
        name: of a parameter or buffer read by the graph itself, its qualified name.
        data: ... and the tensor.
    """

    shape: tuple[int, ...]
    ids: Tensor | None = None
    why: str = ""
    name: str = ""
    data: Tensor | None = None

    @property
    def full(self) -> Tensor:
        """The atoms, expanded to the tensor's shape."""
        return self.ids.expand(self.shape)


@dataclass
class Layer:
    """A place with parameters (or a channel count) that a cut makes smaller.

    Attributes:
        name: qualified module name, or that of the parameter when used functionally.
        role: ``conv``, ``linear`` (these produce a width), ``depthwise``, ``norm``, ``scale``.
        ins: atoms of the input channels.
        outs: atoms of the output channels.
        groups: of a convolution.
        transposed: whether the weight is ``(i, o / groups, ...)``.
        weight: of a convolution or linear layer.
        where: source line of the first call.
    """

    name: str
    role: str
    ins: Tensor
    outs: Tensor
    groups: int = 1
    transposed: bool = False
    weight: Tensor | None = None
    where: str = "?"


@dataclass(frozen=True)
class Balance:
    """A grouped convolution: equally many channels must survive in each of its groups.

    Attributes:
        name: the convolution.
        ins: atoms ``(groups, i / groups)``.
        outs: atoms ``(groups, o / groups)``.
    """

    name: str
    ins: Tensor
    outs: Tensor


@dataclass(frozen=True)
class Read:
    """A layer that mixes channels reads ``ids`` along ``axis`` of ``source`` at ``node``."""

    node: fx.Node
    source: fx.Node
    axis: int
    ids: Tensor


@dataclass(frozen=True)
class Call:
    """One operation of the graph with its arguments' values filled in.

    Attributes:
        node: the graph's node.
        target: the module, the function, or the method's name.
        args: positional arguments (of a method, the tensor itself first).
        kwargs: keyword arguments.
        out: outcome of the recorded run.
    """

    node: fx.Node
    target: nn.Module | Callable[..., Any] | str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Outcome

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or by name."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)

    @property
    def operation(self) -> str:
        """Short name of the operation."""
        if isinstance(self.target, nn.Module):
            return type(self.target).__name__
        return self.target if isinstance(self.target, str) else self.target.__name__

    @property
    def label(self) -> str:
        """The operation with its place, for messages."""
        inside = str(self.node.target) if self.node.op == "call_module" else module_path(self.node)
        inside = f" in `{inside}`" if inside else ""
        return f"`{self.operation}`{inside} ({source_line(self.node)})"

    def unknown(self) -> UntraceableError:
        """The error for an operation that no rule covers."""
        inside = str(self.node.target) if self.node.op == "call_module" else module_path(self.node)
        return UntraceableError(self.operation, inside, source_line(self.node))


@dataclass
class Flow:
    """Everything learnt while the atoms travel through the graph.

    Attributes:
        atoms: the atoms, ties and pins.
        layers: by name, in the order of their first call.
        balances: what grouped convolutions ask for.
        reads: where channels are mixed.
        values: of each node: a value, a tuple of them, or a plain Python value.
        rearrangements: the calls that only move elements.
        attributes: parameters and buffers that the graph uses as tensors, by name.
        direct: those of them that are read by anything else than a layer.
        covered: ids of modules, and names of parameters, that were used as layers.
        functional: convolutions that are functions, by node.
        held: for each tensor's id, the atoms along those axes that are sliced.
    """

    atoms: Atoms = field(default_factory=Atoms)
    layers: dict[str, Layer] = field(default_factory=dict)
    balances: list[Balance] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    values: dict[fx.Node, Any] = field(default_factory=dict)
    rearrangements: dict[fx.Node, Call] = field(default_factory=dict)
    attributes: dict[str, Value] = field(default_factory=dict)
    direct: list[Value] = field(default_factory=list)
    covered: set[int | str] = field(default_factory=set)
    functional: dict[fx.Node, Layer] = field(default_factory=dict)
    held: dict[int, dict[int, Tensor]] = field(default_factory=dict)  # id(tensor): {axis: atoms}
    _ports: dict[Any, Tensor] = field(default_factory=dict)

    def port(self, owner: object, role: object, size: int) -> Tensor:
        """The atoms of one side of a layer, the same ones each time the layer is called."""
        key = (id(owner), role)
        if key not in self._ports:
            self._ports[key] = self.atoms.fresh(size)
        return self._ports[key]

    def hold(self, tensor: Tensor | None, axis: int, ids: Tensor) -> None:
        """Let ``axis`` of a parameter or buffer be sliced as ``ids`` is."""
        if tensor is None:
            return
        axes = self.held.setdefault(id(tensor), {})
        if axis in axes and axes[axis].shape == ids.shape:
            self.atoms.tie(axes[axis], ids)
        axes.setdefault(axis, ids)

    def channels(self, value: Value, axis: int) -> Tensor | None:
        """The atoms along ``axis``, ``(shape[axis],)``; those along other axes are tied."""
        if value.ids is None:
            return None
        ids = self.ties(value.ids, [other for other in varying(value.ids) if other != axis])
        return ids.expand(*ids.shape[:axis], value.shape[axis], *ids.shape[axis + 1 :]).reshape(-1)

    def ties(self, ids: Tensor, axes: Iterable[int]) -> Tensor:
        """Tie ``ids`` along each of ``axes``."""
        for axis in axes:
            ids = self.atoms.tie_along(ids, axis)
        return ids

    def along(self, value: Value, ids: Tensor, axis: int, shape: tuple[int, ...]) -> Value:
        """A value of ``shape`` with the vector ``ids`` on ``axis``."""
        return Value(tuple(shape), ids.reshape([-1 if a == axis else 1 for a in range(len(shape))]))


def tensors(arguments: Any) -> list[Value]:
    """All values in a nest of arguments, in order."""
    if isinstance(arguments, Value):
        return [arguments]
    if isinstance(arguments, dict):
        arguments = tuple(arguments.values())
    if isinstance(arguments, slice):
        arguments = (arguments.start, arguments.stop, arguments.step)
    if isinstance(arguments, (tuple, list)) and not isinstance(arguments, (torch.Size, Shape)):
        return [value for item in arguments for value in tensors(item)]
    return []


def carriers(arguments: Any) -> list[Value]:
    """Those values in a nest of arguments that carry channels."""
    return [value for value in tensors(arguments) if value.ids is not None]


def execute(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a rearrangement on real tensors; ``view`` as ``reshape``, whatever the strides."""
    if isinstance(target, str):
        name = {"view": "reshape", "view_as": "reshape_as"}.get(target, target)
        return getattr(args[0], name)(*args[1:], **kwargs)
    return target(*args, **kwargs)


def packed(result: Any) -> Any:
    """Turn id tensors (one, or a tuple of them) into values."""
    if isinstance(result, Tensor):
        return Value(tuple(result.shape), compress(result))
    return tuple(packed(item) for item in result)
