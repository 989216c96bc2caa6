"""Spaces of subnets: which resolutions and channel counts a supernet offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from numbers import Integral, Real

import numpy as np
import torch

from lithe.pssnet.block import Block, Slot, Term

__all__ = ["Space", "Subnet", "TooCoupledError"]

#: Entries that the table of one term may have.
TERM_LIMIT = 1 << 20


class TooCoupledError(ValueError):
    """Too many widths meet in one term or place for exact counting; the message says where."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet by its effective structure: equal subnets compute with the same weights.

    Attributes:
        resolution: height and width of the input, pixels.
        widths: active channels of each free width, in the space's order.
    """

    resolution: int
    widths: tuple[int, ...]


class Space(ABC):
    """All subnets of a supernet, what each costs, and how to draw one.

    A subclass calls ``__init__`` and defines :meth:`layout` and :meth:`channels`; everything else
    follows. A resource is a sum over slots of something known of each block alone, so it breaks
    into :meth:`terms` over a few widths each, which the exact sampler uses.

    Args:
        names: name of each free width.
        choices: channel options of each free width.
        resolutions: input sizes, pixels.
        weights: for each width, how likely :meth:`sample` takes each option (any positive
            scale); uniform if left out.
        resolution_weights: likewise for resolutions.
        inert: positions of widths that do not change what the network computes.

    Attributes:
        names: name of each free width, e.g. of the layers it belongs to.
        choices: channel options of each, ascending.
        resolutions: input sizes, ascending.
        weights: probability of each option, summing to 1 for every width.
        resolution_weights: probability of each resolution.
        inert: positions of widths that do not change what the network computes.
        ratios: smallest and largest ratio, where widths are ratios of full widths; else ``None``.

    Raises:
        ValueError: lengths disagree, or options are empty, repeated or not ascending.
    """

    ratios: tuple[float, float] | None = None

    def __init__(
        self,
        names: Sequence[str],
        choices: Sequence[Sequence[int]],
        resolutions: Sequence[int],
        weights: Sequence[Sequence[float]] | None = None,
        resolution_weights: Sequence[float] | None = None,
        inert: Sequence[int] = (),
    ) -> None:
        self.inert = tuple(inert)
        self.names = tuple(names)
        self.choices = tuple(_ascending(name, row) for name, row in zip(names, choices))
        self.resolutions = _ascending("resolution", resolutions)
        if len(self.names) != len(choices):
            raise ValueError(f"{len(self.names)} names for {len(choices)} rows of choices")
        weights = [None] * len(self.choices) if weights is None else weights
        if len(weights) != len(self.choices):
            raise ValueError(f"{len(weights)} rows of weights for {len(self.choices)} widths")
        self.weights = tuple(
            _probabilities(name, row, weight)
            for name, row, weight in zip(self.names, self.choices, weights)
        )
        self.resolution_weights = _probabilities("resolution", self.resolutions, resolution_weights)

    @abstractmethod
    def layout(self, resolution: int) -> tuple[Slot, ...]:
        """The slots of the network at an input size, in order of execution."""

    @abstractmethod
    def channels(self, position: int, ratio: float) -> int:
        """Effective channels of a free width at ``ratio`` of its full width, one of its choices."""

    def subnet(self, resolution: int, ratios: float | Sequence[float]) -> Subnet:
        """The subnet of given ratios.

        Args:
            resolution: one of ``resolutions``.
            ratios: one ratio for all widths, or one for each, of the full width.

        Raises:
            ValueError: wrong number of ratios, or a resolution or width the space has not.
        """
        if isinstance(ratios, Real):
            ratios = [ratios] * len(self.names)
        if len(ratios) != len(self.names):
            raise ValueError(
                f"{len(ratios)} ratios given; this space has {len(self.names)} free widths"
            )
        widths = tuple(self.channels(j, float(ratio)) for j, ratio in enumerate(ratios))
        return self.check(Subnet(resolution, widths))

    def largest(self) -> Subnet:
        """Every width and the resolution at their largest: the max net."""
        return Subnet(self.resolutions[-1], tuple(row[-1] for row in self.choices))

    def smallest(self) -> Subnet:
        """Every width and the resolution at their smallest: the min net."""
        return Subnet(self.resolutions[0], tuple(row[0] for row in self.choices))

    def sample(self, generator: torch.Generator) -> Subnet:
        """A subnet whose resolution and widths are drawn independently by their ``weights``."""
        u = torch.rand(1 + len(self.names), dtype=torch.float64, generator=generator).numpy()
        resolution, *rows = self._cumulative
        picked = int(np.searchsorted(resolution, u[0], side="right"))
        widths = tuple(
            choices[int(np.searchsorted(row, x, side="right"))]
            for choices, row, x in zip(self.choices, rows, u[1:])
        )
        return Subnet(self.resolutions[picked], widths)

    @cached_property
    def _cumulative(self) -> list[np.ndarray]:
        rows = [np.cumsum(row) for row in (self.resolution_weights, *self.weights)]
        for row in rows:
            row[-1] = 1.0  # rounding must not leave a gap above the last option
        return rows

    def check(self, subnet: Subnet) -> Subnet:
        """The subnet itself, if it belongs to this space.

        Raises:
            ValueError: it does not; the message names the width and what it may be.
        """
        if subnet.resolution not in self.resolutions:
            raise ValueError(
                f"resolution is {subnet.resolution!r}; it must be one of {_list(self.resolutions)}"
            )
        if len(subnet.widths) != len(self.names):
            raise ValueError(
                f"the subnet has {len(subnet.widths)} widths; this space has {len(self.names)}"
            )
        for name, width, row in zip(self.names, subnet.widths, self.choices):
            if width not in row:
                raise ValueError(f"{name} is {width!r} channels; it must be one of {_list(row)}")
        return subnet

    def effective(self, subnet: Subnet) -> Subnet:
        """The same network with its inert widths at their largest: the key to remember it by."""
        if not self.inert:
            return subnet
        widths = list(subnet.widths)
        for j in self.inert:
            widths[j] = self.choices[j][-1]
        return Subnet(subnet.resolution, tuple(widths))

    def count(self) -> int:
        """How many subnets there are, inert widths counted."""
        return len(self.resolutions) * math.prod(len(row) for row in self.choices)

    def subnets(self) -> Iterator[Subnet]:
        """Every subnet, one after another; see :meth:`count` before starting."""
        for resolution in self.resolutions:
            for widths in product(*self.choices):
                yield Subnet(resolution, widths)

    def blocks(self, subnet: Subnet) -> tuple[Block, ...]:
        """The blocks of a subnet, in order of execution."""
        widths = subnet.widths
        return tuple(
            slot.block(*(widths[j] for j in slot.depends))
            for slot in self.layout(subnet.resolution)
        )

    def macs(self, subnet: Subnet) -> int:
        """Multiply-accumulates of one image."""
        return sum(block.macs for block in self.blocks(self.check(subnet)))

    def params(self, subnet: Subnet) -> int:
        """Weights and biases that the subnet uses, batch normalisation's included."""
        return sum(block.params for block in self.blocks(self.check(subnet)))

    def norm_floats(self, subnet: Subnet) -> int:
        """Running means and variances to keep for the subnet: two floats a normalised channel."""
        return 2 * sum(block.norm_channels for block in self.blocks(self.check(subnet)))

    def terms(
        self, resolution: int, cost: Callable[[Block], float] | None = None
    ) -> tuple[Term, ...]:
        """A resource as a sum of tables over few widths each.

        Args:
            resolution: one of ``resolutions``.
            cost: what a block costs; its MACs if left out.

        Returns:
            Terms whose values, picked by a subnet's options, add up to its cost. A block that
            depends on no width gives a term without ``depends`` and a single value.

        Raises:
            TooCoupledError: a block depends on so many widths that its table would not fit.
        """
        cost = _macs if cost is None else cost
        tables = []
        for slot in self.layout(resolution):
            rows = [self.choices[j] for j in slot.depends]
            _check_term([self.names[j] for j in slot.depends], rows)
            values = [cost(slot.block(*widths)) for widths in product(*rows)]
            shape = tuple(len(row) for row in rows)
            tables.append(Term(slot.depends, np.array(values).reshape(shape)))
        return tuple(tables)

    def options(self, subnet: Subnet) -> tuple[int, ...]:
        """Position of each width of ``subnet`` among its choices."""
        return tuple(row.index(width) for row, width in zip(self.choices, subnet.widths))


def _check_term(names: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
    entries = math.prod(len(row) for row in rows)
    if entries > TERM_LIMIT:
        raise TooCoupledError(
            f"one block depends on {len(names)} widths ({', '.join(names[:4])}, ...): "
            f"{entries:.2g} combinations"
        )


def _macs(block: Block) -> int:
    return block.macs


def _ascending(name: str, row: Sequence[int]) -> tuple[int, ...]:
    row = tuple(row)
    whole = all(isinstance(x, Integral) and not isinstance(x, bool) and x > 0 for x in row)
    if not row or not whole or list(row) != sorted(set(row)):
        raise ValueError(f"{name} may be {row!r}; give positive whole numbers, ascending")
    return tuple(int(x) for x in row)


def _probabilities(
    name: str, row: Sequence[int], weights: Sequence[float] | None
) -> tuple[float, ...]:
    weights = [1.0] * len(row) if weights is None else list(weights)
    if len(weights) != len(row) or not all(w > 0 and math.isfinite(w) for w in weights):
        raise ValueError(f"{name} has {len(row)} options; weights {weights!r} must be as many, > 0")
    total = math.fsum(weights)
    return tuple(w / total for w in weights)


def _list(row: Sequence[int]) -> str:
    return ", ".join(map(str, row))
