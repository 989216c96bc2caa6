"""The space of subnets of any elastic network: its MACs, parameters and blocks as formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from lithe.channels import ChannelGraph
from lithe.channels.flow import Layer, carriers
from lithe.cost import count
from lithe.modes import evaluating
from lithe.pssnet.block import Block, Slot, Term
from lithe.pssnet.sides import Side, Sized, held_by
from lithe.pssnet.sliced import Active, Span
from lithe.pssnet.space import Space, Subnet
from lithe.pssnet.widths import Width, requested

__all__ = ["ElasticSpace", "Segment"]


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of the traced pass from one convolution (or linear layer) to the next.

    Attributes:
        name: of its first layer.
        nodes: of the graph, in order.
        layers: names of layers with parameters that are first run here.
        depends: positions of the widths that any tensor in it carries, ascending.
    """

    name: str
    nodes: tuple[fx.Node, ...]
    layers: tuple[str, ...]
    depends: tuple[int, ...]


class ElasticSpace(Space):
    """Every subnet of an elastic network.

    MACs are those of :func:`lithe.cost.count` on the extracted network, from a formula: each
    layer's full MACs at that resolution, in proportion to its pairs of active channels.

    Attributes:
        widths: the free widths.
        graph: the channel graph of the whole network.
        segments: stretches of its pass; one is one block of a latency table.
        native: height and width that a resolution is measured against: the example's.
        grid: ratios on offer.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        widths: Sequence[Width],
        resolutions: Sequence[int],
        ratios: tuple[float, float] | None,
        grid: Sequence[float] = (),
    ) -> None:
        self.graph, self.widths = graph, tuple(widths)
        self.ratios, self.grid = ratios, tuple(grid)
        self.example = graph.example[0]
        self.native = tuple(self.example.shape[2:])
        self._streams()
        self.segments = _segments(self)
        self._sized = self._layers()
        self._costs = {r: self._measured(r) for r in resolutions}
        super().__init__(
            [width.name for width in widths],
            [width.choices for width in widths],
            resolutions,
            [width.weights for width in widths],
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> ElasticSpace:
        return self  # a description: nothing in it changes, and its graph knows tensors by id

    def _streams(self) -> None:
        """Number the parts of all widths, and the channels within them."""
        self.stream = np.full(self.graph.classes.count, -1)
        self.rank = np.zeros(self.graph.classes.count, dtype=np.int64)
        self._home: list[int] = []  # width of each stream
        for j, width in enumerate(self.widths):
            for part in width.parts:
                self.stream[part.classes.numpy()] = len(self._home)
                self.rank[part.classes.numpy()] = np.arange(len(part.classes))
                self._home.append(j)

    def side(self, classes: Tensor) -> Side:
        """Which of some channels are active, as a function of the widths."""
        return Side(classes, self.stream, self.rank)

    def widths_of(self, classes: Tensor) -> set[int]:
        """Positions of the widths that some channels belong to."""
        found = np.unique(self.stream[classes.reshape(-1).numpy()])
        return {self._home[s] for s in found if s >= 0}

    def counts(self, subnet: Subnet) -> dict[int, int]:
        """Active classes of every stream."""
        flat = [n for w, c in zip(self.widths, subnet.widths) for n in w.active(c)]
        return dict(enumerate(flat))

    def setting(self, subnet: Subnet) -> dict[str, Active]:
        """What each layer computes with; layers that stay whole are left out."""
        counts = self.counts(subnet)
        setting = {}
        for name, sized in self._sized.items():
            rows, columns = sized.outs.span(counts), sized.ins.span(counts)
            if rows is None and columns is None:
                continue
            groups = sized.groups(counts)
            if sized.layer.role not in ("conv", "linear"):
                columns = None
            if sized.layer.role == "norm":
                groups = sized.outs.length(counts)
            setting[name] = Active(rows, self._local(sized, columns, counts), groups)
        return setting

    def _local(self, sized: Sized, columns: Span | None, counts: Mapping[int, int]) -> Span | None:
        """Input channels within one group of a grouped convolution."""
        if columns is None or sized.layer.groups == 1:
            return columns
        each = columns.length // sized.groups(counts)
        return None if each == len(sized.ins.rank) // sized.layer.groups else Span(each)

    def request(self, subnet: Subnet) -> dict[str, Tensor]:
        """What to ask of :func:`lithe.channels.keep` for the same network, physically small."""
        return requested(self.graph, self.widths, dict(zip(self.names, subnet.widths)))

    @property
    def elastic_layers(self) -> frozenset[str]:
        """Names of the layers whose size varies."""
        return frozenset(self._sized)

    def channels(self, position: int, ratio: float) -> int:
        """Effective channels of a width at ``ratio`` (three decimals count) of its full width."""
        if self.ratios is not None:
            low, high = self.ratios
            fits, offer = low - 1e-9 <= ratio <= high + 1e-9, f"{low} to {high}"
        else:
            fits, offer = ratio in self.grid, ", ".join(map(str, self.grid))
        if not fits:
            raise ValueError(
                f"ratio of {self.names[position]} is {ratio!r}; this space has {offer}"
            )
        return self.widths[position].channels(round(ratio, 3) if self.ratios else ratio)

    def size(self, resolution: int) -> tuple[int, ...]:
        """Height and width of the input at a resolution; a resolution is the height."""
        if not self.native or resolution == self.native[0]:
            return self.native
        return tuple(round(resolution * side / self.native[0]) for side in self.native)

    def input_at(self, resolution: int) -> Tensor:
        """An input of ones ``(1, c, h, w)`` at a resolution."""
        device = next((p.device for p in self.graph.model.parameters()), self.example.device)
        shape = (*self.example.shape[:2], *self.size(resolution))
        return torch.ones(shape, dtype=self.example.dtype, device=device)

    def layout(self, resolution: int) -> tuple[Slot, ...]:
        """One slot for every segment."""
        return self._layouts[resolution]

    @cached_property
    def _layouts(self) -> dict[int, tuple[Slot, ...]]:
        return {
            r: tuple(self._slot(segment, r, k) for k, segment in enumerate(self.segments))
            for r in self.resolutions
        }

    def _slot(self, segment: Segment, resolution: int, number: int) -> Slot:
        sizes, macs, rest = self._costs[resolution]
        fixed = rest if number == 0 else (0, 0)  # what belongs to no layer of varying size
        sized = [(name, self._sized[name]) for name in segment.layers if name in self._sized]
        first = self.graph.flow.layers.get(segment.name)
        ends = None if first is None else [self.side(self._classes(s)) for s in _ends(first)]
        known: dict[tuple[int, ...], Block] = {}

        def block(*channels: int) -> Block:
            if channels not in known:
                counts = self._partial(segment.depends, channels)
                cin, cout = (1, 1) if ends is None else (side.length(counts) for side in ends)
                known[channels] = Block(
                    _title(segment, channels),
                    sizes[segment.name],
                    cin,
                    cout,
                    macs=fixed[0] + sum(macs[n] * s.pairs(counts) for n, s in sized),
                    params=fixed[1] + sum(s.params(counts) for _, s in sized),
                    norm_channels=sum(s.normed * s.outs.length(counts) for _, s in sized),
                )
            return known[channels]

        return Slot(segment.depends, block)

    def _partial(self, depends: Sequence[int], channels: Sequence[int]) -> dict[int, int]:
        """Active classes of the streams of some widths."""
        counts = {}
        for j, c in zip(depends, channels):
            streams = [s for s, home in enumerate(self._home) if home == j]
            counts |= dict(zip(streams, self.widths[j].active(c)))
        return counts

    def terms(
        self, resolution: int, cost: Callable[[Block], float] | None = None
    ) -> tuple[Term, ...]:
        """As :meth:`Space.terms`; MACs depend on two widths at a time, however many join."""
        if cost is not None:
            return super().terms(resolution, cost)
        _, macs, rest = self._costs[resolution]
        found = [Term((), np.array(rest[0]))]
        for name, sized in self._sized.items():
            if macs[name]:
                found += self._products(sized, macs[name])
        return tuple(found)

    def _products(self, sized: Sized, unit: int) -> list[Term]:
        """MACs of one layer, a term for every pair of streams, or for all at once in groups."""
        homes = {self._home[s] for side in (sized.ins, sized.outs) for s in side.streams}
        if len(homes) <= 2 or sized.layer.groups > 1:
            return [self._table(sorted(homes), lambda counts: unit * sized.pairs(counts))]
        terms = []
        for a in (-1, *sized.ins.streams):
            for b in (-1, *sized.outs.streams):
                own = sorted({self._home[s] for s in (a, b) if s >= 0})
                terms.append(
                    self._table(
                        own,
                        lambda counts, a=a, b=b: (
                            unit * held_by(sized.ins, a, counts) * held_by(sized.outs, b, counts)
                        ),
                    )
                )
        return terms

    def _table(self, depends: Sequence[int], value: Callable[[dict[int, int]], int]) -> Term:
        rows = [self.widths[j].choices for j in depends]
        shape = tuple(map(len, rows))
        values = np.empty(shape, dtype=np.int64)
        for place in np.ndindex(shape):
            picked = [row[k] for row, k in zip(rows, place)]
            values[place] = value(self._partial(depends, picked))
        return Term(tuple(depends), values)

    def _classes(self, ids: Tensor) -> Tensor:
        return self.graph.classes.of(ids)

    def _layers(self) -> dict[str, Sized]:
        """The layers whose size varies, with what their parameters amount to."""
        found, seen = {}, set()
        for name, layer in self.graph.flow.layers.items():
            ins, outs = (self.side(self._classes(ids)) for ids in (layer.ins, layer.outs))
            if not (ins.streams or outs.streams):
                continue
            module = self.graph.model.get_submodule(name)
            own = {key: p for key, p in module.named_parameters() if id(p) not in seen}
            seen |= {id(p) for p in own.values()}
            mixing = layer.role in ("conv", "linear", "depthwise")
            pairs = len(layer.outs) * len(layer.ins) // layer.groups
            volume = own["weight"].numel() // pairs if mixing and "weight" in own else 0
            extra = sum(1 for key in own if not (mixing and key == "weight"))
            normed = int(getattr(module, "running_mean", None) is not None)
            found[name] = Sized(layer, ins, outs, volume, extra, normed)
        return found

    def _measured(self, resolution: int) -> tuple[dict, dict[str, int], tuple[int, int]]:
        """Input sizes of segments, MACs per pair of channels, and what is fixed, at one size."""
        x = self.input_at(resolution)
        cost = count(self.graph.model, x)
        rows = {row.name: row.macs for row in cost.rows}
        full = {s: len(part.classes) for s, part in enumerate(self._parts())}
        macs = {n: rows.get(n, 0) // s.pairs(full) for n, s in self._sized.items()}
        moving = (
            sum(rows.get(name, 0) for name in self._sized),
            sum(sized.params(full) for sized in self._sized.values()),
        )
        sizes = _sizes(self.graph, x, [segment.name for segment in self.segments])
        return sizes, macs, (cost.macs - moving[0], cost.params - moving[1])

    def _parts(self) -> list:
        return [part for width in self.widths for part in width.parts]


def _ends(layer: Layer) -> tuple[Tensor, Tensor]:
    return layer.ins, layer.outs


def _title(segment: Segment, channels: Sequence[int]) -> str:
    """Name of a block, unlike for unlike widths: with many of them cin and cout say too little."""
    return f"{segment.name}[{','.join(map(str, channels))}]"


def _segments(space: ElasticSpace) -> tuple[Segment, ...]:
    """Cut the traced pass before every convolution or linear layer.

    A depthwise convolution and the convolution after it stay together, as one block.
    """
    graph = space.graph
    runs: list[list[fx.Node]] = [[]]
    names: list[str] = []
    last = ""
    for node in graph.graph.nodes:
        layer = graph.flow.layers.get(str(node.target)) if node.op == "call_module" else None
        role = "" if layer is None else layer.role
        if role in ("conv", "linear", "depthwise"):
            if names and not (last == "depthwise" and role == "conv"):
                runs.append([])
            if len(names) < len(runs):
                names.append(str(node.target))
            last = role
        runs[-1].append(node)
    seen: set[str] = set()
    return tuple(_segment(space, name, nodes, seen) for name, nodes in zip(names, runs))


def _segment(space: ElasticSpace, name: str, nodes: list[fx.Node], seen: set[str]) -> Segment:
    layers, depends = [], set()
    for node in nodes:
        target = str(node.target)
        if node.op == "call_module" and target not in seen:
            layers.append(target)
            seen.add(target)
        for near in (node, *node.all_input_nodes):
            for value in carriers(space.graph.flow.values[near]):
                depends |= space.widths_of(space.graph.classes.of(value.ids))
    return Segment(name, tuple(nodes), tuple(layers), tuple(sorted(depends)))


def _sizes(graph: ChannelGraph, x: Tensor, names: Sequence[str]) -> dict[str, int]:
    """Height of the input of each named layer (1 for a linear one)."""
    found: dict[str, int] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            shape = inputs[0].shape
            found.setdefault(name, shape[2] if len(shape) > 2 else 1)

        return hook

    hooks = [graph.model.get_submodule(n).register_forward_pre_hook(note(n)) for n in names]
    try:
        with evaluating(graph.model), torch.no_grad():
            graph.model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found
