"""The packed weight: the blocks that stay, and the input channel of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lithe.onexn.grid import Grid, check_weight

__all__ = ["PackedWeight", "pack_weight", "row_order"]


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """Compressed rows of blocks: what is stored of a pruned weight.

    Source: 1xN spec A5 (``D``, ``I``, ``P``).

    Attributes:
        values: blocks that stay, row by row, ``(b, n)`` or ``(b, n, kh, kw)``; in narrow rows
            the places past the last filter hold zeros.
        columns: input channel of each block (of its group), int32 ``(b,)``, rising in a row.
        pointers: where each row of blocks begins in ``values``, and the end; int32 ``(r + 1,)``.
        order: filter at each place of the grid, int32 ``(o,)``; None for the natural order.
        shape: of the weight.
        groups: of the convolution.
    """

    values: Tensor
    columns: Tensor
    pointers: Tensor
    order: Tensor | None
    shape: torch.Size
    groups: int = 1

    @property
    def n(self) -> int:
        """Filters per block."""
        return self.values.shape[1]

    @property
    def grid(self) -> Grid:
        """The block grid.

        Raises:
            ValueError: the shapes or the order do not make one.
        """
        return Grid(self.shape, self.n, self.order, self.groups)

    @classmethod
    def empty(
        cls, shape: torch.Size, n: int, blocks: int, ordered: bool, groups: int = 1
    ) -> PackedWeight:
        """One of the right shapes whose tensors have no memory yet.

        Raises:
            ValueError: the numbers do not fit together.
        """
        if not isinstance(blocks, int) or not 0 <= blocks <= _count(
            grid := Grid(shape, n, None, groups)
        ):
            raise ValueError(f"{blocks!r} blocks do not fit a weight of shape {tuple(shape)}")

        def index(count: int) -> Tensor:
            return torch.empty(count, dtype=torch.int32, device="meta")

        values = torch.empty((blocks, grid.n, *shape[2:]), device="meta")
        rows = len(grid.sizes) + 1
        order = index(shape[0]) if ordered else None
        return cls(values, index(blocks), index(rows), order, torch.Size(shape), groups)

    def check(self) -> Grid:
        """Refuse what no weight could have been packed into; returns the block grid.

        Raises:
            ValueError: indices out of range, repeated or of another type, rows that do not fit,
                values past the filters of a narrow row, NaN or infinity.
        """
        grid = self.grid
        indices = {"columns": self.columns, "pointers": self.pointers, "order": self.order}
        for name, index in indices.items():
            if index is not None and (index.dtype is not torch.int32 or index.ndim != 1):
                raise ValueError(
                    f"{name} is {index.dtype} {tuple(index.shape)}, not a list of int32"
                )
        _check_rows(self, grid)
        _check_values(self, grid)
        return grid

    def unpack(self) -> Tensor:
        """The weight, ``shape``, to the bit; dropped entries are zero.

        Raises:
            ValueError: as :meth:`check`.
        """
        grid = self.check()
        row, rank = _filters(grid)
        blocks = self.values.new_zeros((*grid.blocks, self.n, *self.shape[2:]))
        place = grid.place.new_tensor(self.pointers.diff().tolist())
        owner = torch.arange(len(place)).repeat_interleave(place).to(self.values.device)
        blocks[owner, self.columns.long()] = self.values
        return blocks.movedim(2, 1)[row.to(blocks.device), rank.to(blocks.device)]


def pack_weight(
    weight: Tensor, mask: Tensor, n: int, order: Tensor | None = None, groups: int = 1
) -> PackedWeight:
    """Store the blocks that a mask keeps.

    Args:
        weight: ``(o, i)`` or ``(o, i, kh, kw)``; what the mask drops is not read.
        mask: shaped alike, bool, made of whole blocks.
        n: filters per block.
        order: ``(o,)``, the filter at each place of the grid. If None, the natural order where
            the mask fits it, otherwise the one that the mask itself shows (:func:`row_order`).
        groups: of the convolution.

    Returns:
        The packed weight, with copies of the values.

    Raises:
        TypeError: ``weight`` is not of floats or ``mask`` not of bools.
        ValueError: shapes differ, the mask cuts through a block, or a kept value is NaN or
            infinite.
    """
    if not isinstance(mask, Tensor) or mask.dtype is not torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask is {kind}; it must be torch.bool")
    if mask.shape != weight.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, the weight {tuple(weight.shape)}")
    weight = check_weight(torch.where(mask, weight.detach(), 0.0))
    grid = Grid(weight.shape, n, row_order(mask, n, groups) if order is None else order, groups)
    kept = grid.kept(mask)
    row, rank = _filters(grid)
    blocks = weight.new_zeros((len(grid.sizes), grid.n, *weight.shape[1:]))
    blocks[row.to(weight.device), rank.to(weight.device)] = weight
    owner, columns = kept.nonzero(as_tuple=True)
    natural = torch.equal(grid.order, torch.arange(len(weight)))
    return PackedWeight(
        blocks.movedim(2, 1)[owner.to(weight.device), columns.to(weight.device)].contiguous(),
        columns.int().to(weight.device),
        torch.cat([torch.tensor([0]), kept.sum(1).cumsum(0)]).int().to(weight.device),
        None if natural else grid.order.int().to(weight.device),
        weight.shape,
        groups,
    )


def row_order(mask: Tensor, n: int, groups: int = 1) -> Tensor | None:
    """An order of the filters in which a mask is made of blocks, found in the mask.

    Filters of one block keep the same input channels. So those with equal rows of the mask are
    put together; a set whose number ``n`` does not divide comes last in its group.

    Args:
        mask: of a weight, bool.
        n: filters per block.
        groups: of the convolution.

    Returns:
        ``(o,)``, or None where the natural order does as well, or no order does.
    """
    if _fits(Grid(mask.shape, n, None, groups), mask):
        return None
    rows = mask.detach().cpu().flatten(1).reshape(groups, len(mask) // groups, -1)
    order = []
    for group, own in enumerate(rows):
        kind, counts = own.unique(dim=0, return_inverse=True, return_counts=True)[1:]
        odd = (counts[kind] % n > 0).long()
        inside = torch.stack([odd, kind]).unique(dim=1, return_inverse=True)[1]
        order.append(inside.argsort(stable=True) + group * len(own))
    found = torch.cat(order)
    return found if _fits(Grid(mask.shape, n, found, groups), mask) else None


def _fits(grid: Grid, mask: Tensor) -> bool:
    try:
        grid.kept(mask)
    except ValueError:
        return False
    return True


def _filters(grid: Grid) -> tuple[Tensor, Tensor]:
    """Row of blocks of each filter, and its rank in the row; both ``(o,)``."""
    starts = grid.sizes.cumsum(0) - grid.sizes
    places = torch.empty_like(grid.order).scatter(0, grid.order, torch.arange(len(grid.order)))
    return grid.row, places - starts[grid.row]


def _count(grid: Grid) -> int:
    return grid.blocks[0] * grid.blocks[1]


def _check_rows(packed: PackedWeight, grid: Grid) -> None:
    rows, channels = grid.blocks
    blocks, pointers = len(packed.values), packed.pointers.cpu().long()
    if len(packed.columns) != blocks:
        raise ValueError(f"{len(packed.columns)} columns for {blocks} blocks")
    if len(pointers) != rows + 1 or int(pointers[0]) != 0 or int(pointers[-1]) != blocks:
        raise ValueError(f"pointers must be {rows + 1} numbers from 0 to {blocks}")
    if bool((pointers.diff() < 0).any()):
        raise ValueError("pointers fall; each row must begin where the last one ends")
    columns = packed.columns.cpu().long()
    wrong = columns[(columns < 0) | (columns >= channels)]
    if len(wrong):
        raise ValueError(f"column {int(wrong[0])} is not one of 0..{channels - 1}")
    owner = torch.arange(rows).repeat_interleave(pointers.diff())
    if bool(((owner * channels + columns).diff() <= 0).any()):
        raise ValueError("columns do not rise within a row of blocks")


def _check_values(packed: PackedWeight, grid: Grid) -> None:
    if packed.values.shape[2:] != packed.shape[2:] or not packed.values.is_floating_point():
        shape = tuple(packed.values.shape)
        raise ValueError(f"values are {packed.values.dtype} {shape}, kernels {packed.shape[2:]}")
    bad = int((~packed.values.isfinite()).sum())
    if bad:
        raise ValueError(f"values hold NaN or infinity in {bad} places")
    owner = torch.arange(len(grid.sizes)).repeat_interleave(packed.pointers.cpu().long().diff())
    past = torch.arange(grid.n) >= grid.sizes[owner][:, None]
    if bool((packed.values.cpu()[past] != 0).any()):
        raise ValueError("a narrow row of blocks holds values past its last filter")
