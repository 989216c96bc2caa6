"""Where each element of a rearranged tensor came from.

Every rearrangement is checked, and where necessary rewritten, by running it on element
numbers: the same operation, on tensors whose entries say where they stood.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from .flow import Call, Flow, Value, execute, tensors
from .rearrange import PAD_MODULES, filled, is_index

__all__ = ["Numbering", "gathered", "matched", "numbers", "run", "trail"]


class Numbering:
    """Distinct element numbers for the tensors that a rearrangement reads."""

    def __init__(self) -> None:
        self._starts: dict[int, int] = {}
        self._next = 0

    def of(self, value: Value) -> Tensor:
        """Numbers of all elements of ``value``, of its shape; the same ones every time."""
        if id(value) not in self._starts:
            self._starts[id(value)] = self._next
            self._next += prod(value.shape)
        start = self._starts[id(value)]
        return torch.arange(start, start + prod(value.shape)).reshape(value.shape)


def run(call: Call, args: Any, kwargs: Any, number: Callable[[Value], Tensor]) -> Any:
    """Run a rearrangement with each tensor argument replaced by its element numbers.

    Args:
        call: the operation.
        args: its positional arguments, values where tensors were.
        kwargs: its keyword arguments, the same.
        number: gives the element numbers of a value.

    Returns:
        Element numbers of the result; a new constant element (padding) has number -1.
    """
    arguments = tensors((args, kwargs))
    replace = {id(v): v.data.cpu() if is_index(v) else number(v) for v in arguments}
    args, kwargs = filled(args, replace), filled(kwargs, replace)
    if isinstance(call.target, PAD_MODULES):
        return torch.nn.functional.pad(args[0], _flat(call.target.padding), value=-1)
    if call.operation == "pad":
        pads = args[1] if len(args) > 1 else kwargs["pad"]
        return torch.nn.functional.pad(args[0], list(pads), value=-1)
    return execute(call.target, args, kwargs)


def _flat(pads: Any) -> list[int]:
    return list(pads)


def trail(flow: Flow, node: fx.Node, known: Callable[[fx.Node], bool]) -> list[fx.Node] | None:
    """The nodes that a rearrangement draws on, back to those that are ``known``.

    Returns:
        Nearest known ancestors, in order of appearance; None if the way back leaves the
        rearrangements.
    """
    found: list[fx.Node] = []
    for source in node.all_input_nodes:
        if all(is_index(value) for value in tensors(flow.values[source])):
            continue  # an integer, a shape, an index
        if known(source) and isinstance(flow.values[source], Value):
            deeper: list[fx.Node] | None = [source]
        elif source in flow.rearrangements:
            deeper = trail(flow, source, known)
        else:
            deeper = None
        if deeper is None:
            return None
        found += [n for n in deeper if n not in found]
    return found


def numbers(flow: Flow, node: fx.Node, ends: list[fx.Node], numbering: Numbering) -> Any:
    """Element numbers of ``node``'s original result in terms of its trail's ends."""
    if node in ends:
        return numbering.of(flow.values[node])
    call = flow.rearrangements[node]
    inner = {
        id(flow.values[source]): numbers(flow, source, ends, numbering)
        for source in node.all_input_nodes
        if isinstance(flow.values[source], Value) and not is_index(flow.values[source])
    }
    for source in node.all_input_nodes:  # the tuple that a split made
        value = flow.values[source]
        if isinstance(value, tuple) and tensors(value):
            parts = numbers(flow, source, ends, numbering)
            inner |= {id(part): result for part, result in zip(value, parts)}
    return run(call, call.args, call.kwargs, lambda value: inner[id(value)])


def gathered(flow: Flow, node: fx.Node, ends: list[fx.Node], axis: int) -> Tensor | None:
    """Write a rearrangement as one index along ``axis`` of its sources laid end to end.

    Args:
        flow: the values and rearrangements.
        node: whose original result is to be written so.
        ends: its sources, from :func:`trail`.
        axis: of the result and of every source.

    Returns:
        ``index`` such that ``result == cat(sources, axis).index_select(axis, index)``, or
        None if it moves elements along other axes too.
    """
    shape = flow.values[node].shape
    sides = [flow.values[end].shape for end in ends]
    if any(_without(side, axis) != _without(shape, axis) for side in sides):
        return None
    numbering = Numbering()
    joined = torch.cat([numbering.of(flow.values[end]) for end in ends], axis)
    result = numbers(flow, node, ends, numbering)
    return matched(joined, result, axis)


def matched(source: Tensor, result: Tensor, axis: int) -> Tensor | None:
    """``index`` with ``source.index_select(axis, index) == result``, or None.

    Repeated numbers (-1, new constants) are matched in order of appearance.
    """
    if _without(source.shape, axis) != _without(result.shape, axis) or not source.numel():
        return None
    have, want = (
        side.movedim(axis, 0).reshape(side.shape[axis], -1)[:, 0] for side in (source, result)
    )
    places: dict[int, list[int]] = {}
    for place, number in enumerate(have.tolist()):
        places.setdefault(number, []).append(place)
    taken: dict[int, int] = {}
    index = []
    for number in want.tolist():
        options = places.get(number)
        if not options:
            return None
        turn = taken.get(number, 0)
        taken[number] = turn + 1
        index.append(options[turn % len(options)])
    chosen = torch.tensor(index, dtype=torch.int64)
    return chosen if torch.equal(source.index_select(axis, chosen), result) else None


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(size for a, size in enumerate(shape) if a != axis)
