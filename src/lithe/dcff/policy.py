"""Every switch of a refresh, and the two named settings of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, field_validator

from lithe.dcff.schedule import Kind, inverse_temperature
from lithe.dcff.select import SelectPolicy

__all__ = ["INTENDED", "RELEASED", "Mode", "Policy", "policy_for"]

Mode = Literal["intended", "released"]
Temperature = Kind | float | Callable[[int, int], float]


class Policy(BaseModel):
    """How an epoch's proxies, scores and selection come about.

    Source: DCFF spec 2.13 (the two modes) and section 9 (the switches).

    Attributes:
        arithmetic: ``"log"``, float64 logarithms, finite at any temperature; ``"released"``,
            float32 with ``eps``, NaN from epoch 1 on.
        update: when a layer's scores are replaced after its first refresh:
            ``"released_guard"``, only if all are finite; ``"always"``; ``"never"``.
        score: ``"kl"``, ``"l1"``, ``"l2"``, ``"total_distance"`` or ``"random"``.
        onehot: expose the selected filters themselves instead of mixtures.
        temperature: a kind of :func:`lithe.dcff.inverse_temperature`, a constant, or a function
            of (epoch, epochs).
        policy: slot order; see :func:`lithe.dcff.select`.
        reset_bn: put the batch norm of changed slots back to weight 1, bias 0, mean 0, variance 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    arithmetic: Literal["log", "released"] = "log"
    update: Literal["released_guard", "always", "never"] = "always"
    score: Literal["kl", "l1", "l2", "total_distance", "random"] = "kl"
    onehot: bool = False
    temperature: Any = "paper"
    policy: SelectPolicy = "ascending"
    reset_bn: bool = False

    @field_validator("temperature")
    @classmethod
    def _known_temperature(cls, value: Any) -> Any:
        if callable(value) or value in get_args(Kind):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
            return float(value)
        kinds = ", ".join(get_args(Kind))
        raise ValueError(f"temperature is {value!r}; give a number, a function, or one of {kinds}")

    def inverse_temperature(self, epoch: int, epochs: int) -> float:
        """``T`` of this policy at an epoch.

        Raises:
            ValueError: the epoch is out of range.
        """
        if callable(self.temperature):
            t = float(self.temperature(epoch, epochs))
            if not 0 <= t < math.inf:
                raise ValueError(f"temperature gave {t} at epoch {epoch}; 0 or more, finite")
            return t
        if isinstance(self.temperature, float):
            return self.temperature
        return inverse_temperature(epoch, epochs, kind=self.temperature)


#: What the released code does: scores of the first epoch decide for good. Its row order is
#: unspecified and frozen; ascending stands for it.
RELEASED = Policy(arithmetic="released", update="released_guard", temperature="paper")

#: What the method says: re-selection every epoch, finite scores, slots that stay put, and an
#: inverse temperature that takes the whole run to rise.
INTENDED = Policy(arithmetic="log", update="always", temperature="geometric", policy="slot_stable")


def policy_for(mode: Mode = "intended", **switches: Any) -> Policy:
    """The policy of a mode with some switches set otherwise; None leaves a switch as it is.

    Raises:
        ValueError: the mode, a switch or its value is unknown.
    """
    presets = {"intended": INTENDED, "released": RELEASED}
    if mode not in presets:
        raise ValueError(f"mode is {mode!r}; known are 'intended' and 'released'")
    changed = {name: value for name, value in switches.items() if value is not None}
    return Policy.model_validate({**dict(presets[mode]), **changed})
