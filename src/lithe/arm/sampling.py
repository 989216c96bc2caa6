"""Which width a training step trains: the dearer, the more often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.data import generator_for

__all__ = ["WidthSampling", "sampling_probabilities"]

WIDTH = 3  # random stream of the widths; the training loop has 0 to 2


def sampling_probabilities(costs: Sequence[float], power: float = 2.0) -> Tensor:
    """Chance of each width: ``p_j = C_j ** power / sum_i C_i ** power``.

    Source: ARM spec 3 (computation-aware sampling; the exponent 2 is from the released code).

    Args:
        costs: of the widths that are trained, above 0; the paper's are those of the released
            counter.
        power: 2 as released; 0 for uniform sampling, the control.

    Returns:
        float64 ``(m,)``.

    Raises:
        ValueError: there are none, or a cost is not above 0.
    """
    cost = torch.as_tensor(list(costs), dtype=torch.float64)
    if not len(cost) or not bool((cost > 0).all()) or not bool(torch.isfinite(cost).all()):
        raise ValueError(f"costs are {list(costs)}; give one or more finite numbers above 0")
    weight = (cost / cost.max()) ** power
    return weight / weight.sum()


class WidthSampling:
    """A training step on one sampled width: one forward pass, plain L1 loss.

    Source: ARM spec 3: no distillation, no sandwich rule. Give it to :func:`lithe.training.fit`
    as ``step`` **and** among the callbacks: the width of the k-th step is a pure function of the
    seed and k, so that a resumed run draws on where it was, and all processes draw alike.

    Args:
        indices: branches to train.
        probabilities: of each, summing to 1.
        seed: of the run.
        accumulate: micro-batches of an optimiser step, which all train the same width.

    Attributes:
        drawn: how often each of ``indices`` was trained, micro-batches counted.
    """

    def __init__(
        self, indices: Sequence[int], probabilities: Tensor, seed: int, accumulate: int = 1
    ) -> None:
        if len(indices) != len(probabilities) or not len(indices):
            raise ValueError(f"{len(indices)} branches but {len(probabilities)} probabilities")
        self.indices, self.probabilities = tuple(indices), probabilities
        self.seed, self.accumulate, self.calls = seed, accumulate, 0
        self.drawn = [0] * len(self.indices)
        # a checkpoint remembers the objective by this name: a run that sampled otherwise is refused
        chances = ", ".join(f"{j}: {p:.12g}" for j, p in zip(indices, probabilities.tolist()))
        self.__qualname__ = f"WidthSampling({chances})"

    def draw(self, step: int) -> int:
        """Position in ``indices`` of the width that optimiser step ``step`` trains."""
        generator = generator_for(self.seed, WIDTH, step)
        return int(torch.multinomial(self.probabilities, 1, generator=generator))

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and outputs of one micro-batch, as :func:`lithe.training.fit` asks for."""
        chosen = self.draw(self.calls // self.accumulate)
        self.calls += 1
        self.drawn[chosen] += 1
        outputs = model(x, self.indices[chosen])
        return F.l1_loss(outputs.float(), y), outputs

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint remembers."""
        return {"calls": self.calls, "drawn": list(self.drawn)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Draw on from a checkpoint."""
        self.calls, self.drawn = state["calls"], list(state["drawn"])
