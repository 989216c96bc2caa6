"""Costs of subnets by table look-up: MACs or latency, one at a time or many at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lithe.pssnet.block import Block, Term
from lithe.pssnet.space import Space, Subnet
from lithe.pssnet.table import LatencyTable

__all__ = ["Costs", "Resource"]

#: ``"macs"``, a latency table (microseconds), or anything that says what a block costs.
Resource = str | LatencyTable | Callable[[Block], float]


class Costs:
    """A resource of a space, broken into its terms once per resolution.

    Args:
        space: the space.
        resource: ``"macs"`` (multiply-accumulates), a latency table (microseconds), or a function
            of a block.

    Attributes:
        space: as given.
        unit: ``"MACs"``, ``"us"`` or ``""``.
        whole: costs are whole numbers, so that sums are exact in any order.

    Raises:
        ValueError: an unknown resource.
        MissingEntryError: the table lacks a block of the space; the message names it.
    """

    def __init__(self, space: Space, resource: Resource = "macs") -> None:
        self.space = space
        price, self.unit = _price(resource)
        self.terms: dict[int, tuple[Term, ...]] = {
            resolution: space.terms(resolution, price) for resolution in space.resolutions
        }
        first = self.terms[space.resolutions[0]]
        self.whole = all(np.issubdtype(term.values.dtype, np.integer) for term in first)
        self._lists = {
            r: [(term.depends, term.values.tolist()) for term in terms]
            for r, terms in self.terms.items()
        }
        self._position = [{width: k for k, width in enumerate(row)} for row in space.choices]

    def cost(self, subnet: Subnet) -> float:
        """What a subnet of the space costs."""
        positions = self._position
        total = 0
        for depends, table in self._lists[subnet.resolution]:
            for j in depends:
                table = table[positions[j][subnet.widths[j]]]
            total += table
        return total

    def many(self, resolution: int, options: np.ndarray) -> np.ndarray:
        """What many subnets of one resolution cost.

        Args:
            resolution: input size, pixels.
            options: position of each width among its choices, ``(n, widths)``.

        Returns:
            Costs ``(n,)``.
        """
        total = np.zeros(len(options), dtype=np.int64 if self.whole else np.float64)
        for term in self.terms[resolution]:
            total += term.values[tuple(options[:, j] for j in term.depends)]
        return total


def _price(resource: Resource) -> tuple[Callable[[Block], float] | None, str]:
    if isinstance(resource, LatencyTable):
        return resource.block_us, "us"
    if isinstance(resource, str) and resource == "macs":
        return None, "MACs"
    if callable(resource):
        return resource, ""
    raise ValueError(f"resource is {resource!r}; give 'macs', a LatencyTable or a function")
