"""What the 1xN pattern is measured against: other sets of weights removed at the same rate."""

from __future__ import annotations

import torch
from torch import Tensor

from lithe.onexn.budget import check_sparsity, lowest
from lithe.onexn.grid import Grid, check_weight
from lithe.onexn.pattern import block_mask

__all__ = ["filter_mask", "kernel_mask", "random_block_mask", "weight_mask"]


def weight_mask(weight: Tensor, sparsity: float) -> Tensor:
    """Keep the weights of largest magnitude: the finest pattern, the upper bound in accuracy.

    Args:
        weight: ``(o, i)`` or ``(o, i, kh, kw)``.
        sparsity: share of weights to drop, in [0, 1).

    Returns:
        Mask shaped as the weight, bool.

    Raises:
        TypeError, ValueError: as :func:`lithe.onexn.block_mask`.
    """
    magnitude = check_weight(weight).abs()
    return ~lowest(magnitude.flatten(), sparsity).reshape(weight.shape)


def filter_mask(weight: Tensor, sparsity: float) -> Tensor:
    """Keep the filters of largest L1 norm: the coarsest pattern.

    Args:
        weight: ``(o, i)`` or ``(o, i, kh, kw)``.
        sparsity: share of filters to drop, in [0, 1).

    Returns:
        Mask shaped as the weight, bool.

    Raises:
        TypeError, ValueError: as :func:`lithe.onexn.block_mask`.
    """
    norms = check_weight(weight).double().abs().flatten(1).sum(1)
    stays = ~lowest(norms, sparsity)
    return stays.reshape(-1, *[1] * (weight.ndim - 1)).expand(weight.shape).clone()


def kernel_mask(weight: Tensor, sparsity: float) -> Tensor:
    """Keep the kernels of largest L1 norm: the pattern at ``n = 1``.

    Args:
        weight: ``(o, i)`` or ``(o, i, kh, kw)``; with 1x1 kernels the same as
            :func:`weight_mask`.
        sparsity: share of kernels to drop, in [0, 1).

    Returns:
        Mask shaped as the weight, bool.

    Raises:
        TypeError, ValueError: as :func:`lithe.onexn.block_mask`.
    """
    return block_mask(weight, 1, sparsity)


def random_block_mask(
    weight: Tensor, n: int, sparsity: float, generator: torch.Generator, *, groups: int = 1
) -> Tensor:
    """Keep blocks drawn at random, each at most once.

    The released baseline draws with replacement, so that at 50 % it removes only
    ``1 - exp(-1/2)`` = 39 % of the blocks (1xN spec A7.6); here exactly ``int(p * blocks)`` go.

    Args:
        weight: only its shape and device are used.
        n: filters per block.
        sparsity: share of blocks to drop, in [0, 1).
        generator: on the CPU.
        groups: of the convolution.

    Returns:
        Mask shaped as the weight, bool.

    Raises:
        TypeError, ValueError: as :func:`lithe.onexn.block_mask`.
    """
    check_weight(weight)
    grid = Grid(weight.shape, n, groups=groups)
    rows, columns = grid.blocks
    count = int(check_sparsity(sparsity) * rows * columns)
    gone = torch.randperm(rows * columns, generator=generator)[:count]
    kept = torch.ones(rows * columns, dtype=torch.bool).scatter(0, gone, False)
    return grid.mask(kept.reshape(rows, columns)).to(weight.device)
