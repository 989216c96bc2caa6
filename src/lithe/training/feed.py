"""In which order the data comes, and how a batch is shared out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lithe.data import DataSet, generator_for

__all__ = ["Plan", "micro_batches"]

ORDER, AUGMENT = 0, 1  # keep the random streams of one (seed, epoch) apart


@dataclass(frozen=True)
class Plan:
    """The batches of one epoch: a pure function of its fields.

    Every process and every run with the same seed has the same global batches with the same
    augmentation, however many processes and micro-batches share them.

    Attributes:
        n: number of items.
        batch_size: items per optimiser step.
        drop_last: leave out a last batch that is not full.
        seed: of the run.
        epoch: from 0.
        pieces: into how many parts a batch is cut: processes x micro-batches.
        mine: which of the parts this process computes.
    """

    n: int
    batch_size: int
    drop_last: bool
    seed: int
    epoch: int
    pieces: int = 1
    mine: tuple[int, ...] = (0,)

    @property
    def steps(self) -> int:
        """Optimiser steps in the epoch."""
        full, rest = divmod(self.n, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def order(self) -> Tensor:
        """The shuffled indices ``(n,)``."""
        return torch.randperm(self.n, generator=generator_for(self.seed, self.epoch, ORDER))

    def batches(self, first_step: int = 0) -> list[tuple[int, Tensor]]:
        """Step numbers and indices of the global batches, from ``first_step`` on."""
        chunks = self.order().split(self.batch_size)[: self.steps]
        return list(enumerate(chunks))[first_step:]

    def parts(self, n: int) -> list[tuple[slice, float]]:
        """This process's parts of a batch of ``n``, each with its share of the batch's mean.

        A part that would be empty borrows the batch's first item at weight 0, so that every
        process takes part in every exchange of gradients.
        """
        cuts = [n * k // self.pieces for k in range(self.pieces + 1)]
        spans = [(cuts[k], cuts[k + 1]) for k in self.mine]
        return [(slice(a, b), (b - a) / n) if b > a else (slice(0, 1), 0.0) for a, b in spans]


class _Steps(Dataset):
    """Whole micro-batches, numbered, for worker processes."""

    def __init__(self, data: DataSet, plan: Plan, first_step: int) -> None:
        self.data, self.plan = data, plan
        self.jobs = [
            (step, indices, part)
            for step, indices in plan.batches(first_step)
            for part, _ in plan.parts(len(indices))
        ]

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        step, indices, part = self.jobs[k]
        generator = generator_for(self.plan.seed, self.plan.epoch, AUGMENT, step)
        return self.data.batch(indices, generator, augment=True, part=part)


def micro_batches(
    data: DataSet, plan: Plan, first_step: int = 0, pin: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """All micro-batches of this process, step by step, augmented.

    Args:
        data: where to cut from; its ``workers`` say whether in this process or in others.
        plan: the epoch.
        first_step: where to begin in it.
        pin: put what workers prepare into pinned memory.

    Yields:
        Inputs and targets, ``len(plan.mine)`` micro-batches a step.
    """
    steps = _Steps(data, plan, first_step)
    if data.workers:
        yield from DataLoader(steps, batch_size=None, num_workers=data.workers, pin_memory=pin)
    else:
        for k in range(len(steps)):
            yield steps[k]
