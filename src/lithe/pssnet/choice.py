"""Choices: which subnets an iteration trains; what every policy can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from lithe.pssnet.budget import Budget
from lithe.pssnet.costs import Resource
from lithe.pssnet.pools import Change
from lithe.pssnet.schedule import anneal
from lithe.pssnet.space import Space, Subnet

__all__ = ["Choice", "Place", "Policy", "explained", "restore_state", "written_state"]

#: Name of a resource, and a target of its budget: where a pool stands.
Place = tuple[str, float]


@dataclass(frozen=True)
class Choice:
    """One middle subnet of an iteration.

    Attributes:
        subnet: what to train.
        place: resource and target of the pool that was visited; ``None`` without pools.
        source: where it comes from: the space, a pool, or the line of uniform widths.
        key: what its pool remembers it by.
    """

    subnet: Subnet
    place: Place | None = None
    source: Literal["space", "pool", "uniform"] = "space"
    key: Hashable = None


class Policy(ABC):
    """Says which subnets to train besides the max and the min net.

    In every iteration call :meth:`next_subnets`, measure each choice's metric, and hand it to
    :meth:`update`; measure :meth:`checkups` without training and hand them to :meth:`rescore`.
    All randomness comes from ``generator``, whose state is part of :meth:`state_dict`.

    Attributes:
        name: as in :data:`lithe.pssnet.policies.POLICIES`.
        space: the space.
        generator: where the randomness comes from.
        held_out: whether the final choice is to be made on held-out data.
    """

    held_out = False

    def __init__(self, name: str, space: Space, generator: torch.Generator) -> None:
        self.name = name
        self.space = space
        self.generator = generator
        self.epoch, self.epochs = 0, 1

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the schedules to epoch ``epoch``, counted from 0, of ``epochs``."""
        anneal(epoch, epochs)  # refuses what is no epoch
        self.epoch, self.epochs = epoch, epochs

    @abstractmethod
    def next_subnets(self) -> tuple[Choice, ...]:
        """The middle subnets of the next iteration; the released recipe has one."""

    def update(self, choice: Choice, metric: float) -> Change | None:
        """Remember how a trained subnet did; what became of its pool, if it has one."""
        return None  # nothing is remembered

    def checkups(self) -> tuple[Choice, ...]:
        """Resting subnets to be measured again in this iteration, not trained."""
        return ()

    def rescore(self, choice: Choice, metric: float) -> None:
        """Remember how a resting subnet did."""
        return  # nothing rests

    @abstractmethod
    def retained(self, top: int = 5) -> dict[Place, tuple[Subnet, ...]]:
        """For every budget the subnets to keep, the best first, at most ``top``."""

    def state_dict(self) -> dict[str, Any]:
        """All that a bit-equal resume needs, as JSON can carry it."""
        return {
            "policy": self.name,
            "epoch": [self.epoch, self.epochs],
            "generator": written_state(self.generator),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` gave.

        Raises:
            ValueError: it was another policy's.
        """
        if state.get("policy") != self.name:
            raise ValueError(f"the state is of policy {state.get('policy')!r}, not {self.name!r}")
        self.epoch, self.epochs = state["epoch"]
        restore_state(self.generator, state["generator"])


def explained(budget: Budget, resources: Mapping[str, Resource] | None) -> Resource:
    """What a budget is about.

    Raises:
        ValueError: its resource is not among ``resources``.
    """
    known = {"macs": "macs"} | dict(resources or {})
    if budget.resource not in known:
        raise ValueError(f"a budget is about {budget.resource!r}; resources has {', '.join(known)}")
    return known[budget.resource]


def written_state(generator: torch.Generator) -> str:
    """The state of a generator as text, for JSON."""
    return bytes(generator.get_state().tolist()).hex()


def restore_state(generator: torch.Generator, state: str) -> None:
    """Put back what :func:`written_state` gave."""
    generator.set_state(torch.tensor(list(bytes.fromhex(state)), dtype=torch.uint8))
