"""A packed weight as the kernels read it: passes of a few filters over one list of channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

from lithe.onexn.packed import PackedWeight

__all__ = ["Pass", "block_rows", "passes"]

# Filters of a pass where there is a choice: wide tiles of four rows were the fastest throughout.
ROWS = 4


@dataclass(frozen=True, eq=False)
class Pass:
    """Filters that are computed together.

    Attributes:
        filters: their numbers, int64 ``(r,)``.
        columns: input channels of the layer that they read, int64 ``(b,)``.
        values: their weights, float32 ``(b, taps, r)``.
    """

    filters: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @property
    def cost(self) -> int:
        """Multiply-accumulates per pixel, and a share of the work around them."""
        return self.values.size + 8 * len(self.filters)


def block_rows(weight: PackedWeight, most: int) -> list[Pass]:
    """Rows of blocks; neighbours that read the same channels join up to ``most`` filters.

    A dense layer is thus cut as suits the registers, whatever its ``n``.

    Raises:
        ValueError: as :meth:`lithe.onexn.packed.PackedWeight.check`.
    """
    grid = weight.check()
    pointers, columns = _numpy(weight.pointers), _numpy(weight.columns)
    values = _numpy(weight.values).astype(np.float32, copy=False)
    values = values.reshape(len(values), weight.n, math.prod(weight.shape[2:]))
    order, sizes = grid.order.numpy(), grid.sizes.numpy()
    per_group, width = len(sizes) // weight.groups, weight.shape[1]
    joined: list[list[tuple[int, int, int]]] = []
    start = 0
    for row, size in enumerate(sizes):
        first, last = pointers[row], pointers[row + 1]
        own = (row, start, int(size))
        if (
            joined
            and sum(s for *_, s in joined[-1]) + size <= most
            and joined[-1][0][0] // per_group == row // per_group
            and _same(columns, pointers, joined[-1][0][0], first, last)
        ):
            joined[-1].append(own)
        else:
            joined.append([own])
        start += int(size)
    result = []
    for rows in joined:
        first, last = pointers[rows[0][0]], pointers[rows[0][0] + 1]
        filters = np.concatenate([order[s : s + size] for _, s, size in rows])
        parts = [values[pointers[r] : pointers[r + 1], :size] for r, _, size in rows]
        own = np.concatenate(parts, axis=1).transpose(0, 2, 1)
        shift = rows[0][0] // per_group * width
        result.append(Pass(filters, columns[first:last].astype(np.int64) + shift, own))
    return result


def passes(weight: PackedWeight, most: int) -> list[Pass]:
    """Rows of blocks, cut evenly where they have more than ``most`` filters; equal sizes together.

    Raises:
        ValueError: as :func:`block_rows`.
    """
    result = []
    for row in block_rows(weight, ROWS):
        count = 1 if len(row.filters) <= most else -(-len(row.filters) // ROWS)
        bounds = [index * len(row.filters) // count for index in range(count + 1)]
        for low, high in pairwise(bounds):
            result.append(Pass(row.filters[low:high], row.columns, row.values[..., low:high]))
    return sorted(result, key=lambda own: -len(own.filters))


def _same(
    columns: np.ndarray, pointers: np.ndarray, row: int, first: np.int32, last: np.int32
) -> bool:
    other = columns[pointers[row] : pointers[row + 1]]
    return len(other) == last - first and bool((other == columns[first:last]).all())


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
