"""The channel graph of a model: which layers share a width, what may be cut and what not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor, fx, nn

from lithe.modes import evaluating

from .atoms import Classes, Pin, compress, varying
from .flow import Flow, Layer, Value, carriers
from .group import Group
from .positions import gathered, trail
from .propagate import propagate
from .tracing import record, source_line, symbolic

__all__ = ["ChannelGraph", "named_tensors", "trace"]

_PRODUCERS = ("conv", "linear")


class ChannelGraph:
    """What :func:`trace` learnt about a model.

    Attributes:
        model: the traced module (not copied).
        example: the example inputs.
        graph: its torch.fx graph.
        names: names of each parameter, buffer and constant, by its ``id``.
        unreached: modules with parameters that the traced (eval) pass does not run.
    """

    def __init__(
        self,
        model: nn.Module,
        example: tuple[Tensor, ...],
        graph: fx.Graph,
        flow: Flow,
        constants: dict[str, Tensor],
    ) -> None:
        self.model, self.example, self.graph = model, example, graph
        self.flow, self.constants = flow, constants
        self.names = _names_by_tensor(model, constants)
        self.classes: Classes = flow.atoms.solve()
        self._pin_strays()
        self._hold_attributes()
        self._pin_grids()
        self._pin_singles()
        self._components = self._join()
        self._groups = {
            name: int(self._components[self.classes.of(layer.outs)[0]])
            for name, layer in flow.layers.items()
            if layer.role in _PRODUCERS
        }
        self.unreached = self._unreached()

    def layer(self, name: str) -> Layer:
        """The convolution or linear layer of that name.

        Raises:
            KeyError: there is none, or the traced pass does not run it.
        """
        layer = self.flow.layers.get(name)
        if layer is None or layer.role not in (*_PRODUCERS, "depthwise"):
            known = [n for n, other in self.flow.layers.items() if other.role in _PRODUCERS]
            state = "not run in eval mode" if name in self.unreached else "not in the graph"
            raise KeyError(f"no convolution or linear layer `{name}` ({state}); there are {known}")
        return layer

    def labels(self, name: str) -> Tensor:
        """Class of each output channel of a layer, ``(o,)``; equal ones go together."""
        return self.classes.of(self.layer(name).outs)

    def cells(self, name: str) -> Tensor:
        """Cell of each output channel of a layer, ``(o,)``: keep equally many from each.

        Grouped convolutions make and read channels in groups of equal size; a layer that has
        to do with none has the single cell 0.
        """
        labels = self.labels(name)
        own, position = labels.unique(return_inverse=True)
        columns = [torch.zeros_like(labels)[:, None]]
        for balance in self.flow.balances:
            for side in (balance.ins, balance.outs):
                counts = _counts(own, self.classes.of(side))
                columns.append(counts[position])
        cells = torch.cat(columns, 1).unique(dim=0, return_inverse=True)[1]
        first = {cell: k for k, cell in enumerate(dict.fromkeys(cells.tolist()))}
        return torch.tensor([first[cell] for cell in cells.tolist()])

    def free_convs(self) -> list[str]:
        """Convolutions of which any non-empty set of output channels may be kept, alone.

        Not among them: those whose width another convolution or linear layer shares, those
        that reach the network's output, and those whose channels go in blocks (before a pixel
        shuffle) or in groups (at a grouped convolution); see :meth:`groups` and :meth:`cells`.
        """
        return [name for name, layer in self.flow.layers.items() if self._free(name, layer)]

    def _free(self, name: str, layer: Layer) -> bool:
        if layer.role != "conv":
            return False
        labels = self.classes.of(layer.outs)
        alone = len(self._members(name)) == 1
        single = len(labels.unique()) == len(labels) > 1
        whole = not self.cells(name).any() and bool(self.classes.loose(labels).all())
        return alone and single and whole

    def groups(self) -> list[Group]:
        """All width groups, in the order in which the network meets them."""
        first: dict[int, str] = {}
        for name, component in self._groups.items():
            first.setdefault(component, name)
        return [self.group_of(name) for name in first.values()]

    def group_of(self, name: str) -> Group:
        """The width group of a convolution's (or linear layer's) output channels.

        Raises:
            KeyError: no such layer in the graph.
        """
        self.layer(name)
        inside = self._components == self._component(name)
        producers = self._members(name)
        consumers, travellers = [], []
        for other, layer in self.flow.layers.items():
            if inside[self.classes.of(layer.ins)].any():
                if layer.role in _PRODUCERS:
                    consumers.append(other)
                else:
                    travellers.append(other)
        travellers += [
            value.name
            for value in self.flow.attributes.values()
            if inside[self.classes.of(value.ids)].any()
        ]
        own = torch.cat([self.labels(producer) for producer in producers]).unique()
        loose = self.classes.loose(own)
        return Group(
            {p: len(self.flow.layers[p].outs) for p in producers},
            tuple(consumers),
            tuple(travellers),
            bool(loose.any()) and len(own) > 1,
            self._reasons(own),
        )

    def select(self, name: str, scores: Tensor, count: int) -> Tensor:
        """Choose which output channels of one layer to keep: the best that may be kept.

        Args:
            name: the convolution or linear layer.
            scores: ``(o,)``, larger is kept first; channels that go together are summed.
            count: how many to keep at most; at least one per cell, and what may not be cut.

        Returns:
            Ascending indices, as many as fit into ``count`` when channels must be kept in
            blocks and equally from each cell.

        Raises:
            ValueError: ``scores`` or ``count`` do not fit the layer.
        """
        labels, cells = self.labels(name), self.cells(name)
        if scores.shape != labels.shape or not 1 <= count <= len(labels):
            raise ValueError(
                f"`{name}` has {len(labels)} channels: expected as many scores and a count from"
                f" 1 to {len(labels)}, got scores {tuple(scores.shape)} and count {count}"
            )
        classes, position = labels.unique(return_inverse=True)
        total = torch.zeros(len(classes), dtype=scores.dtype).index_add(0, position, scores)
        total[~self.classes.loose(classes)] = torch.inf  # what may not go stays
        sizes = position.bincount(minlength=len(classes))
        cell = torch.zeros_like(classes).scatter(0, position, cells)
        ranked = [
            sorted((cell == c).nonzero()[:, 0].tolist(), key=lambda k: (-float(total[k]), k))
            for c in range(int(cells.max()) + 1)
        ]
        kept: list[int] = []
        for row in zip(*ranked):
            if kept and int(sizes[[*kept, *row]].sum()) > count and not _pinned(total, row):
                break
            kept += row
        if torch.isinf(total).sum() > torch.isinf(total[kept]).sum():
            return torch.arange(len(labels))  # unequal cells, and one of them may not shrink
        return torch.isin(position, torch.tensor(kept)).nonzero()[:, 0]

    def __str__(self) -> str:
        groups = self.groups()
        free = self.free_convs()
        lines = [
            f"{len(groups)} width groups, {sum(g.cuttable for g in groups)} cuttable;"
            f" {len(free)} convolutions change width alone",
            *map(str, groups),
        ]
        if self.unreached:
            lines.append(f"untouched, not run in eval mode: {', '.join(self.unreached)}")
        return "\n".join(lines)

    def axis_of(self, value: Value) -> tuple[int | None, Tensor]:
        """The one axis along which a value's classes differ, and the classes along it.

        Returns:
            ``(axis, (shape[axis],))``; axis None with one class when none differ; axis -1
            with the grid of classes when several axes do.
        """
        grid = compress(self.classes.of(value.ids))
        axes = varying(grid)
        if len(axes) > 1:
            return -1, grid
        return (axes[0] if axes else None), grid.reshape(-1)

    def _pin_strays(self) -> None:
        """Pin layers whose parameters are also used in ways that are not followed."""
        direct = {id(value.data): value.why for value in self.flow.direct}
        sites = {key: list(axes.values()) for key, axes in self.flow.held.items()}
        for layer in self.flow.layers.values():
            sites.setdefault(id(layer.weight), []).extend((layer.ins, layer.outs))
        for key, names in self.names.items():
            strays = [f"`{name}`" for name in names if not self._covered(name)]
            if key in sites and (key in direct or strays):
                use = direct.get(key) or strays[0]
                for ids in sites[key]:
                    self._pin(ids, f"its layer's parameter is also used as {use}")

    def _covered(self, name: str) -> bool:
        """Whether a parameter's name belongs to a layer that is followed."""
        owner = self.model.get_submodule(name.rpartition(".")[0]) if "." in name else self.model
        return name in self.flow.covered or id(owner) in self.flow.covered

    def _hold_attributes(self) -> None:
        for value in self.flow.attributes.values():
            axis, classes = self.axis_of(value)
            if axis == -1:
                self._pin(value.ids, f"`{value.name}` carries channels on several axes")
            elif axis is not None:
                line = value.ids.movedim(axis, 0).reshape(len(classes), -1)[:, 0]
                self.flow.hold(value.data, axis, line)

    def _pin(self, ids: Tensor, reason: str, movable: bool = False) -> None:
        self.classes.add(Pin(ids.unique(), reason, movable))

    def is_line(self, node: fx.Node) -> bool:
        """Whether a node's channels lie along one axis at most."""
        return all(self.axis_of(value)[0] != -1 for value in carriers(self.flow.values[node]))

    def _pin_grids(self) -> None:
        """Pin channels spread over several axes, unless they only pass through on the way."""
        for node in self.graph.nodes:
            if not self.is_line(node):
                for user in node.users:
                    if not self._comes_back(user):
                        reason = f"`{node.name}` spreads them over several axes for `{user.name}`"
                        for value in carriers(self.flow.values[node]):
                            self._pin(value.ids, f"{reason} ({source_line(user)})")

    def _pin_singles(self) -> None:
        """Pin the only channel (or block of channels) of a tensor: none would be left."""
        for node, values in self.flow.values.items():
            for value in carriers(values):
                classes = self.classes.of(value.ids).unique()
                if len(classes) == 1 and self.classes.loose(classes).all():
                    self._pin(value.ids, f"it is the only channel of `{node.name}`", movable=True)

    def _comes_back(self, node: fx.Node) -> bool:
        """Whether a rearrangement of a grid is one index of lines, or a grid that comes back."""
        if node not in self.flow.rearrangements or not carriers(self.flow.values[node]):
            return False  # mixed, lost, or asked for its shape
        value = self.flow.values[node]
        if not isinstance(value, Value) or not self.is_line(node):
            return True  # judged at its own users
        ends = trail(self.flow, node, self.is_line)
        axis, _ = self.axis_of(value)
        return bool(ends) and axis is not None and gathered(self.flow, node, ends, axis) is not None

    def _join(self) -> Tensor:
        """Component of each class: classes made by one layer, or balanced, belong together."""
        rows = [self.classes.of(x.outs) for x in self.flow.layers.values() if x.role in _PRODUCERS]
        for balance in self.flow.balances:
            rows += [self.classes.of(side).flatten() for side in (balance.ins, balance.outs)]
        a = torch.cat([row[:1].expand_as(row) for row in rows] or [torch.zeros(0)]).long()
        b = torch.cat(rows or [torch.zeros(0)]).long()
        shape = (self.classes.count,) * 2
        links = coo_matrix((torch.ones(len(a)), (a, b)), shape=shape)
        return torch.as_tensor(connected_components(links, directed=False)[1])

    def _component(self, name: str) -> int:
        return int(self._components[self.labels(name)[0]])

    def _members(self, name: str) -> list[str]:
        own = self._component(name)
        return [other for other, component in self._groups.items() if component == own]

    def _reasons(self, classes: Tensor) -> tuple[str, ...]:
        reasons: list[str] = []
        held = torch.isin(self.classes.labels, classes)
        for pin in self.classes.pins:
            if held[pin.ids].any() and pin.reason not in reasons:
                reasons.append(pin.reason)
        return tuple(reasons)

    def _unreached(self) -> tuple[str, ...]:
        reached = {str(n.target) for n in self.graph.nodes if n.op in ("call_module", "get_attr")}
        return tuple(
            name
            for name, module in self.model.named_modules(remove_duplicate=False)
            if module._parameters
            and not any(
                name == r or r.startswith(name + ".") or name.startswith(r + ".") for r in reached
            )
        )


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All parameters and buffers, a shared one under each of its names."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _names_by_tensor(model: nn.Module, constants: dict[str, Tensor]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for name, tensor in [*named_tensors(model), *constants.items()]:
        names.setdefault(id(tensor), []).append(name)
    return names


