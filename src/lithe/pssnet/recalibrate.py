"""Running statistics of a subnet, measured once and stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lithe.data import DataSet, generator_for
from lithe.modes import evaluating
from lithe.pssnet.elastic import Elastic, tracking_norms
from lithe.pssnet.space import Subnet

__all__ = ["BATCHES", "calibration_batches", "recalibrate", "running_averages"]

#: Batches of the released recalibration: it asks for 8 and stops after the ninth.
BATCHES = 9


def calibration_batches(
    data: DataSet, batch_size: int, batches: int = BATCHES, seed: int = 0
) -> list[Tensor]:
    """Augmented training batches to recalibrate on: the same ones for every subnet.

    Args:
        data: training data; with fewer items than asked for, batches share items.
        batch_size: items in one batch.
        batches: how many.
        seed: which items, and how they are augmented.

    Returns:
        Inputs ``(batch_size, c, h, w)``.
    """
    generator = generator_for(seed, batches)
    order = torch.cat([torch.randperm(len(data), generator=generator) for _ in range(batches)])
    rows = order[: batches * batch_size].split(min(batch_size, len(order)))
    return [data.batch(row, generator, augment=True)[0] for row in rows]


def recalibrate(
    network: Elastic, subnets: Subnet | Iterable[Subnet], batches: Iterable[Tensor]
) -> dict[Subnet, dict[str, Tensor]]:
    """Measure the running statistics of subnets and store them on the network.

    Source: PSS-Net spec 4.3. Statistics start anew, norms train and all else evaluates, nothing
    learns; batch ``t`` enters with weight ``1 / (t + 1)``, so the result is the plain average of
    the batches' means and of their unbiased variances. The network's shared statistics, its
    modes and the subnet that is set are afterwards as they were.

    Args:
        network: the supernet.
        subnets: one or several.
        batches: inputs ``(n, c, h, w)``; read once, kept for all subnets.

    Returns:
        For each subnet its statistics by buffer name of ``network.body``, at the subnet's size.

    Raises:
        ValueError: there is no batch, or one that is empty or not finite.
    """
    batches = list(batches)
    if not batches:
        raise ValueError("no batch to recalibrate on; give at least one")
    if bad := [k for k, x in enumerate(batches) if not x.numel() or not x.isfinite().all()]:
        raise ValueError(f"batch {bad[0]} is empty or holds NaN: its statistics would be useless")
    subnets = [subnets] if isinstance(subnets, Subnet) else list(subnets)
    device = next(network.parameters()).device
    with evaluating(network), torch.no_grad():
        for subnet in subnets:
            with network.using(subnet), running_averages(network.body) as averages:
                for x in batches:
                    network(x.to(device))
                network.statistics[subnet] = averages()
    return {subnet: network.statistics[subnet] for subnet in subnets}


@contextmanager
def running_averages(network: nn.Module) -> Iterator:
    """Let norms average over the batches that pass inside; their buffers are put back.

    Args:
        network: sliced or not.

    Yields:
        A function that gives the averages so far, by buffer name, at their active size.
    """
    norms = tracking_norms(network)
    held = {name: (m.momentum, m.training, _copies(m)) for name, m in norms.items()}
    for norm in norms.values():
        _reset(norm)
        norm.momentum, norm.training = None, True  # None: weight 1 / (t + 1)
    try:
        yield lambda: {
            f"{name}.{key}": getattr(m, key).clone()
            for name, m in norms.items()
            for key in ("running_mean", "running_var")
        }
    finally:
        for name, (momentum, training, buffers) in held.items():
            norm = norms[name]
            norm.momentum, norm.training = momentum, training
            for key, value in buffers.items():
                norm._buffers[key].copy_(value)


def _copies(norm: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in norm._buffers.items() if value is not None}


def _reset(norm: nn.Module) -> None:
    """Mean 0, variance 1, no batch seen: of all channels, not of the active ones alone."""
    norm._buffers["running_mean"].zero_()
    norm._buffers["running_var"].fill_(1)
    norm._buffers["num_batches_tracked"].zero_()
