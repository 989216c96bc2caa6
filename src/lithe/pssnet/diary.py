"""What a training did, iteration by iteration; kept with the checkpoints, so no resume forgets."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lithe.pssnet.choice import Policy
from lithe.pssnet.pooled import PooledPolicy
from lithe.pssnet.priority import effective_size
from lithe.pssnet.space import Subnet
from lithe.training import TrainState

__all__ = ["Diary"]

PASSES = 3  # forward and backward of one image, in forward passes


class Diary:
    """Counts how often each subnet was trained, and what it cost; a callback of the training.

    Args:
        policy: whose choices are noted.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.trained: Counter[Subnet] = Counter()
        self.sources: Counter[str] = Counter()

    def note(self, event: dict[str, Any]) -> None:
        """Take down one choice; see :class:`lithe.pssnet.supernet_training.Sandwich`."""
        choice = event["choice"]
        self.trained[self.policy.space.effective(choice.subnet)] += 1
        self.sources[choice.source] += 1

    def on_epoch_end(self, state: TrainState) -> None:
        """Note how many subnets a full pool really draws from, on average."""
        if isinstance(self.policy, PooledPolicy):
            pools = [pool for pool in self.policy.pools.values() if pool.full]
            sizes = [effective_size(p.priorities(self.policy.temperature)) for p in pools]
            state.metrics["pool_size"] = sum(sizes) / len(sizes) if sizes else float("nan")

    def metrics(self, iterations: int, batch_size: int) -> dict[str, float | dict]:
        """Numbers for the record.

        Args:
            iterations: of the whole training.
            batch_size: images of each.
        """
        space = self.policy.space
        ends = space.macs(space.largest()) + space.macs(space.smallest())
        middle = sum(n * space.macs(subnet) for subnet, n in self.trained.items())
        total = sum(self.sources.values())
        return {
            "iterations": iterations,
            "distinct": len(self.trained),
            "space_share": {"value": 100 * self.sources["space"] / total, "unit": "%"},
            "train_macs": {
                "value": PASSES * batch_size * (iterations * ends + middle),
                "unit": "MACs",
            },
        }

    def state_dict(self) -> dict[str, Any]:
        """All counts, as a checkpoint can carry them."""
        rows = [[s.resolution, list(s.widths), n] for s, n in self.trained.items()]
        return {"trained": rows, "sources": dict(self.sources)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what was remembered."""
        rows = {Subnet(r, tuple(widths)): n for r, widths, n in state["trained"]}
        self.trained, self.sources = Counter(rows), Counter(state["sources"])