def _counts(own: Tensor, groups: Tensor) -> Tensor:
    """How often each of ``own`` (sorted, ``(k,)``) stands in each row of ``(g, c)``: ``(k, g)``."""
    place = torch.searchsorted(own, groups).clamp(max=len(own) - 1)
    row, column = (own[place] == groups).nonzero(as_tuple=True)
    counts = torch.zeros(len(own), len(groups), dtype=torch.int64)
    return counts.index_put_((place[row, column], row), torch.ones_like(row), accumulate=True)


def _pinned(total: Tensor, row: Iterable[int]) -> bool:
    return bool(torch.isinf(total[list(row)]).any())


def trace(model: nn.Module, example: Tensor | tuple[Tensor, ...]) -> ChannelGraph:
    """Find which tensors of a model share a width.

    The model is traced in eval mode (its training flags are restored) and run once.

    Args:
        model: any module that torch.fx can trace.
        example: an input ``(1, c, h, w)``, or a tuple of inputs; batch size 1 is best.

    Returns:
        The channel graph.

    Raises:
        UntraceableError: the forward pass cannot be traced (it branches on data, say).
        ValueError: the model does not run on ``example``.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    if not all(isinstance(x, Tensor) for x in inputs):
        raise TypeError(
            f"example must be a tensor or a tuple of tensors, got {type(example).__name__}"
        )
    with evaluating(model), torch.no_grad():
        graph, constants = symbolic(model)
        try:
            outcomes = record(model, graph, inputs)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            shapes = [tuple(x.shape) for x in inputs]
            raise ValueError(
                f"the model does not run on an example of shape {shapes}: "
                f"{str(error).splitlines()[0]}"  # what follows is torch.fx's own stack
            ) from error
        flow = propagate(model, graph, outcomes, constants)
    for name in constants:
        delattr(model, name)
    return ChannelGraph(model, inputs, graph, flow, constants)
