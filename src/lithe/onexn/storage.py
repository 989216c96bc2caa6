"""How many bytes a pruned weight takes: packed, dense, and in compressed sparse rows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lithe.onexn.masked import masked_layers
from lithe.onexn.packed import PackedWeight, pack_weight
from lithe.onexn.packed_layers import packed_layers

__all__ = ["Storage", "storage"]

#: Bytes of one index, here and in the compressed sparse rows that are compared.
INDEX = 4


@dataclass(frozen=True)
class Storage:
    """Bytes of one weight.

    Attributes:
        values: of the blocks that stay, the zeros that fill narrow rows included.
        indices: of their columns, the row pointers and, if filters are reordered, the order.
        dense: of the whole weight.
        csr: of the kept weights alone as a matrix ``(o, i kh kw)`` in compressed sparse rows:
            a value and an int32 column for each, int32 row pointers.
    """

    values: int
    indices: int
    dense: int
    csr: int

    @property
    def packed(self) -> int:
        """Bytes of the packed weight."""
        return self.values + self.indices

    @classmethod
    def of(cls, weight: PackedWeight) -> Storage:
        """Count the bytes of a packed weight."""
        index = [x for x in (weight.columns, weight.pointers, weight.order) if x is not None]
        size, area = weight.values.element_size(), weight.shape[2:].numel()
        filters = weight.grid.sizes @ weight.pointers.cpu().long().diff()
        kept = int(filters) * area
        return cls(
            values=weight.values.numel() * size,
            indices=sum(x.numel() * x.element_size() for x in index),
            dense=weight.shape.numel() * size,
            csr=kept * (size + INDEX) + (weight.shape[0] + 1) * INDEX,
        )


def storage(model: nn.Module) -> dict[str, Storage]:
    """Bytes of every masked or packed layer by name; biases are not counted.

    Args:
        model: from :func:`lithe.onexn.prune`, :func:`lithe.onexn.compress` or
            :func:`lithe.onexn.load`.

    Raises:
        ValueError: a mask is not made of blocks.
    """
    found = {name: Storage.of(layer.packed) for name, layer in packed_layers(model).items()}
    for name, layer in masked_layers(model).items():
        groups = getattr(layer, "groups", 1)
        packed = pack_weight(layer.weight, layer.mask, layer.n, layer.order, groups)
        found[name] = Storage.of(packed)
    return found
