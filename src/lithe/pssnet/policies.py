"""The policies that are compared, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import torch

from lithe.pssnet.budget import Budget
from lithe.pssnet.choice import Policy
from lithe.pssnet.costs import Resource
from lithe.pssnet.pooled import PooledPolicy, Settings
from lithe.pssnet.space import Space
from lithe.pssnet.uniform import UniformPolicy

__all__ = ["POLICIES", "policy"]

#: The five policies that are compared; ``"uniform"`` has no settings.
POLICIES: dict[str, Settings | None] = {
    "uniform": None,
    "space": Settings(space=(1.0, 1.0)),
    "pool-uniform": Settings(temperature=(inf, inf)),
    "released": Settings(),
    "effective": Settings(sampler="exact", keys="effective", rescore=1, held_out=True),
}


def policy(
    name: str,
    space: Space,
    budgets: Sequence[Budget],
    generator: torch.Generator,
    resources: Mapping[str, Resource] | None = None,
    **changes: Any,
) -> Policy:
    """A policy by name.

    Args:
        name: ``"uniform"``, ``"space"``, ``"pool-uniform"``, ``"released"`` or ``"effective"``.
        space: the space.
        budgets: one for each resource.
        generator: where the randomness comes from.
        resources: what the budgets are about, by name; ``"macs"`` explains itself.
        changes: fields of :class:`Settings` that are to differ.

    Raises:
        ValueError: an unknown name, or settings that make no sense.
    """
    if name not in POLICIES:
        raise ValueError(f"no policy {name!r}; there are {', '.join(POLICIES)}")
    settings = POLICIES[name]
    if settings is None:
        if changes:
            raise ValueError(f"the uniform policy has no {', '.join(changes)}")
        return UniformPolicy(space, budgets, generator, resources)
    return PooledPolicy(name, space, budgets, generator, replace(settings, **changes), resources)
