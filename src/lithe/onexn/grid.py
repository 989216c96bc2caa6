"""The block grid of a weight: which filters share a row of blocks, and what a block is worth."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor

__all__ = ["Grid", "check_weight"]


class Grid:
    """The weight of a layer cut into blocks of ``n`` filters by one input channel.

    A block holds the kernels of one input channel in ``n`` filters that stand next to each other
    in ``order``. Where ``n`` does not divide the number of filters, the last row of blocks is
    narrower, so no block ever reads two input channels. The released code instead flattens the
    weight and cuts it every ``n`` kernels, which then straddle (1xN spec A1, A7.1). The filters of
    a grouped convolution read other channels in each group, so every group has its own rows.

    Source: 1xN spec A1.

    Args:
        shape: of the weight: ``(o, i)`` or ``(o, i, kh, kw)``, ``i`` input channels per group.
        n: filters per block, at least 1.
        order: ``(o,)``, the filter at each place of the grid; their natural order if None.
        groups: of the convolution.

    Raises:
        ValueError: ``n`` or ``groups`` does not fit, or ``order`` is no permutation that keeps
            each group's filters together.

    Attributes:
        place: row of blocks at each place of the order, ``(o,)``.
        row: row of blocks of each filter, ``(o,)``.
        sizes: filters in each row of blocks, ``(r,)``; at most ``n``.
    """

    def __init__(
        self, shape: torch.Size, n: int, order: Tensor | None = None, groups: int = 1
    ) -> None:
        self.shape, self.n, self.groups = torch.Size(shape), _positive("n", n), groups
        filters = shape[0]
        if _positive("groups", groups) and filters % groups:
            raise ValueError(f"groups is {groups}, which does not divide {filters} filters")
        width = filters // groups
        rows = -(-width // n)
        places = torch.arange(filters, device="cpu")  # also where layers are built on "meta"
        self.place = places // width * rows + places % width // n
        self.order = places if order is None else _permutation(order, filters, width)
        self.row = torch.empty_like(self.place).scatter(0, self.order, self.place)
        self.sizes = self.row.bincount(minlength=rows * groups)

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows of blocks, and blocks per row: ``(r, i)``."""
        return len(self.sizes), self.shape[1]

    def scores(self, weight: Tensor) -> Tensor:
        """L1 norm of every block, that of narrow blocks scaled up to ``n`` filters.

        By plain sums the narrow last row would be dropped first for its size alone; its mean
        magnitude is compared instead (1xN spec A1).

        Args:
            weight: of the grid's shape.

        Returns:
            ``(r, i)``, float64.
        """
        kernels = weight.detach().cpu().double().abs().reshape(*self.shape[:2], -1).sum(-1)
        sums = torch.zeros(self.blocks, dtype=torch.float64).index_add_(0, self.row, kernels)
        return sums * (self.n / self.sizes.double())[:, None]

    def mask(self, kept: Tensor) -> Tensor:
        """Spread a choice of blocks over the weight.

        Args:
            kept: ``(r, i)``, True for blocks that stay.

        Returns:
            Mask of the weight's shape, bool.
        """
        spread = kept[self.row]
        return (
            spread.reshape(*spread.shape, *[1] * (len(self.shape) - 2)).expand(self.shape).clone()
        )

    def kept(self, mask: Tensor) -> Tensor:
        """The choice of blocks that a mask stands for, ``(r, i)``.

        Raises:
            ValueError: the mask keeps a part of some block.
        """
        flat = mask.detach().cpu().reshape(*self.shape[:2], -1)
        first = self.order[self.place.diff(prepend=torch.tensor([-1])) > 0]
        kept = flat[first, :, 0]
        torn = (flat != kept[self.row][..., None]).any(-1).nonzero()
        if len(torn):
            filter_, channel = torn[0].tolist()
            raise ValueError(
                f"mask keeps a part of the block of filter {filter_} and input channel {channel};"
                f" with n={self.n} it must keep or drop blocks whole"
            )
        return kept


def check_weight(weight: Tensor) -> Tensor:
    """Refuse what is no weight of a convolution or linear layer; returns it detached.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: too few axes, an empty one, NaN or infinity.
    """
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        kind = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"weight is {kind}; it must be a floating-point tensor")
    if weight.ndim < 2 or not weight.numel():
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}; it must be (o, i) or (o, i, kh, kw)"
        )
    bad = int((~weight.detach().isfinite()).sum())
    if bad:
        raise ValueError(f"weight holds NaN or infinity in {bad} places; blocks cannot be ranked")
    return weight.detach()


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
    return int(value)


def _permutation(order: Tensor, filters: int, width: int) -> Tensor:
    order = order.detach().cpu().long()
    if order.shape != (filters,) or not torch.equal(order.sort().values, torch.arange(filters)):
        raise ValueError(f"order must list each of the {filters} filters once")
    if not torch.equal(order // width, torch.arange(filters) // width):
        raise ValueError(f"order moves filters between groups of {width}; keep them apart")
    return order
