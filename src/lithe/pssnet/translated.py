"""A policy that thinks in one space and trains the network of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lithe.pssnet.choice import Choice, Place, Policy
from lithe.pssnet.pools import Change
from lithe.pssnet.space import Space, Subnet

__all__ = ["Translated", "stage_widths"]

#: Of MobileNetV2 as :func:`stage_widths` numbers them: first and last block of each stage.
STAGES = ((1, 1), (2, 3), (4, 6), (7, 10), (11, 13), (14, 16), (17, 17))
EXPAND = 6


class Translated(Policy):
    """Passes a policy's subnets on in the words of a network's own space.

    The paper's MobileNetV2 has nine ratios; the network has a width for every hidden layer too,
    each six times what it reads. Pools, budgets and keys stay those of the policy.

    Args:
        inner: the policy.
        space: of the network.
        translate: a subnet of the policy's space to one of the network's.
    """

    def __init__(self, inner: Policy, space: Space, translate: Callable[[Subnet], Subnet]) -> None:
        super().__init__(inner.name, space, inner.generator)
        self.inner, self.translate = inner, translate
        self.held_out = inner.held_out

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the schedules of the policy."""
        super().begin_epoch(epoch, epochs)
        self.inner.begin_epoch(epoch, epochs)

    def next_subnets(self) -> tuple[Choice, ...]:
        """The policy's choices, translated; their keys stay."""
        return tuple(self._told(choice) for choice in self.inner.next_subnets())

    def update(self, choice: Choice, metric: float) -> Change | None:
        """Tell the policy."""
        return self.inner.update(choice, metric)

    def checkups(self) -> tuple[Choice, ...]:
        """The policy's check-ups, translated."""
        return tuple(self._told(choice) for choice in self.inner.checkups())

    def rescore(self, choice: Choice, metric: float) -> None:
        """Tell the policy."""
        self.inner.rescore(choice, metric)

    def retained(self, top: int = 5) -> dict[Place, tuple[Subnet, ...]]:
        """The policy's, translated; equal networks once."""
        return {
            place: tuple(dict.fromkeys(self.translate(subnet) for subnet in row))
            for place, row in self.inner.retained(top).items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The policy's."""
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue as the policy."""
        self.inner.load_state_dict(state)
        self.epoch, self.epochs = self.inner.epoch, self.inner.epochs

    def _told(self, choice: Choice) -> Choice:
        return replace(choice, subnet=self.translate(choice.subnet))


def stage_widths(subnet: Subnet, space: Space) -> Subnet:
    """A subnet of the paper's MobileNetV2 as the network's own: every hidden width spelled out.

    Source: PSS-Net spec 2.3: hidden width is six times the block's active input.

    Args:
        subnet: of :func:`lithe.pssnet.mobilenet_v2_space`: stem, seven stages, head.
        space: of torchvision's MobileNetV2 made elastic; widths that it keeps whole have no name.

    Raises:
        ValueError: the two do not fit.
    """
    out = {0: subnet.widths[0]}
    for stage, (first, last) in enumerate(STAGES, start=1):
        out |= dict.fromkeys(range(first, last + 1), subnet.widths[stage])
    known = {"features.0.0": out[0]}
    for block in range(1, len(out)):
        known[f"features.{block}.conv.0.0"] = EXPAND * out[block - 1]
        known[f"features.{block}.conv.2"] = out[block]
    missing = [name for name in space.names if name not in known]
    if missing:
        raise ValueError(f"width {missing[0]} is none of MobileNetV2's")
    return space.check(Subnet(subnet.resolution, tuple(known[name] for name in space.names)))
