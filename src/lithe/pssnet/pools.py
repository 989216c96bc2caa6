"""Pools: a bounded memory of good subnets, one for each budget."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

from lithe.pssnet.priority import priority

__all__ = ["Change", "Entry", "Pool"]

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class Entry:
    """What a pool remembers of a key.

    Attributes:
        value: smoothed metric, higher is better.
        scored: the pool's clock when the key was last measured.
    """

    value: float
    scored: int


@dataclass(frozen=True, slots=True)
class Change(Generic[Key]):
    """What an update did to a pool.

    Attributes:
        kind: the key came in, or its value was smoothed.
        evicted: the key that had to leave, if any; it may be the newcomer itself.
        evicted_value: its value.
    """

    kind: Literal["insert", "update"]
    evicted: Key | None = None
    evicted_value: float | None = None


class Pool(Generic[Key]):
    """The ``capacity`` best keys seen, by smoothed metric.

    Source: PSS-Net spec 3.3. There is no threshold for admission; when the pool overflows, the
    smallest value leaves, the first inserted among equals.

    Args:
        capacity: most keys that stay, at least 1.
        smoothing: ``λ`` of the moving average, from 0 to below 1.

    Raises:
        ValueError: ``capacity`` or ``smoothing`` is out of range.
    """

    def __init__(self, capacity: int = 50, smoothing: float = 0.9) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity!r}; a pool holds at least 1 subnet")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is {smoothing!r}; it must be from 0 to below 1")
        self.capacity = capacity
        self.smoothing = smoothing
        self.clock = 0
        self._entries: dict[Key, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    @property
    def full(self) -> bool:
        """Whether ``capacity`` keys are in."""
        return len(self._entries) >= self.capacity

    def items(self) -> list[tuple[Key, float]]:
        """Keys and smoothed metrics, in the order in which they came."""
        return [(key, entry.value) for key, entry in self._entries.items()]

    def update(self, key: Key, metric: float) -> Change[Key]:
        """Insert ``key``, or move its value towards ``metric``; then evict the worst if too many.

        Args:
            key: a subnet, or anything hashable.
            metric: its performance now, higher is better.

        Raises:
            ValueError: ``metric`` is not finite.
        """
        known = key in self._entries
        self.rescore(key, metric) if known else self._insert(key, metric)
        if len(self._entries) <= self.capacity:
            return Change("update" if known else "insert")
        worst = min(self._entries, key=lambda k: self._entries[k].value)
        return Change("insert", worst, self._entries.pop(worst).value)

    def rescore(self, key: Key, metric: float) -> None:
        """Smooth the value of a key that is in: ``v <- λ v + (1 - λ) m``.

        Raises:
            KeyError: ``key`` is not in the pool.
            ValueError: ``metric`` is not finite.
        """
        entry = self._entries[key]
        value = self.smoothing * entry.value + (1 - self.smoothing) * _finite(metric)
        self._entries[key] = Entry(value, self._tick())

    def _insert(self, key: Key, metric: float) -> None:
        self._entries[key] = Entry(_finite(metric), self._tick())

    def _tick(self) -> int:
        self.clock += 1
        return self.clock

    def best(self) -> Key:
        """The key with the greatest value, the first inserted among equals.

        Raises:
            LookupError: the pool is empty.
        """
        self._need_any()
        return max(self._entries, key=lambda k: self._entries[k].value)

    def ranked(self) -> list[tuple[Key, float]]:
        """Keys and values, the best first."""
        return sorted(self.items(), key=lambda pair: -pair[1])

    def stalest(self) -> Key:
        """The key that was not measured for longest.

        Raises:
            LookupError: the pool is empty.
        """
        self._need_any()
        return min(self._entries, key=lambda k: self._entries[k].scored)

    def priorities(self, t: float) -> Tensor:
        """Chance of each key at temperature ``t``, in the order of :meth:`items`; float64."""
        return priority([entry.value for entry in self._entries.values()], t)

    def sample(self, t: float, generator: torch.Generator) -> Key:
        """A key drawn by priority.

        Args:
            t: temperature, positive; infinity draws all alike.
            generator: where the randomness comes from.

        Raises:
            LookupError: the pool is empty.
            ValueError: ``t`` is not positive.
        """
        self._need_any()
        picked = torch.multinomial(self.priorities(t), 1, generator=generator).item()
        return list(self._entries)[picked]

    def entries(self) -> list[tuple[Key, float, int]]:
        """Keys, values and clock of last measurement, in order: all that a pool remembers."""
        return [(key, entry.value, entry.scored) for key, entry in self._entries.items()]

    def restore(self, entries: Iterable[tuple[Key, float, int]], clock: int) -> None:
        """Put back what :meth:`entries` gave, at a clock."""
        self._entries = {key: Entry(_finite(value), scored) for key, value, scored in entries}
        self.clock = clock

    def _need_any(self) -> None:
        if not self._entries:
            raise LookupError("the pool is empty: no subnet was measured for this budget yet")


def _finite(metric: float) -> float:
    value = float(metric)
    if not math.isfinite(value):
        raise ValueError(f"metric is {value!r}; a pool needs finite numbers")
    return value
