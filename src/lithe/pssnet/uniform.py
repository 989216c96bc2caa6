"""Uniform widths: the line of subnets that slimmable networks train, as a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from lithe.pssnet.budget import Budget
from lithe.pssnet.choice import Choice, Place, Policy, explained
from lithe.pssnet.costs import Costs, Resource
from lithe.pssnet.space import Space, Subnet

__all__ = ["UniformPolicy", "uniform_line"]


class UniformPolicy(Policy):
    """One ratio for all widths at full resolution, as in US-Net: no pools.

    Args:
        space: a space with ratios, or one whose widths have options in order.
        budgets: the budgets to serve.
        generator: where the randomness comes from.
        resources: what the budgets are about, by name.
    """

    def __init__(
        self,
        space: Space,
        budgets: Sequence[Budget],
        generator: torch.Generator,
        resources: Mapping[str, Resource] | None = None,
    ) -> None:
        super().__init__("uniform", space, generator)
        self.line = uniform_line(space)
        self.budgets = tuple(budgets)
        self.costs = {b.resource: Costs(space, explained(b, resources)) for b in budgets}

    def next_subnets(self) -> tuple[Choice, ...]:
        """A uniform width drawn from the line."""
        u = torch.rand(1, dtype=torch.float64, generator=self.generator).item()
        return (Choice(self.line[int(u * len(self.line))], source="uniform"),)

    def retained(self, top: int = 5) -> dict[Place, tuple[Subnet, ...]]:
        """The uniform widths whose cost is nearest to each target; it may lie outside the bin."""
        places = {}
        for budget in self.budgets:
            cost = self.costs[budget.resource].cost
            for target in budget.targets:
                near = sorted(dict.fromkeys(self.line), key=lambda s, t=target: abs(cost(s) - t))
                places[budget.resource, target] = tuple(near[:1])
        return places


def uniform_line(space: Space) -> list[Subnet]:
    """Subnets of one ratio for all widths, at full resolution, narrow to wide."""
    full = space.resolutions[-1]
    if space.ratios is not None:
        first, last = (round(1000 * ratio) for ratio in space.ratios)
        return [space.subnet(full, k / 1000) for k in range(first, last + 1)]
    longest = max(len(row) for row in space.choices)
    shares = [k / max(longest - 1, 1) for k in range(longest)]
    rows = [[row[round(x * (len(row) - 1))] for row in space.choices] for x in shares]
    return [Subnet(full, tuple(row)) for row in rows]
