"""Free widths of a network: which layers grow and shrink together, in which steps, and why not.

The channel graph says which channels live and die together. Here they are put into an order, so
that a width is one number: how many of them, from the first on, are active.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest

import torch
from torch import Tensor, nn

from lithe.channels import ChannelGraph, Group, UncuttableError, UntraceableError, plan
from lithe.channels.compact import CompactGraph
from lithe.channels.tracing import source_line
from lithe.pssnet.rounding import make_divisible
from lithe.pssnet.sliced import SLICEABLE
from lithe.pssnet.united import united

__all__ = ["Part", "Width", "free_widths", "ratio_grid"]

GRID = 1000  # ratios are drawn in thousandths, as in the paper's spaces


@dataclass(frozen=True, eq=False)
class Part:
    """Channel classes of one width in the order in which they become active.

    Attributes:
        classes: ``(n,)``, of the channel graph.
        step: classes that become active together: of a grouped convolution, a whole group.
    """

    classes: Tensor
    step: int

    def count(self, share: Fraction) -> int:
        """Active classes at a share of the width: whole steps, at least one."""
        steps = len(self.classes) // self.step
        return self.step * min(max(round(share * steps), 1), steps)


@dataclass(frozen=True, eq=False)
class Width:
    """One free width: a number of channels that several layers may follow.

    Attributes:
        name: of the layer whose channels count: of those that make this width, the widest.
        producers: all layers that make channels of this width, that one first.
        full: its channels at ratio 1.
        unit: channels in one step.
        choices: channel counts on offer, ascending.
        weights: how likely a ratio drawn uniformly gives each of them.
        parts: sets of channels that shrink in proportion, each from its end.
        each: channels of the named layer in one class of each part.
        counts: active classes of each part, by choice.
    """

    name: str
    producers: tuple[str, ...]
    full: int
    unit: int
    choices: tuple[int, ...]
    weights: tuple[float, ...]
    parts: tuple[Part, ...]
    each: tuple[int, ...]
    counts: Mapping[int, tuple[int, ...]]

    def channels(self, ratio: float) -> int:
        """The choice that a ratio of the full width stands for."""
        return _at(ratio, self.full, self.unit, self.parts, self.each)[0]

    def active(self, channels: int) -> tuple[int, ...]:
        """Active classes of each part."""
        return self.counts[channels]

    def __str__(self) -> str:
        others = ", ".join(self.producers[1:])
        company = f", with {others}" if others else ""
        low, high = self.choices[0], self.choices[-1]
        return f"{self.name}: {low} to {high} channels, {len(self.choices)} choices{company}"


def ratio_grid(ratios: Sequence[float]) -> tuple[dict[float, float], tuple[float, float] | None]:
    """The ratios on offer with their masses, and the range they span (None for a list).

    Args:
        ratios: two numbers for a range, in thousandths, the ends at half mass (as drawing
            uniformly and rounding gives); any other count for just these ratios.

    Raises:
        ValueError: a ratio is not in ``(0, 1]``, or they do not ascend.
    """
    given = tuple(float(ratio) for ratio in ratios)
    if not given or list(given) != sorted(set(given)) or not 0 < given[0] <= given[-1] <= 1:
        raise ValueError(
            f"ratios is {tuple(ratios)!r}; give a range (smallest, largest) or a list of ratios,"
            " ascending, above 0 and at most 1"
        )
    if len(given) != 2:
        return dict.fromkeys(given, 1.0), None
    first, last = (max(1, round(GRID * ratio)) for ratio in given)
    mass = {k / GRID: 1.0 for k in range(first, last + 1)}
    ends = (first / GRID, last / GRID)
    return mass | dict.fromkeys(ends, 0.5), ends


def free_widths(
    graph: ChannelGraph,
    ratios: Mapping[float, float],
    divisor: int,
    skip: Iterable[str] = (),
    ties: Iterable[Sequence[str]] = (),
) -> tuple[list[Width], dict[str, str]]:
    """All widths of a network that can be made elastic.

    Args:
        graph: of the network.
        ratios: ratios on offer, with how likely each is.
        divisor: channel counts are multiples of this, or of the least larger step that the
            structure (groups, pixel shuffles) allows.
        skip: layers whose widths stay whole.
        ties: lists of layers that share one ratio though no operation forces them to; the
            first one's channels count as the width.

    Returns:
        The widths in the network's order, and for every width that stays whole the reason, by
        its layers' names.

    Raises:
        ValueError: ``skip`` or ``ties`` name no layer of the network.
    """
    finder = _Finder(graph, ratios, divisor)
    for name in {*skip, *(name for tie in ties for name in tie)}:
        finder.known(name)
    together = united(graph, [list(tie) for tie in ties])
    skipped = set(skip)
    found: list[Width] = []
    for groups in together:
        names = [name for group in groups for name in group.producers]
        try:
            if skipped & set(names):
                raise UncuttableError("asked to stay whole")
            found.append(finder.width(groups))
        except UncuttableError as error:
            finder.fixed[", ".join(names)] = str(error)
    return finder.workable(found), finder.fixed


class _Finder:
    """Looks for widths in one channel graph.

    Attributes:
        fixed: reasons of what stays whole.
    """

    def __init__(self, graph: ChannelGraph, ratios: Mapping[float, float], divisor: int) -> None:
        self.graph, self.ratios, self.divisor = graph, ratios, divisor
        self.fixed: dict[str, str] = {}

    def known(self, name: str) -> None:
        """Refuse the name of no layer."""
        try:
            self.graph.group_of(name)
        except KeyError as error:
            raise ValueError(error.args[0]) from None

    def width(self, groups: list[Group]) -> Width:
        """The width of coupled layers.

        Raises:
            UncuttableError: it stays whole, and why.
        """
        names = [name for group in groups for name in group.producers]
        widest = max(groups[0].producers, key=groups[0].producers.__getitem__)
        names = [widest, *(name for name in names if name != widest)]
        for group in groups:
            if group.reasons:
                raise UncuttableError(group.reasons[0])
        classes = torch.cat([self.graph.labels(name) for name in names]).unique()
        self._refuse_unsliceable(classes)
        errors = []
        for cells in (False, True):
            try:
                width = self._ordered(names, cells)
                self.check([width])
                return width
            except (UncuttableError, UntraceableError) as error:
                errors.append(error)
            if not self._balances(classes):
                break
        raise UncuttableError(str(errors[0]))

    def _refuse_unsliceable(self, classes: Tensor) -> None:
        """Refuse a width that touches parameters outside the layers that can be sliced."""
        graph = self.graph
        for layer in graph.flow.layers.values():
            held = graph.classes.of(torch.cat([layer.ins, layer.outs]))
            if not torch.isin(held, classes).any():
                continue
            kind = _module_type(graph.model, layer.name)
            if kind not in SLICEABLE:
                what = "a function" if kind is None else f"a {kind.__name__}"
                raise UncuttableError(f"{layer.where} is {what}, which cannot be sliced")
            if layer.transposed and layer.groups > 1:
                raise UncuttableError(f"{layer.where} is transposed and grouped")
        for value in graph.flow.attributes.values():
            if torch.isin(graph.classes.of(value.ids), classes).any():
                raise UncuttableError(f"{value.why} is read outside a layer")

    def _balances(self, classes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Grouped convolutions at this width: classes ``(groups, n)`` they read and make."""
        of = self.graph.classes.of
        pairs = [(of(b.ins), of(b.outs)) for b in self.graph.flow.balances]
        return [pair for pair in pairs if any(torch.isin(side, classes).any() for side in pair)]

    def _ordered(self, names: list[str], cells: bool) -> Width:
        """Put the channels in order: as they stand, or the first of every cell first."""
        makers: dict[int, list[int]] = {}
        for k, name in enumerate(names):
            for label in self._order(name, cells).tolist():
                makers.setdefault(label, []).append(k)
        lines: dict[tuple[int, ...], list[int]] = {}
        for label, by in makers.items():
            lines.setdefault(tuple(by), []).append(label)
        sizes = self._steps(names, torch.tensor(list(makers)), lines, cells)
        parts = tuple(Part(torch.tensor(line), step) for line, step in zip(lines.values(), sizes))
        return self._offered(names, parts)

    def _steps(
        self,
        names: list[str],
        classes: Tensor,
        lines: dict[tuple[int, ...], list[int]],
        cells: bool,
    ) -> list[int]:
        """Classes of each line that become active together."""
        balances = self._balances(classes)
        if not balances:
            return [1] * len(lines)
        counts = [len(line) for line in lines.values()]
        if cells:  # one channel of every group at a time
            cells_of = [int(self.graph.cells(names[by[0]]).max()) + 1 for by in lines]
            steps = math.gcd(*(n // c for n, c in zip(counts, cells_of)))
        else:  # whole groups
            steps = math.gcd(*counts, *(len(ins) for ins, _ in balances))
        return [n // steps for n in counts]

    def _order(self, name: str, cells: bool) -> Tensor:
        """Classes of a layer's outputs in the order of activation, each once."""
        labels = self.graph.labels(name)
        if cells:
            cell = self.graph.cells(name)
            within = torch.zeros_like(cell)
            for c in cell.unique():
                within[cell == c] = torch.arange(int((cell == c).sum()))
            labels = labels[torch.argsort(within, stable=True)]
        return torch.tensor(list(dict.fromkeys(labels.tolist())))

    def _offered(self, names: list[str], parts: tuple[Part, ...]) -> Width:
        """The channel counts that the ratios give."""
        labels = self.graph.labels(names[0])
        inside = [int(torch.isin(labels, part.classes).sum()) for part in parts]
        each = tuple(n // len(part.classes) for n, part in zip(inside, parts))
        full = sum(inside)
        least = max(full * part.step // len(part.classes) for part, n in zip(parts, inside) if n)
        if all(part.step == 1 for part in parts):
            least = max(each)
        unit = least * math.ceil(self.divisor / least)
        mass: Counter[int] = Counter()
        counts = {}
        for ratio, weight in self.ratios.items():
            channels, active = _at(ratio, full, unit, parts, each)
            mass[channels] += weight
            counts[channels] = active
        if len(mass) < 2:
            ends = f"{min(self.ratios):g} to {max(self.ratios):g}"
            raise UncuttableError(
                f"only {next(iter(mass))} of its {full} channels are possible at ratios {ends} in"
                f" steps of {unit}"
            )
        choices = tuple(sorted(mass))
        weights = tuple(mass[c] / mass.total() for c in choices)
        return Width(names[0], tuple(names), full, unit, choices, weights, parts, each, counts)

    def check(self, widths: list[Width]) -> None:
        """Let the channel graph judge the widths at their smallest and, singly, in the middle.

        Raises:
            UncuttableError, UntraceableError: a cut is not possible.
        """
        self.request({width.name: width.choices[0] for width in widths}, widths)
        if len(widths) == 1:
            self.request({widths[0].name: widths[0].choices[len(widths[0].choices) // 2]}, widths)

    def request(self, channels: Mapping[str, int], widths: list[Width]):
        """The channel graph's plan for given channel counts."""
        return plan(self.graph, requested(self.graph, widths, channels))

    def workable(self, widths: list[Width]) -> list[Width]:
        """Leave out widths that the forward pass, as it is written, cannot follow."""
        if not widths or self._misfit(widths) is None:
            return widths
        kept = []
        for width in widths:
            reason = self._misfit([width])
            if reason is None:
                kept.append(width)
            else:
                self.fixed[", ".join(width.producers)] = reason
        if kept and (reason := self._misfit(kept)) is not None:
            raise UncuttableError(f"the widths cannot change together: {reason}")
        return kept

    def _misfit(self, widths: list[Width]) -> str | None:
        """Why the cut network needs another forward pass than the one that is written."""
        for pick in (0, 1):  # evenly small; then unevenly, as two halves of a chunk might be
            channels = {
                w.name: w.choices[0 if pick == 0 or j % 2 else -1] for j, w in enumerate(widths)
            }
            try:
                smaller = self.request(channels, widths).apply()
            except (UncuttableError, UntraceableError) as error:
                return str(error)
            rewritten = isinstance(smaller, CompactGraph)
            if rewritten and (where := self._difference(smaller)) is not None:
                return f"{where} holds sizes that would have to change with the width"
        return None

    def _difference(self, smaller: CompactGraph) -> str | None:
        """The first operation that the cut network does in another way; None if there is none."""
        for old, new in zip_longest(self.graph.graph.nodes, smaller.graph.nodes):
            forms = [n and (n.op, str(n.target), str(n.args), str(n.kwargs)) for n in (old, new)]
            if forms[0] != forms[1]:
                return f"`{old.name}` ({source_line(old)})" if old else "its end"
        same_class = isinstance(self.graph.model, CompactGraph)
        return None if same_class else "its forward pass"


def requested(
    graph: ChannelGraph, widths: Iterable[Width], channels: Mapping[str, int]
) -> dict[str, Tensor]:
    """What to ask of :func:`lithe.channels.keep` for given channel counts.

    Args:
        graph: of the network.
        widths: the free widths.
        channels: by a width's name.

    Returns:
        Active output channels by layer.
    """
    request = {}
    for width in widths:
        counts = width.active(channels[width.name])
        alive = torch.cat([part.classes[:n] for part, n in zip(width.parts, counts)])
        for name in width.producers:
            request[name] = torch.isin(graph.labels(name), alive).nonzero()[:, 0]
    return request


def _at(
    ratio: float, full: int, unit: int, parts: Sequence[Part], each: Sequence[int]
) -> tuple[int, tuple[int, ...]]:
    """Channels at a ratio, and the active classes of each part that they consist of."""
    wanted = full if ratio >= 1 else min(make_divisible(full * ratio, unit, unit), full)
    active = tuple(part.count(Fraction(wanted, full)) for part in parts)
    return sum(n * m for n, m in zip(active, each)), active


def _module_type(model: nn.Module, name: str) -> type[nn.Module] | None:
    try:
        return type(model.get_submodule(name))
    except AttributeError:
        return None
