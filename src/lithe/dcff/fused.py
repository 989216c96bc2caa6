"""A convolution that trains all its filters and exposes a few mixtures of them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.dcff.coupling import Coupling

__all__ = ["FusedConv2d"]


class FusedConv2d(nn.Module):
    """``n`` trainable filters, ``m`` fused ones: ``F = R W``, then an ordinary convolution.

    Source: DCFF spec 2.1, 2.8, 2.9. The mixing rows ``R`` are constants between two refreshes;
    gradient reaches every filter through ``dL/dW = Rᵀ dL/dF``. A layer says nothing before its
    first :func:`lithe.dcff.refresh`: zero rows would silently give zero output.

    All state is in fixed-shape tensors, so a ``state_dict`` alone resumes a run:

    * ``weight`` ``(n, c, kh, kw)`` and ``bias`` ``(n,)`` or None: the filters (parameters);
    * ``proxy_rows`` ``(m, n)``: mixing weights, rows sum to 1;
    * ``selected`` ``(m,)``: which filter each slot belongs to;
    * ``scores`` ``(n,)`` float64: importance at the last accepted refresh;
    * ``refreshed`` ``()``: whether rows have been set.

    Args:
        in_channels: channels of the input, already compact.
        n_filters: trainable filters ``n``.
        kept: fused filters ``m``, 1 to ``n``; the channels of the output.
        kernel_size: side or ``(kh, kw)``.
        stride: as in :class:`torch.nn.Conv2d`.
        padding: as in :class:`torch.nn.Conv2d`, zeros only.
        dilation: as in :class:`torch.nn.Conv2d`.
        bias: whether filters carry a bias, which is fused the same way.
        groups: 1; anything else is refused.

    Attributes:
        coupling: which filters of other layers its own are selected with, None where the layer
            is free (set by :func:`lithe.dcff.convert`).

    Raises:
        ValueError: a size is below 1, ``kept`` exceeds ``n_filters``, or ``groups`` is not 1.
    """

    #: Operators spent on building the weights: not part of the deployed cost (lithe.cost).
    preparation_operators = ("mm",)

    def __init__(
        self,
        in_channels: int,
        n_filters: int,
        kept: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if groups != 1:
            raise ValueError(f"groups is {groups}; filters of one layer mix, so it must be 1")
        if min(in_channels, n_filters) < 1:
            raise ValueError(f"in_channels {in_channels} and n_filters {n_filters} must be >= 1")
        if not 1 <= kept <= n_filters:
            raise ValueError(f"kept is {kept}; it must be 1 to n_filters = {n_filters}")
        self.in_channels, self.out_channels = in_channels, kept
        self.n_filters, self.kept, self.groups = n_filters, kept, groups
        self.kernel_size = _pair(kernel_size)
        self.stride, self.dilation = _pair(stride), _pair(dilation)
        self.padding = padding if isinstance(padding, str) else _pair(padding)
        if min(*self.kernel_size, *self.stride, *self.dilation) < 1:
            sizes = f"{self.kernel_size}, {self.stride} and {self.dilation}"
            raise ValueError(f"kernel_size, stride and dilation are {sizes}; each at least 1")
        if isinstance(padding, str) and padding not in ("valid", "same"):
            raise ValueError(f"padding is {padding!r}; a number, a pair, 'valid' or 'same'")
        self.weight = nn.Parameter(torch.empty(n_filters, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(n_filters)) if bias else None
        self.register_buffer("proxy_rows", torch.zeros(kept, n_filters))
        self.register_buffer("selected", torch.zeros(kept, dtype=torch.long))
        self.register_buffer("scores", torch.zeros(n_filters, dtype=torch.float64))
        self.register_buffer("refreshed", torch.zeros((), dtype=torch.bool))
        self.coupling: Coupling | None = None
        self._ready = False  # mirrors `refreshed`, so that forward need not ask the device
        self._onehot = False
        self._read_at: int | None = None  # version of `proxy_rows` that the mirrors are of
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights as :class:`torch.nn.Conv2d` does, at the compact fan-in."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound, generator=generator)

    @property
    def onehot(self) -> bool:
        """Whether every fused filter is exactly one filter, so that fusing is a look-up."""
        return self._onehot

    def fused(self) -> Tensor:
        """The fused filters ``(m, c, kh, kw)``, differentiable in ``weight``.

        Raises:
            RuntimeError: the layer was never refreshed.
        """
        return self._fuse(self.weight)

    def fused_bias(self) -> Tensor | None:
        """The fused bias ``(m,)``, or None.

        Raises:
            RuntimeError: the layer was never refreshed.
        """
        return None if self.bias is None else self._fuse(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w)`` to ``(n, m, h_out, w_out)``.

        Raises:
            RuntimeError: the layer was never refreshed.
        """
        return F.conv2d(
            x, self.fused(), self.fused_bias(), self.stride, self.padding, self.dilation
        )

    @torch.no_grad()
    def set_rows(self, rows: Tensor, selected: Tensor, scores: Tensor | None = None) -> None:
        """Put new mixing rows in place.

        Args:
            rows: ``(m, n)``; non-negative, each row sums to 1.
            selected: ``(m,)`` filter of each slot.
            scores: ``(n,)`` importance that led to the selection; the old ones stay if None.

        Raises:
            ValueError: a shape does not fit, a weight is negative, a row does not sum to 1, or
                there is no such filter.
        """
        if rows.shape != self.proxy_rows.shape or selected.shape != self.selected.shape:
            raise ValueError(
                f"rows {tuple(rows.shape)} and selected {tuple(selected.shape)} must be "
                f"{tuple(self.proxy_rows.shape)} and {tuple(self.selected.shape)}"
            )
        off = (rows.sum(1) - 1).abs().max().item()
        if not off < 1e-4 or rows.min() < 0:
            raise ValueError(
                f"mixing weights are at least {rows.min():.3g} and a row is off a sum of 1 by "
                f"{off:.3g}; they must not be negative, and rows sum to 1"
            )
        if selected.min() < 0 or selected.max() >= self.n_filters:
            raise ValueError(
                f"selected is {selected.tolist()}; filters are 0 to {self.n_filters - 1}"
            )
        self.proxy_rows.copy_(rows)
        self.selected.copy_(selected)
        if scores is not None:
            self.scores.copy_(scores)
        self.refreshed.fill_(True)
        self._read_state()

    def extra_repr(self) -> str:
        """Shape, and whether the rows have been set."""
        state = "refreshed" if self._ready else "never refreshed"
        return (
            f"{self.in_channels}, {self.n_filters} filters -> {self.kept}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, {state}"
        )

    def _fuse(self, values: Tensor) -> Tensor:
        if self._stale():
            self._read_state()
        if not self._ready and not values.is_meta:
            raise RuntimeError(
                "this FusedConv2d was never refreshed, so it has no fused filters yet: call "
                "lithe.dcff.refresh(model, epoch=0, epochs=...) first, or load a state_dict"
            )
        if self._onehot:
            return values.index_select(0, self.selected)
        flat = values.flatten(1) if values.dim() > 1 else values
        fused = self.proxy_rows.to(values.dtype) @ flat
        return fused.view(self.kept, *values.shape[1:])

    def _stale(self) -> bool:
        """Whether rows may have come by copy (a moving average, a checkpoint), not `set_rows`.

        Training trusts the mirrors once they are set: DDP writes buffers at every step, and each
        look would wait for the device.
        """
        return not self._ready or (not self.training and self._read_at != self._rows_version())

    def _rows_version(self) -> int | None:
        return None if self.proxy_rows.is_inference() else self.proxy_rows._version

    def _read_state(self) -> None:
        if self.refreshed.is_meta:
            return
        self._read_at = self._rows_version()
        self._ready = bool(self.refreshed)
        own = self.proxy_rows.gather(1, self.selected[:, None])
        others = self.proxy_rows.count_nonzero() - own.count_nonzero()
        self._onehot = self._ready and bool((own == 1).all()) and not bool(others)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._read_state()


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2:
        raise ValueError(f"{value!r} is not one number or a pair")
    return pair
