"""From a folded network to a program: steps in order, and buffers laid out in one arena."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from lithe.onexn.engine import operations as op
from lithe.onexn.engine.chains import Chain, chains
from lithe.onexn.engine.graph import DependsOnData, outcomes
from lithe.onexn.engine.memory import Life, place
from lithe.onexn.engine.recognise import Recogniser
from lithe.onexn.engine.torch_part import TorchPart
from lithe.onexn.packed import PackedWeight
from lithe.onexn.program import (
    Activate,
    Combine,
    Conv,
    Depthwise,
    Foreign,
    Mean,
    Plane,
    Pool,
    Program,
    Step,
)

__all__ = ["Lowered", "NotLowered", "lower", "planes_of"]


class NotLowered(ValueError):
    """A network that no program can be written for; torch runs it instead."""


@dataclass(frozen=True, eq=False)
class Lowered:
    """A program, and how its outputs become the network's.

    Attributes:
        program: reads the inputs in order.
        batch: images at once.
        shapes: of the outputs.
        assemble: puts the outputs, in order and of these shapes, into what the network returns.
    """

    program: Program
    batch: int
    shapes: tuple[torch.Size, ...]
    assemble: Callable[[Sequence[Tensor]], Any]


@dataclass(frozen=True)
class _Area:
    """Where a value lies: a run of channels of a storage, seen as ``(c, h, w)`` maps."""

    storage: int
    shape: tuple[int, int, int]
    start: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def lower(
    network: fx.GraphModule,
    inputs: tuple[Tensor, ...],
    weights: dict[str, PackedWeight] | None = None,
) -> Lowered:
    """Write the program of a network for inputs of one shape.

    Args:
        network: followed, plain and folded.
        inputs: float32, with one batch size.
        weights: packed weights of dense layers by name, kept between calls.

    Raises:
        NotLowered: what the network takes or returns is not floats with the batch first, or
            its steps depend on the values that it is given.
        ValueError: the network does not run on such inputs.
    """
    batch = inputs[0].shape[0]
    if any(x.shape[0] != batch for x in inputs):
        raise NotLowered("its inputs have different batch sizes")
    try:
        found = outcomes(network, inputs)
    except DependsOnData as error:
        raise NotLowered(str(error)) from None
    graph, values = _specialised(network, found)
    recogniser = Recogniser(network, values, batch, {} if weights is None else weights)
    return _Writer(network, graph, values, recogniser).write(batch)


def _specialised(
    network: fx.GraphModule, values: dict[fx.Node, Any]
) -> tuple[fx.Graph, dict[fx.Node, Any]]:
    """The graph for one shape: sizes read off tensors are numbers, what nobody reads is gone."""
    graph, twin, known = fx.Graph(), {}, {}
    for node in network.graph.nodes:
        value = values.get(node)
        if node.op not in ("placeholder", "output", "get_attr") and _is_constant(value):
            twin[node] = value
            continue
        twin[node] = graph.node_copy(node, twin.__getitem__)
        known[twin[node]] = value
        if isinstance(value, Tensor):
            twin[node].meta["shape"] = value.shape
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
            del known[node]
    return graph, known


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_constant(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str | torch.dtype | torch.device)


class _Writer:
    """Writes the steps of one network; storages are numbered as they come up."""

    def __init__(
        self,
        network: fx.GraphModule,
        graph: fx.Graph,
        values: dict[fx.Node, Any],
        recogniser: Recogniser,
    ) -> None:
        self.network, self.graph, self.values, self.fits = network, graph, values, recogniser.fits
        found = {node: recogniser.operation(node) for node in graph.nodes}
        self.operations = {node: x for node, x in found.items() if x is not None}
        self.chains = chains(graph, self.operations)
        self.homes = _homes(self.operations, self.chains, values)
        self.sizes: list[int] = []
        self.areas: dict[fx.Node, _Area] = {}
        self.buffers: dict[tuple[int, tuple[int, int, int]], int] = {}
        self.steps: list[tuple[Step, str]] = []

    def write(self, batch: int) -> Lowered:
        """Write all steps and lay out the buffers."""
        result = next(node for node in self.graph.nodes if node.op == "output").args[0]
        inputs = [node for node in self.graph.nodes if node.op == "placeholder"]
        for node in inputs:
            if not self.fits(node):
                raise NotLowered(f"its input {node.name} is not float32 with the batch first")
            self.areas[node] = self._room(node)
        inside = {node for chain in self.chains.values() for node in chain.nodes[:-1]}
        for node in self.graph.nodes:
            if node in self.chains:
                self._write(node, self.chains[node])
            elif node not in inside and self._stands_alone(node):
                self._torch(node)
        outputs = list(_nodes(result))
        if not outputs:
            raise NotLowered("it returns nothing that it computes")
        for node in outputs:
            if node not in self.areas:
                raise NotLowered(f"its output {node.name} is not float32 with the batch first")
        taken, given = ([self._plane(self.areas[x]) for x in xs] for xs in (inputs, outputs))
        program = self._program(tuple(taken), tuple(given))
        shapes = tuple(self.values[node].shape for node in outputs)
        return Lowered(program, batch, shapes, _assembler(result, outputs))

    def _stands_alone(self, node: fx.Node) -> bool:
        """Is a node of torch's a step of its own, rather than a part of its reader's?"""
        if node.op in ("placeholder", "output", "get_attr") or not self.fits(node):
            return False
        readers = list(node.users)
        native = any(reader.op == "output" or reader in self.operations for reader in readers)
        return native or len(readers) > 1

    # -- places --------------------------------------------------------------------------------

    def _room(self, node: fx.Node) -> _Area:
        """A place for a node's value: inside a concatenation, or a storage of its own."""
        shape = planes_of(self.values[node].shape)
        if node not in self.homes:
            return self._storage(shape)
        whole, start = self.homes[node]
        if whole not in self.areas:
            self.areas[whole] = self._room(whole)
        area = self.areas[whole]
        return _Area(area.storage, shape, area.start + start)

    def _storage(self, shape: tuple[int, int, int]) -> _Area:
        self.sizes.append(math.prod(shape))
        return _Area(len(self.sizes) - 1, shape)

    def _target(self, node: fx.Node) -> _Area:
        if node not in self.areas:
            self.areas[node] = self._room(node)
        return self.areas[node]

    def _plane(self, area: _Area) -> Plane:
        channels, height, width = area.shape
        whole = (self.sizes[area.storage] // (height * width), height, width)
        number = self.buffers.setdefault((area.storage, whole), len(self.buffers))
        return Plane(number, channels, height, width, area.start)

    # -- steps ---------------------------------------------------------------------------------

    def _write(self, node: fx.Node, chain: Chain) -> None:
        operation = chain.operation
        if isinstance(operation, op.Slice):
            source = self.areas[operation.x]
            shape = planes_of(self.values[node].shape)
            self.areas[node] = _Area(source.storage, shape, source.start + operation.start)
        elif isinstance(operation, op.Reshape):
            self._reshape(node, operation)
        elif isinstance(operation, op.Concatenate):
            self._concatenate(node, operation)
        else:
            step = self._step(operation, chain, self._plane(self._target(node)))
            first = chain.nodes[0]
            self.steps.append((step, first.target if first.op == "call_module" else first.name))

    def _step(self, operation: op.Operation, chain: Chain, y: Plane) -> Step:
        if isinstance(operation, op.Join):
            a, b = self._read(operation.a), self._read(operation.b)
            return Combine(operation.kind, a, b, y, chain.activation)
        x = self._read(operation.x)
        if isinstance(operation, op.Convolve | op.Filter):
            kind = Conv if isinstance(operation, op.Convolve) else Depthwise
            moves = operation.moves
            residual = None if chain.residual is None else self._read(chain.residual)
            return kind(
                *(x, y, operation.weight, operation.bias),
                *(moves.stride, moves.padding, moves.dilation),
                *(chain.activation, residual),
            )
        if isinstance(operation, op.Window):
            sizes = (operation.kernel, operation.stride, operation.padding)
            return Pool(x, y, operation.kind, *sizes, operation.counts_padding)
        if isinstance(operation, op.Average):
            return Mean(x, y)
        return Activate(x, y, operation.activation)

    def _read(self, node: fx.Node) -> Plane:
        return self._plane(self.areas[node])

    def _reshape(self, node: fx.Node, operation: op.Reshape) -> None:
        """The same place seen otherwise; a part of a storage only as long as maps stay alike."""
        source, shape = self.areas[operation.x], planes_of(self.values[node].shape)
        alike = source.shape[1:] == shape[1:]
        if alike or source.size == self.sizes[source.storage]:
            self.areas[node] = _Area(source.storage, shape, source.start)
        else:
            self._torch(node)

    def _concatenate(self, node: fx.Node, operation: op.Concatenate) -> None:
        whole, start = self._target(node), 0
        for part in operation.parts:
            area = self.areas[part]
            place_ = _Area(whole.storage, area.shape, whole.start + start)
            if area != place_:
                step = Activate(self._plane(area), self._plane(place_))
                self.steps.append((step, node.name))
            start += area.shape[0]

    def _torch(self, node: fx.Node) -> None:
        part = TorchPart.of(self.network, self.graph, node, self.areas, self.values)
        inputs = tuple(self._read(source) for source in part.sources)
        step = Foreign(part, inputs, self._plane(self._target(node)))
        self.steps.append((step, node.name))

    # -- memory --------------------------------------------------------------------------------

    def _program(self, inputs: tuple[Plane, ...], outputs: tuple[Plane, ...]) -> Program:
        storage_of = {number: storage for (storage, _), number in self.buffers.items()}
        steps = tuple(step for step, _ in self.steps)
        lives = _lives(steps, inputs, outputs, storage_of, self.sizes)
        offsets, size = place(lives)
        shapes = sorted((number, shape) for (_, shape), number in self.buffers.items())
        return Program(
            steps,
            tuple(shape for _, shape in shapes),
            tuple(offsets[storage_of[number]] for number, _ in shapes),
            size,
            inputs,
            outputs,
            tuple(name for _, name in self.steps),
        )


def planes_of(shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels and map that hold a tensor ``(batch, ...)``; a second axis is the channels."""
    if len(shape) == 3:
        return (shape[1], 1, shape[2])
    sizes = (*shape[1:], 1, 1, 1)
    return (sizes[0], sizes[1], math.prod(sizes[2:]))


def _homes(
    operations: dict[fx.Node, op.Operation],
    grouped: dict[fx.Node, Chain],
    values: dict[fx.Node, Any],
) -> dict[fx.Node, tuple[fx.Node, int]]:
    """Which values are written straight into a concatenation, and at which channel.

    The last concatenations come first: where each begins with all that the one before it had, as
    in a dense block, they all lie in the longest.
    """
    cats = [(node, x.parts) for node, x in operations.items() if isinstance(x, op.Concatenate)]
    inside = {node for chain in grouped.values() for node in chain.nodes[:-1]}
    homes: dict[fx.Node, tuple[fx.Node, int]] = {}
    done: list[tuple[fx.Node, tuple[fx.Node, ...]]] = []
    for node, parts in reversed(cats):
        longer = [other for other, whole in done if whole[: len(parts)] == parts]
        if longer and node not in homes:
            homes[node] = (longer[0], 0)
            continue
        done.append((node, parts))
        start = 0
        for index, part in enumerate(parts):
            moved = isinstance(operations.get(part), op.Slice | op.Reshape)
            written = part.op != "placeholder" and part not in inside and not moved
            if written and part not in homes and part not in parts[:index]:
                homes[part] = (node, start)
            start += values[part].shape[1]
    return homes


def _lives(
    steps: Sequence[Step],
    inputs: Sequence[Plane],
    outputs: Sequence[Plane],
    storage_of: dict[int, int],
    sizes: Sequence[int],
) -> list[Life]:
    """From the first write of a storage to the last time that anything touches it."""
    first, last = {}, {}

    def touch(plane: Plane, time: int) -> None:
        storage = storage_of[plane.buffer]
        first.setdefault(storage, time)
        last[storage] = time

    for plane in inputs:
        touch(plane, -1)
    for time, step in enumerate(steps):
        for plane in _touched(step):
            touch(plane, time)
    for plane in outputs:
        touch(plane, len(steps))
    return [Life(size, first.get(i, 0), last.get(i, 0)) for i, size in enumerate(sizes)]


def _touched(step: Step) -> Iterator[Plane]:
    for name in ("x", "a", "b", "y", "residual"):
        plane = getattr(step, name, None)
        if plane is not None:
            yield plane
    yield from getattr(step, "inputs", ())


def _nodes(result: Any) -> Iterator[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_arg(result, found.append)
    return iter(dict.fromkeys(found))


def _assembler(result: Any, outputs: list[fx.Node]) -> Callable[[Sequence[Tensor]], Any]:
    places = {node: index for index, node in enumerate(outputs)}
    return lambda tensors: _filled(result, places, tensors)


def _filled(result: Any, places: dict[fx.Node, int], tensors: Sequence[Tensor]) -> Any:
    """Tensors in place of nodes, in ordinary containers where the graph has its own kinds."""
    if isinstance(result, fx.Node):
        return tensors[places[result]]
    if isinstance(result, dict):
        return {key: _filled(item, places, tensors) for key, item in result.items()}
    if isinstance(result, list | tuple):
        items = [_filled(item, places, tensors) for item in result]
        if hasattr(result, "_fields"):
            return type(result)(*items)
        return items if isinstance(result, list) else tuple(items)
    return result
