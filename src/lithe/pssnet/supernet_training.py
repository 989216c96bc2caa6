"""Training a supernet: the max net on labels, one middle subnet and the min net on its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from lithe import training
from lithe.data import DataSet
from lithe.pssnet.choice import Policy
from lithe.pssnet.elastic import Elastic
from lithe.pssnet.losses import distillation_loss, performance
from lithe.pssnet.recalibrate import BATCHES, calibration_batches, recalibrate
from lithe.pssnet.space import Subnet
from lithe.training import Callback, History, TrainConfig, TrainState, fit

__all__ = ["Sandwich", "evaluate_subnet", "train_supernet"]

#: Called after every iteration's choices: epoch, choice, metric and what became of the pool.
Watcher = Callable[[dict[str, Any]], None]


class Sandwich:
    """One iteration of supernet training, as a step and a callback of :func:`lithe.training.fit`.

    Source: PSS-Net spec 4.1. Max net: cross-entropy with the labels. Middle subnet, of the
    policy: its metric goes to the policy before the weights move; KL to the max net. Min net: KL
    to the max net. The optimiser steps on the sum of the three gradients. Two things are done
    otherwise, and come to the same numbers: the metric is read off the forward pass that also
    trains, not off another one before it, and the three losses go backward together.

    With several processes the metric is averaged over them, so that all of them keep equal pools
    and see equal subnets.

    Args:
        network: the supernet.
        policy: which middle subnets; its generator and pools become part of every checkpoint.
        watch: told of every choice, for records of pools at work.
    """

    def __init__(self, network: Elastic, policy: Policy, watch: Watcher | None = None) -> None:
        self.policy, self.watch = policy, watch
        self.largest, self.smallest = network.space.largest(), network.space.smallest()
        self.__qualname__ = f"Sandwich({policy.name})"  # a checkpoint remembers its objective
        self.seen: Counter[str] = Counter()

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of one batch.

        Args:
            model: the supernet, bare or wrapped for several processes.
            x: images ``(n, c, h, w)``.
            y: labels ``(n,)``.

        Returns:
            The sum of the three losses, and the max net's logits.
        """
        network = model.module if isinstance(model, DistributedDataParallel) else model
        try:
            network.set(self.largest)
            # the wrapper once: it waits for one gradient of each weight, and weights are shared
            teacher = model(x)
            loss = F.cross_entropy(teacher.float(), y)
            for choice in self.policy.next_subnets():
                student = network.set(choice.subnet)(x)
                self._tell(choice, _agreed(performance(student.float(), y), len(y), x.device))
                loss = loss + distillation_loss(student.float(), teacher.float())
            self._check_up(network, x, y)
            student = network.set(self.smallest)(x)
            loss = loss + distillation_loss(student.float(), teacher.float())
        finally:
            network.set(self.largest)
        return loss, teacher

    def _tell(self, choice: Any, metric: float) -> None:
        if not isfinite(metric):  # nor is the loss: training stops, or in half precision skips on
            return
        change = self.policy.update(choice, metric)
        self.seen[choice.source] += 1
        if self.watch is not None:
            event = {"epoch": self.policy.epoch, "choice": choice, "metric": metric}
            self.watch(event | {"change": change})

    @torch.no_grad()
    def _check_up(self, network: Elastic, x: Tensor, y: Tensor) -> None:
        """Measure resting subnets again, without training them."""
        for choice in self.policy.checkups():
            logits = network.set(choice.subnet)(x).float()
            metric = _agreed(performance(logits, y), len(y), x.device)
            if isfinite(metric):
                self.policy.rescore(choice, metric)

    def on_epoch_start(self, state: TrainState) -> None:
        """Set the policy's schedules."""
        self.policy.begin_epoch(state.epoch, state.epochs)
        self.seen.clear()

    def on_epoch_end(self, state: TrainState) -> None:
        """Note in the history how many subnets came from where."""
        state.metrics |= {f"from_{source}": n for source, n in sorted(self.seen.items())}

    def state_dict(self) -> dict[str, Any]:
        """The policy's state, and the present epoch's counts."""
        return {"policy": self.policy.state_dict(), "seen": dict(self.seen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what was remembered."""
        self.policy.load_state_dict(state["policy"])
        self.seen = Counter(state["seen"])


class _MaxNet:
    """After every epoch, the recalibrated max net on evaluation data."""

    def __init__(self, batches: Sequence[Tensor], data: DataSet, batch_size: int) -> None:
        self.batches, self.data, self.batch_size = batches, data, batch_size

    def on_epoch_end(self, state: TrainState) -> None:
        """Add its loss and accuracy to the history."""
        largest = state.model.space.largest()
        recalibrate(state.model, largest, self.batches)
        found = evaluate_subnet(state.model, largest, self.data, self.batch_size)
        state.metrics |= {f"max_{key}": found[key] for key in ("loss", "top1")}


def train_supernet(
    network: Elastic,
    policy: Policy,
    train: DataSet,
    config: TrainConfig,
    *,
    evaluate: DataSet | None = None,
    watch: Watcher | None = None,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> History:
    """Train a supernet in place with a policy.

    Everything :func:`lithe.training.fit` does holds here: with a ``directory`` a run that was
    stopped continues bit for bit, pools and random states included; under ``torchrun`` the
    processes share each batch.

    Args:
        network: from :func:`lithe.pssnet.elastic.elastic`.
        policy: from :func:`lithe.pssnet.policies.policy`, on a space with the same widths.
        train: training data.
        config: the recipe; ``PAPER_RECIPE`` has the paper's.
        evaluate: measured after every epoch with the max net, recalibrated.
        watch: see :class:`Sandwich`.
        callbacks: further ones.
        options: ``directory``, ``resume`` and ``progress`` of :func:`lithe.training.fit`.

    Returns:
        The history: beside the loop's own rows ``from_space``, ``from_pool`` or ``from_uniform``
        (subnets of the epoch by origin), ``max_loss`` and ``max_top1``.

    Raises:
        TypeError: ``network`` is not elastic.
        ValueError: the recipe cuts batches into micro-batches, or the policy's space has other
            widths than the network's.
    """
    if not isinstance(network, Elastic):
        raise TypeError(f"network is a {type(network).__name__}; make it elastic(...) first")
    if config.accumulate != 1:
        raise ValueError(
            f"accumulate={config.accumulate}: an iteration trains one middle subnet on one batch,"
            " so it must be 1"
        )
    if policy.space.choices != network.space.choices:
        raise ValueError("the policy's space has other widths than the network's")
    step = Sandwich(network, policy, watch)
    extra: list[Any] = []
    if evaluate is not None:
        batches = calibration_batches(train, config.batch_size, BATCHES, config.seed)
        extra.append(_MaxNet(batches, evaluate, config.batch_size))
    all_callbacks = [step, *extra, *callbacks]
    return fit(network, train, config, step=step, callbacks=all_callbacks, **options)


#: The paper's ImageNet recipe. Source: PSS-Net spec 4.2.
PAPER_RECIPE = TrainConfig(
    epochs=250,
    batch_size=1024,
    lr=0.3,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    decay="dense",
    schedule="cosine",
    per_iteration=True,
)


def evaluate_subnet(
    network: Elastic, subnet: Subnet, data: DataSet, batch_size: int = 256
) -> dict[str, float | None]:
    """Loss and accuracy of a recalibrated subnet; see :func:`lithe.training.evaluate`.

    Raises:
        ValueError: it was not recalibrated.
    """
    with network.calibrated(subnet):
        return training.evaluate(network, data, batch_size)


def _agreed(metric: float, n: int, device: torch.device) -> float:
    """The mean over all processes' items; the same bits in each of them."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return metric
    # float32 where a device has no float64; the sum is small, and equal everywhere
    pair = torch.tensor([metric * n, n], dtype=torch.float32, device=device)
    dist.all_reduce(pair)
    return float(pair[0] / pair[1])
