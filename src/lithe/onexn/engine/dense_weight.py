"""The weight of a layer that was not pruned, stored in blocks like the others."""

from __future__ import annotations

import torch
from torch import Tensor

from lithe.onexn.packed import PackedWeight

__all__ = ["dense_weight"]


def dense_weight(weight: Tensor, n: int, groups: int = 1) -> PackedWeight:
    """A weight with every block kept, in the natural order; see :func:`pack_weight`.

    Args:
        weight: ``(o, i)`` or ``(o, i, kh, kw)``.
        n: filters per block.
        groups: of the convolution.
    """
    filters, channels, *kernel = weight.shape
    width = filters // groups
    rows = -(-width // n)
    padded = weight.new_zeros(groups, rows * n, channels, *kernel)
    padded[:, :width] = weight.reshape(groups, width, channels, *kernel)
    blocks = padded.reshape(groups * rows, n, channels, *kernel).transpose(1, 2)
    columns = torch.arange(channels, dtype=torch.int32).repeat(groups * rows)
    pointers = torch.arange(groups * rows + 1, dtype=torch.int32) * channels
    values = blocks.reshape(-1, n, *kernel).contiguous()
    return PackedWeight(values, columns, pointers, None, weight.shape, groups)
