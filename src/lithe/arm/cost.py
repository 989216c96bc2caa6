"""The released operation counter, beside the true one in :mod:`lithe.cost`."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["mean_cost", "overlap_overhead", "released_operations", "released_rows"]


def released_operations(model: nn.Module, h: int = 32, w: int = 32) -> int:
    """Operations of one ``(1, 3, h, w)`` patch by the rule behind the published tables.

    Source: ARM spec 2.5. Twice the products of every convolution, one more for every PReLU; bias
    and activations are free, frozen convolutions are left out. A **transposed convolution is
    counted at its output size**, ``scale ** 2`` times too much: FSRCNN "costs" 468 M, where it
    runs 24.9 M multiply-accumulates, 49.8 M operations.

    Args:
        model: any module; layers are found as modules, each call of a layer counts.
        h: height of the patch.
        w: width of the patch.
    """
    return sum(released_rows(model, h, w).values())


def released_rows(model: nn.Module, h: int = 32, w: int = 32) -> dict[str, int]:
    """The same by the name of the layer; see :func:`released_operations`."""
    model = copy.deepcopy(model).eval().to("meta")
    rows: Counter[str] = Counter()

    def add(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            rows[name] += _operations(module, output)

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.PReLU):
                hooks.callback(module.register_forward_hook(add(name)).remove)
        model(torch.zeros(1, 3, h, w, device="meta"))
    return {name: value for name, value in rows.items() if value}


def _operations(module: nn.Module, output: Tensor) -> int:
    if isinstance(module, nn.PReLU):
        return 1
    if not module.weight.requires_grad:
        return 0  # the mean shifts
    # o i/g kh kw, or i o/g kh kw when transposed: either way i * o / g * kh * kw elements
    return 2 * module.weight.numel() * output[0, 0].numel() * len(output)


def mean_cost(counts: Sequence[int], costs: Sequence[float]) -> float:
    """Average cost of a patch when ``counts[j]`` patches took branch ``j`` of cost ``costs[j]``.

    Source: ARM spec 5.5; weighted by patches, not by images.

    Raises:
        ValueError: lengths differ, or nothing was counted.
    """
    if len(counts) != len(costs) or sum(counts) <= 0 or min(counts) < 0:
        raise ValueError(f"counts {list(counts)} do not fit the {len(costs)} costs {list(costs)}")
    return sum(n * cost for n, cost in zip(counts, costs)) / sum(counts)


def overlap_overhead(patch: int = 32, step: int = 28) -> float:
    """How much more area overlapping patches cover than the image: ``(patch / step) ** 2``.

    Source: ARM spec 5.5: 1.31, which the published percentages leave out.

    Raises:
        ValueError: not ``0 < step <= patch``.
    """
    if not 0 < step <= patch:
        raise ValueError(f"step {step} must lie between 1 and the patch size {patch}")
    return (patch / step) ** 2
