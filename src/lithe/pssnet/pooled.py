"""Pooled policies: a pool for every budget, filled from the space, then drawn from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal

import torch

from lithe.pssnet.budget import Budget
from lithe.pssnet.choice import (
    Choice,
    Place,
    Policy,
    explained,
    restore_state,
    written_state,
)
from lithe.pssnet.costs import Resource
from lithe.pssnet.exact import EmptyBinError, ExactSampler
from lithe.pssnet.pools import Change, Pool
from lithe.pssnet.released import Draw, ReleasedSampler
from lithe.pssnet.schedule import anneal
from lithe.pssnet.space import Space, Subnet

__all__ = ["PooledPolicy", "Settings"]


TRIES = 1000  # draws of a bin after which it counts as one of ties alone


@dataclass(frozen=True)
class Settings:
    """What tells one pooled policy from another.

    Attributes:
        sampler: ``"released"``: conditional histograms; ``"exact"``: unbiased inside the bin.
        keys: pools know a subnet by its written ``"ratios"`` or by what is ``"effective"``.
        space: probability of sampling from the space, at the first and after the last epoch.
        temperature: of the priority, likewise; infinite: all of a pool alike.
        rescore: resting entries measured again in every iteration.
        held_out: the final choice among the best is made on held-out data.
        capacity: subnets a pool holds.
        smoothing: of the metric's moving average.
        draws: configurations that build the released histograms.
    """

    sampler: Literal["released", "exact"] = "released"
    keys: Literal["ratios", "effective"] = "ratios"
    space: tuple[float, float] = (1.0, 0.01)
    temperature: tuple[float, float] = (1.0, 0.01)
    rescore: int = 0
    held_out: bool = False
    capacity: int = 50
    smoothing: float = 0.9
    draws: int = 100_000

    def __post_init__(self) -> None:
        if self.sampler not in ("released", "exact") or self.keys not in ("ratios", "effective"):
            raise ValueError(f"sampler {self.sampler!r} with keys {self.keys!r} is unknown")
        if self.sampler == "exact" and self.keys == "ratios":
            raise ValueError("the exact sampler knows no ratios: take keys='effective' with it")
        if self.rescore < 0 or self.draws < 1:
            raise ValueError(f"rescore {self.rescore} must be >= 0 and draws {self.draws} >= 1")


class PooledPolicy(Policy):
    """One pool a budget; subnets come from the space at first, more and more from the pools.

    Source: PSS-Net spec 3.3 to 3.5. Targets that the sampler cannot reach have no pool; they are
    listed in ``unreachable``.

    Args:
        name: what to call it.
        space: the space.
        budgets: one for each resource.
        generator: where the randomness comes from; the released histograms are drawn from it at
            once.
        settings: what kind it is.
        resources: what the budgets are about, by name; ``"macs"`` explains itself.

    Attributes:
        pools: one pool a place (resource and target).
        unreachable: places without a pool.

    Raises:
        EmptyBinError: no target at all can be reached.
        ValueError: a resource has no explanation, or two budgets share one.
    """

    def __init__(
        self,
        name: str,
        space: Space,
        budgets: Sequence[Budget],
        generator: torch.Generator,
        settings: Settings,
        resources: Mapping[str, Resource] | None = None,
    ) -> None:
        super().__init__(name, space, generator)
        self.settings = settings
        self.held_out = settings.held_out
        self.budgets = {budget.resource: budget for budget in budgets}
        if len(self.budgets) != len(budgets) or not budgets:
            raise ValueError(f"{len(budgets)} budgets given; one for each resource is wanted")
        self.resources = {b.resource: explained(b, resources) for b in budgets}
        self._start = written_state(generator)
        self._prepare()

    def _prepare(self) -> None:
        """Samplers from the generator as it is now, and an empty pool for every place."""
        self.samplers = {name: self._sampler(name) for name in self.budgets}
        wanted = [(name, t) for name, b in self.budgets.items() for t in b.targets]
        reached = [place for place in wanted if self._reaches(*place)]
        self.unreachable = tuple(place for place in wanted if place not in reached)
        if not reached:
            raise EmptyBinError(f"no subnet of the space hits any target of {self.budgets}")
        settings = self.settings
        self.pools: dict[Place, Pool] = {
            place: Pool(settings.capacity, settings.smoothing) for place in reached
        }
        self._places = list(self.pools)

    def _sampler(self, name: str) -> ReleasedSampler | ExactSampler:
        resource = self.resources[name]
        if self.settings.sampler == "exact":
            return ExactSampler(self.space, resource)
        return ReleasedSampler(
            self.space, self.budgets[name], self.generator, resource, self.settings.draws
        )

    def _reaches(self, name: str, target: float) -> bool:
        sampler = self.samplers[name]
        if isinstance(sampler, ReleasedSampler):
            return target in sampler.counts
        try:  # from a generator of its own: whether a bin is empty must not cost draws
            self._inside(name, target, torch.Generator().manual_seed(0))
        except EmptyBinError:
            return False
        return True

    def next_subnets(self) -> tuple[Choice, ...]:
        """One subnet: any pool alike; then from the space, or from the pool once it is full."""
        u = torch.rand(2, dtype=torch.float64, generator=self.generator).tolist()
        place = self._places[int(u[0] * len(self._places))]
        pool = self.pools[place]
        if u[1] < self.space_share or not pool.full:
            key = self._candidate(*place)
            return (Choice(_subnet(key), place, "space", key),)
        key = pool.sample(self.temperature, self.generator)
        return (Choice(_subnet(key), place, "pool", key),)

    @property
    def space_share(self) -> float:
        """Probability of sampling from the space in this epoch."""
        return anneal(self.epoch, self.epochs, *self.settings.space)

    @property
    def temperature(self) -> float:
        """Temperature of the priority in this epoch."""
        start, end = self.settings.temperature
        return inf if inf in (start, end) else anneal(self.epoch, self.epochs, start, end)

    def _candidate(self, name: str, target: float) -> Draw | Subnet:
        """A new subnet of a bin, as its pool will know it."""
        sampler = self.samplers[name]
        if isinstance(sampler, ReleasedSampler):
            draw = sampler.draw(target, self.generator)
            return draw if self.settings.keys == "ratios" else self._effective(name, draw.subnet)
        return self._effective(name, self._inside(name, target, self.generator))

    def _inside(self, name: str, target: float, generator: torch.Generator) -> Subnet:
        """A subnet of a bin and not of its neighbour, which a tie on the border belongs to.

        Raises:
            EmptyBinError: there is none, or none among so many that all others are ties.
        """
        sampler, budget = self.samplers[name], self.budgets[name]
        for _ in range(TRIES):
            subnet = sampler.draw(target, budget.tolerance, generator)
            if budget.contains(target, sampler.costs.cost(subnet)):
                return subnet
        raise EmptyBinError(f"all subnets near {target} are ties that belong to its neighbour")

    def _effective(self, name: str, subnet: Subnet) -> Subnet:
        """Inert widths do not count, except where the latency table believes them."""
        return self.space.effective(subnet) if self.resources[name] == "macs" else subnet

    def update(self, choice: Choice, metric: float) -> Change:
        """Insert or smooth in the pool of the choice, then evict; see :meth:`Pool.update`."""
        return self.pools[choice.place].update(choice.key, metric)

    def checkups(self) -> tuple[Choice, ...]:
        """The entries that rested longest, in pools drawn alike."""
        filled = [place for place in self._places if len(self.pools[place])]
        if not filled or not self.settings.rescore:
            return ()
        u = torch.rand(self.settings.rescore, dtype=torch.float64, generator=self.generator)
        places = dict.fromkeys(filled[int(x * len(filled))] for x in u.tolist())
        keys = [(place, self.pools[place].stalest()) for place in places]
        return tuple(Choice(_subnet(key), place, "pool", key) for place, key in keys)

    def rescore(self, choice: Choice, metric: float) -> None:
        """Smooth the value of a resting entry, if it is still there."""
        pool = self.pools[choice.place]
        if choice.key in pool:
            pool.rescore(choice.key, metric)

    def retained(self, top: int = 5) -> dict[Place, tuple[Subnet, ...]]:
        """The best of every pool by smoothed metric, equal networks once; empty pools left out."""
        places = {}
        for place, pool in self.pools.items():
            subnets = dict.fromkeys(_subnet(key) for key, _ in pool.ranked())
            if subnets:
                places[place] = tuple(subnets)[:top]
        return places

    def state_dict(self) -> dict[str, Any]:
        """Pools, generators and epoch; the histograms are drawn again from their generator."""
        pools = [
            {
                "place": list(place),
                "clock": pool.clock,
                "entries": [[_written(key), *rest] for key, *rest in pool.entries()],
            }
            for place, pool in self.pools.items()
        ]
        own = {f.name: getattr(self.settings, f.name) for f in fields(self.settings)}
        own["temperature"] = [str(t) for t in own["temperature"]]  # JSON has no infinity
        own["space"] = list(own["space"])
        return super().state_dict() | {"settings": own, "start": self._start, "pools": pools}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` gave.

        Raises:
            ValueError: it was of other settings or budgets.
        """
        mine = self.state_dict()
        if state.get("settings") != mine["settings"]:
            raise ValueError(
                f"settings are {mine['settings']}, the state's {state.get('settings')}"
            )
        if state["start"] != self._start:
            restore_state(self.generator, state["start"])
            self._start = state["start"]
            self._prepare()
        if [row["place"] for row in state["pools"]] != [list(place) for place in self._places]:
            raise ValueError("the state has pools for other budgets than this policy")
        super().load_state_dict(state)
        for row in state["pools"]:
            entries = [(_read(key), *rest) for key, *rest in row["entries"]]
            self.pools[tuple(row["place"])].restore(entries, row["clock"])


def _subnet(key: Hashable) -> Subnet:
    return key.subnet if isinstance(key, Draw) else key


def _written(key: Draw | Subnet) -> list:
    subnet = _subnet(key)
    written = [subnet.resolution, list(subnet.widths)]
    return [*written, list(key.ratios)] if isinstance(key, Draw) else written


def _read(written: list) -> Draw | Subnet:
    resolution, widths, *ratios = written
    subnet = Subnet(resolution, tuple(widths))
    return Draw(subnet, tuple(ratios[0])) if ratios else subnet
