"""Bring a traced graph in line with its smaller parameters.

Most operations need no change. Those that only move elements (views, splits, shuffles) are
run on element numbers, before and after the cut; one that would now move the wrong elements
is given new sizes, or replaced by an index along its channel axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from lithe.modes import evaluating

from .errors import UncuttableError, UntraceableError
from .flow import Call, Value, carriers, tensors
from .plan import Plan
from .positions import Numbering, gathered, matched, numbers, run, trail
from .resize import resized
from .tracing import module_path, source_line

__all__ = ["rewire"]

_FAILURES = (RuntimeError, IndexError, ValueError, TypeError)


def rewire(plan: Plan, smaller: nn.Module) -> tuple[fx.Graph, dict[str, Tensor], bool]:
    """Check the traced graph on the smaller module and rewrite what no longer fits.

    Args:
        plan: the index sets.
        smaller: the module, its parameters already sliced.

    Returns:
        The new graph, the index tensors it reads (by name), and whether it differs from the
        old one at all.

    Raises:
        UncuttableError: a rearrangement has no form on the kept channels.
    """
    with evaluating(smaller), torch.no_grad():
        wiring = _Wiring(plan, smaller)
        for node in plan.graph.graph.nodes:
            wiring.add(node)
    wiring.sweep()
    return wiring.graph, wiring.indices, wiring.changed


class _Broken:
    """Stands for the value of a node that cannot be run on the kept channels."""


class _Wiring:
    """The new graph while it grows, with the real value of each of its nodes."""

    def __init__(self, plan: Plan, smaller: nn.Module) -> None:
        self.plan, self.smaller, self.flow = plan, smaller, plan.graph.flow
        self.graph = fx.Graph()
        self.twin: dict[fx.Node, fx.Node] = {}
        self.actual: dict[fx.Node, Any] = {}
        self.indices: dict[str, Tensor] = {}
        self.changed = False
        self._inputs = iter(plan.graph.example)
        self._device = next((p.device for p in smaller.parameters()), torch.device("cpu"))

    def add(self, node: fx.Node) -> None:
        """Add the twin of one node of the old graph."""
        if node.op == "placeholder":
            twin = self.graph.node_copy(node)
            default = node.args[0] if node.args else None
            given = next(self._inputs, default)
            self.actual[twin] = given.to(self._device) if isinstance(given, Tensor) else given
        elif node.op == "get_attr":
            twin = self.graph.node_copy(node)
            self.actual[twin] = _attribute(self.smaller, str(node.target))
        elif node.op == "output":
            twin = self.graph.node_copy(node, self.twin.__getitem__)
        elif node in self.flow.rearrangements:
            twin = self._rearranged(node, self.flow.rearrangements[node])
        else:
            twin = self._copied(node)
        self.twin[node] = twin

    def emit(self, target: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> fx.Node:
        """Add a function (or a method, given by name) and run it."""
        op = "call_method" if isinstance(target, str) else "call_function"
        twin = self.graph.create_node(op, target, args, kwargs)
        self._run(twin)
        return twin

    def _run(self, twin: fx.Node) -> None:
        args, kwargs = fx.map_arg((twin.args, twin.kwargs), self.actual.__getitem__)
        if twin.op == "call_module":
            result = self.smaller.get_submodule(str(twin.target))(*args, **kwargs)
        elif twin.op == "call_method":
            result = getattr(args[0], str(twin.target))(*args[1:], **kwargs)
        else:
            result = twin.target(*args, **kwargs)
        self.actual[twin] = result

    # -- operations that keep every channel in its place ------------------------------------

    def _copied(self, node: fx.Node) -> fx.Node:
        """Copy a node; sizes it computes with stay those of the uncut network."""
        computes = bool(tensors(self.flow.values[node]))
        twin = self.graph.node_copy(node, self._held if computes else self.twin.__getitem__)
        layer = self.flow.functional.get(node)
        if layer is not None and layer.groups > 1:
            self._regroup(twin, self.plan.groups_left(layer), layer.groups)
        self._run(twin)
        self._verify(node, self.actual[twin])
        return twin

    def _held(self, source: fx.Node) -> Any:
        """The twin of an argument, or the old number where the cut would change a number."""
        twin, old = self.twin[source], self.flow.values[source]
        if not tensors(old) and not _same(self.actual[twin], old):
            self.changed = True
            return old
        return twin

    def _regroup(self, twin: fx.Node, groups: int, before: int) -> None:
        if groups == before:
            return
        self.changed = True
        args, kwargs = list(twin.args), dict(twin.kwargs)
        if len(args) > 6:
            args[6] = groups
        else:
            kwargs["groups"] = groups
        twin.args, twin.kwargs = tuple(args), kwargs

    def _verify(self, node: fx.Node, result: Any) -> None:
        value = self.flow.values[node]
        if not isinstance(value, Value) or not isinstance(result, Tensor):
            return
        expected = self.shape(value)
        if expected is not None and tuple(result.shape) != expected:
            detail = f"after the cut it gives {tuple(result.shape)}, not {expected}"
            where = module_path(node), source_line(node)
            raise UntraceableError(str(node.target), *where, detail)

    # -- operations that move elements ------------------------------------------------------

    def shape(self, value: Value) -> tuple[int, ...] | None:
        """Shape of a value after the cut; None if it has none (a torn grid)."""
        if value.ids is None:
            return value.shape
        axis, classes = self.plan.graph.axis_of(value)
        if axis == -1:
            return None if self.plan.touches(classes.reshape(-1)) else value.shape
        if axis is None:
            return value.shape
        return (*value.shape[:axis], len(self.plan.order(classes)), *value.shape[axis + 1 :])

    def cut(self, value: Value, numbers: Tensor, sort: bool = False) -> Tensor:
        """Element numbers of a value restricted to what is kept, in the new (or old) order."""
        if value.ids is None:
            return numbers
        axis, classes = self.plan.graph.axis_of(value)
        if axis is None or axis == -1:
            return numbers
        order = self.plan.order(classes)
        return numbers.index_select(axis, order.sort().values if sort else order)

    def _sound(self, node: fx.Node) -> bool:
        """Whether a node of the old graph has a value in the new one."""
        twin = self.twin.get(node)
        return twin is not None and self.actual[twin] is not _Broken

    def _rearranged(self, node: fx.Node, call: Call) -> fx.Node:
        twin = self.graph.node_copy(node, self.twin.__getitem__)
        if not self._concerned(node):
            self._run(twin)
            return twin
        torn = any(self.shape(value) is None for value in tensors(self.flow.values[node]))
        if not torn and all(self._sound(source) for source in node.all_input_nodes):
            fitted = self._fitted(node, call, twin) or self._unmoved(node, call)
            if fitted is not None:
                return fitted
        if torn or not isinstance(self.flow.values[node], Value):
            self.actual[twin] = _Broken
            return twin
        return self._indexed(node)

    def _concerned(self, node: fx.Node) -> bool:
        """Whether the cut touches anything that a rearrangement reads, gives or computes with."""
        nearby = [self.flow.values[n] for n in (node, *node.all_input_nodes)]
        for value in tensors(nearby):
            touched = value.ids is not None and self.plan.touches(
                self.plan.graph.classes.of(value.ids).reshape(-1)
            )
            if touched:
                return True
        sizes = [n for n in node.all_input_nodes if not tensors(self.flow.values[n])]
        return any(not _same(self.actual[self.twin[n]], self.flow.values[n]) for n in sizes)

    def _unmoved(self, node: fx.Node, call: Call) -> fx.Node | None:
        """The operation on sources put back into their old order; None if they never left it."""
        sources = {source: self._in_old_order(source) for source in node.all_input_nodes}
        if all(sources[source] is self.twin[source] for source in sources):
            return None
        return self._fitted(node, call, self.graph.node_copy(node, sources.__getitem__), sort=True)

    def _in_old_order(self, source: fx.Node) -> fx.Node:
        value = self.flow.values[source]
        if not isinstance(value, Value) or value.ids is None:
            return self.twin[source]
        axis, classes = self.plan.graph.axis_of(value)
        if axis is None or axis == -1:
            return self.twin[source]
        return self._index(self.twin[source], axis, self.plan.order(classes).argsort())

    def _fitted(
        self, node: fx.Node, call: Call, twin: fx.Node, sort: bool = False
    ) -> fx.Node | None:
        """The operation as it is, with new sizes, or followed by an index; None if none fits."""
        value, numbering = self.flow.values[node], Numbering()
        wanted = self._expected(value, run(call, call.args, call.kwargs, numbering.of))
        for form in (twin, resized(self, node, call, twin)):
            got = None if form is None else self._numbers(call, form, numbering, sort)
            if got is None:
                continue
            index = None
            if not _same(got, wanted):
                axis = self._axis(node)
                if axis is None or not isinstance(got, Tensor) or not isinstance(value, Value):
                    continue
                index = matched(got, wanted, axis)
                if index is None:
                    continue
            self.changed |= form is not twin
            self._run(form)
            return form if index is None else self._index(form, axis, index)
        return None

    def _axis(self, node: fx.Node) -> int | None:
        """The axis along which a node, or else what it reads, carries channels."""
        for near in (node, *node.all_input_nodes):
            for value in carriers(self.flow.values[near]):
                axis, _ = self.plan.graph.axis_of(value)
                if axis is not None and axis >= 0:
                    return axis
        return None

    def _expected(self, value: Any, before: Any) -> Any:
        if isinstance(value, Value):
            return self.cut(value, before)
        return tuple(self._expected(v, b) for v, b in zip(value, before))

    def _numbers(self, call: Call, form: fx.Node, numbering: Numbering, sort: bool) -> Any:
        """Element numbers that ``form`` gives on the kept channels, None if it fails."""
        sources: list[fx.Node] = []
        fx.map_arg((call.node.args, call.node.kwargs), sources.append)
        before = iter([v for v in (self.flow.values[s] for s in sources) if tensors(v)])

        def argument(source: fx.Node) -> Any:
            actual = self.actual[source]
            return _Wrapped(next(before) if _has_tensor(actual) else actual)

        args, kwargs = _unwrapped(fx.map_arg((form.args, form.kwargs), argument))
        target = call.target if form.op == "call_module" else form.target
        changed = Call(call.node, target, args, kwargs, call.out)
        try:
            return run(changed, args, kwargs, lambda v: self.cut(v, numbering.of(v), sort))
        except _FAILURES:
            return None

    def _indexed(self, node: fx.Node) -> fx.Node:
        """Replace a rearrangement by an index along the channel axis of its sources."""
        value, axis = self.flow.values[node], self._axis(node)
        ends = trail(self.flow, node, lambda n: self._sound(n) and self.plan.graph.is_line(n))
        if ends and axis is not None:
            index = gathered(self.flow, node, ends, axis)
            if index is not None:
                return self._gather(ends, axis, index[self.cut_positions(value, axis)])
        if ends and len(ends) == 1 and len(value.shape) == len(self.flow.values[ends[0]].shape) - 1:
            return self._selected(node, ends[0])
        where = f"{node.name} ({source_line(node)})"
        raise UncuttableError(f"`{where}` has no form on the channels that are kept")

    def _gather(self, ends: list[fx.Node], axis: int, index: Tensor) -> fx.Node:
        """Concatenate sources and pick positions, given as positions before the cut."""
        places, length = [], 0
        for end in ends:
            side = self.flow.values[end]
            order = self.cut_positions(side, axis)
            place = torch.full((side.shape[axis],), -1)
            place[order] = torch.arange(length, length + len(order))
            places.append(place)
            length += len(order)
        index = torch.cat(places)[index]
        twins = [self.twin[end] for end in ends]
        source = twins[0] if len(twins) == 1 else self.emit(torch.cat, twins, dim=axis)
        return self._index(source, axis, index)

    def cut_positions(self, value: Value, axis: int) -> Tensor:
        """Positions kept along ``axis`` of a value."""
        held, classes = self.plan.graph.axis_of(value) if value.ids is not None else (None, None)
        return self.plan.order(classes) if held == axis else torch.arange(value.shape[axis])

    def _index(self, source: fx.Node, axis: int, index: Tensor) -> fx.Node:
        """Pick positions along an axis: nothing, a slice or an index, whichever is enough."""
        self.changed = True
        start, size = int(index[0]), self.actual[source].shape[axis]
        if torch.equal(index, torch.arange(start, start + len(index))):
            if len(index) == size:
                return source
            return self.emit(torch.narrow, source, axis, start, len(index))
        name = self._unused_name()
        self.indices[name] = index.to(self._device)
        held = self.graph.create_node("get_attr", name)
        self.actual[held] = self.indices[name]
        return self.emit(torch.index_select, source, axis, held)

    def _unused_name(self) -> str:
        k = len(self.indices)
        while hasattr(self.smaller, f"channel_order_{k}") or f"channel_order_{k}" in self.indices:
            k += 1
        return f"channel_order_{k}"

    def _selected(self, node: fx.Node, end: fx.Node) -> fx.Node:
        """One channel, picked by its place."""
        value, numbering = self.flow.values[end], Numbering()
        axis, classes = self.plan.graph.axis_of(value)
        first = int(numbers(self.flow, node, [end], numbering).flatten()[0])
        place = (numbering.of(value) == first).nonzero()[0, axis]
        new = int((self.plan.order(classes) == place).nonzero()[0, 0])
        self.changed = True
        twin = self.emit(torch.select, self.twin[end], axis, new)
        self._verify(node, self.actual[twin])
        return twin

    def sweep(self) -> None:
        """Drop what no longer leads anywhere: broken views and sizes only they used."""
        serving = set(self.twin.values())
        for twin in reversed(list(self.graph.nodes)):
            value = self.actual.get(twin, _Broken)
            spare = twin not in serving or value is _Broken or isinstance(value, (int, torch.Size))
            if spare and not twin.users and twin.op not in ("placeholder", "output"):
                self.graph.erase_node(twin)


class _Wrapped:
    def __init__(self, value: Any) -> None:
        self.value = value


def _unwrapped(arguments: Any) -> Any:
    if isinstance(arguments, _Wrapped):
        return arguments.value
    if isinstance(arguments, dict):
        return {key: _unwrapped(item) for key, item in arguments.items()}
    if isinstance(arguments, slice):
        return slice(*(_unwrapped(p) for p in (arguments.start, arguments.stop, arguments.step)))
    if isinstance(arguments, (tuple, list)) and type(arguments) is not torch.Size:
        return type(arguments)(_unwrapped(item) for item in arguments)
    return arguments


def _has_tensor(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_has_tensor(item) for item in value)
    return isinstance(value, Tensor)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and not isinstance(a, Tensor) and a == b


def _attribute(module: nn.Module, name: str) -> Any:
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part)
    return value
