"""Budgets: a grid of targets for one resource, each with its bin."""

from __future__ import annotations

from dataclasses import dataclass

from lithe.pssnet.rounding import round_to_grid

__all__ = ["PAPER_BUDGETS", "Budget"]


@dataclass(frozen=True)
class Budget:
    """Targets of one resource, ``step`` apart, strictly between ``start`` and ``stop``.

    Source: PSS-Net spec 3.1. The targets ``start`` and ``stop`` themselves belong to the min and
    the max net, which need no pool.

    Attributes:
        resource: name of the resource: ``"macs"``, or what the latency table is called.
        start: target of the min net, in the resource's unit (MACs, microseconds).
        stop: target of the max net.
        step: distance of neighbouring targets.

    Raises:
        ValueError: no target lies between ``start`` and ``stop``, or a number is not whole.
    """

    resource: str
    start: float
    stop: float
    step: float

    def __post_init__(self) -> None:
        numbers = (self.start, self.stop, self.step)
        if any(not float(x).is_integer() for x in numbers):  # a bin's target is a whole number
            raise ValueError(
                f"start, stop and step are {numbers}; they must be whole, so take a smaller unit"
            )
        if not (self.step > 0 and self.start + self.step < self.stop):
            raise ValueError(
                f"no target between {self.start!r} and {self.stop!r} in steps of {self.step!r}"
            )

    @property
    def tolerance(self) -> float:
        """Half the width of a bin."""
        return self.step / 2

    @property
    def targets(self) -> tuple[float, ...]:
        """All targets, ascending."""
        count = -(-int(self.stop - self.start) // int(self.step))
        return tuple(self.start + k * self.step for k in range(1, count))

    def target(self, value: float) -> float:
        """The target whose bin ``value`` falls in; it may lie outside :attr:`targets`."""
        return round_to_grid(value, self.step, self.start % self.step)

    def contains(self, target: float, value: float) -> bool:
        """Whether ``value`` is in the bin of ``target``: ties go to even multiples of the step."""
        return self.target(value) == target


#: The released scripts' grids, by net and resource, in MACs and microseconds.
PAPER_BUDGETS = {
    ("mobilenet_v1", "macs"): Budget("macs", 110_000_000, 570_000_000, 10_000_000),
    ("mobilenet_v1", "gpu"): Budget("gpu", 70, 240, 10),
    ("mobilenet_v1", "cpu"): Budget("cpu", 10_000, 31_000, 1000),
    ("mobilenet_v2", "macs"): Budget("macs", 70_000_000, 300_000_000, 10_000_000),
    ("mobilenet_v2", "gpu"): Budget("gpu", 100, 270, 10),
    ("mobilenet_v2", "cpu"): Budget("cpu", 12_000, 28_000, 1000),
}
