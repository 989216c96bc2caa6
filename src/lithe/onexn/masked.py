"""Layers whose mask is held while they are trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.export import register_module
from lithe.onexn.grid import Grid

__all__ = ["MaskedConv2d", "MaskedLinear", "finalise", "hold", "masked_layers"]


class _Masked:
    """What masked layers share: ``mask``, ``order`` and ``n`` beside the weight.

    The pass uses ``where(mask, weight, 0)``, so a masked weight gets no gradient. Stored as zero
    it then stays exactly zero under momentum and weight decay; and whatever it is stored as, it
    is never seen (1xN spec A2).
    """

    ARGUMENTS: tuple[str, ...]

    def _register(self, n: int) -> None:
        self.n = Grid(self.weight.shape, n, groups=getattr(self, "groups", 1)).n
        self.register_buffer("mask", torch.ones(self.weight.shape, dtype=torch.bool))
        self.register_buffer("order", torch.arange(len(self.weight)))

    @classmethod
    def of(
        cls, layer: nn.Module, mask: Tensor, n: int, order: Tensor | None = None
    ) -> nn.Conv2d | nn.Linear:
        """A masked layer with the parameters of ``layer``; dropped weights are set to zero.

        Args:
            layer: ``nn.Conv2d`` or ``nn.Linear``; its parameters are taken over, not copied.
            mask: shaped as its weight, bool.
            n: filters per block.
            order: ``(o,)``, the filter at each place of the block grid; natural if None.

        Raises:
            TypeError: the mask is not of bools.
            ValueError: the mask has another shape, or ``n`` or ``order`` does not fit.
        """
        if mask.dtype is not torch.bool:
            raise TypeError(f"mask is {mask.dtype}; it must be torch.bool")
        if mask.shape != layer.weight.shape:
            shapes = f"{tuple(mask.shape)}, the weight {tuple(layer.weight.shape)}"
            raise ValueError(f"mask has shape {shapes}")
        order = Grid(mask.shape, n, order, getattr(layer, "groups", 1)).order
        config = {key: getattr(layer, key) for key in cls.ARGUMENTS}
        with torch.device("meta"):
            masked = cls(**config | {"bias": layer.bias is not None}, n=n)
        masked.weight, masked.bias = layer.weight, layer.bias
        masked.mask = mask.to(layer.weight.device, copy=True)
        masked.order = order.to(layer.weight.device)
        with torch.no_grad():
            masked.weight.masked_fill_(~masked.mask, 0)
        return masked.train(layer.training)

    @property
    def masked_weight(self) -> Tensor:
        """The weight that is used: dropped entries are zero, without gradient."""
        return torch.where(self.mask, self.weight, 0.0)

    @property
    def grid(self) -> Grid:
        """The block grid."""
        return Grid(self.weight.shape, self.n, self.order, getattr(self, "groups", 1))

    def plain(self) -> nn.Conv2d | nn.Linear:
        """An ordinary layer with a copy of the masked weight."""
        config = {key: getattr(self, key) for key in self.ARGUMENTS}
        with torch.device("meta"):
            layer = self.PLAIN(**config | {"bias": self.bias is not None})
        trainable = self.weight.requires_grad
        layer.weight = nn.Parameter(self.masked_weight.detach().clone(), trainable)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach().clone(), self.bias.requires_grad)
        return layer.train(self.training)

    def export_config(self) -> dict[str, Any]:
        """Arguments of the constructor, as JSON values."""
        config = {key: getattr(self, key) for key in self.ARGUMENTS}
        return config | {"bias": self.bias is not None, "n": self.n}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> nn.Module:
        """A layer of the right shapes whose tensors have no values yet."""
        with torch.device("meta"):
            return cls(**config)

    def extra_repr(self) -> str:
        """As of the ordinary layer, and ``n``."""
        return f"{super().extra_repr()}, n={self.n}"


@register_module("onexn.MaskedConv2d")
class MaskedConv2d(_Masked, nn.Conv2d):
    """A convolution of which only the weights under a mask exist.

    Arguments are those of ``torch.nn.Conv2d``, and:

    Args:
        n: filters per block.

    Attributes:
        mask: True for weights that stay, shaped as the weight. A buffer.
        order: filter at each place of the block grid, ``(o,)``. A buffer.
    """

    PLAIN = nn.Conv2d
    ARGUMENTS = (
        *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"),
        *("groups", "padding_mode"),
    )

    def __init__(self, *args: Any, n: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._register(n)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(batch, i, h, w)`` with the masked weight."""
        return self._conv_forward(x, self.masked_weight, self.bias)


@register_module("onexn.MaskedLinear")
class MaskedLinear(_Masked, nn.Linear):
    """A linear layer of which only the weights under a mask exist; see :class:`MaskedConv2d`."""

    PLAIN = nn.Linear
    ARGUMENTS = ("in_features", "out_features")

    def __init__(self, *args: Any, n: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._register(n)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., i)`` to ``(..., o)`` with the masked weight."""
        return F.linear(x, self.masked_weight, self.bias)


def masked_layers(model: nn.Module) -> dict[str, MaskedConv2d | MaskedLinear]:
    """The masked layers of a model by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, _Masked)}


@torch.no_grad()
def hold(model: nn.Module) -> None:
    """Set the stored value of every masked weight to zero again.

    Only needed after an optimiser has moved them with momentum from before the mask, or weights
    from elsewhere were loaded; the model's outputs do not change.
    """
    for layer in masked_layers(model).values():
        layer.weight.masked_fill_(~layer.mask, 0)


def finalise(model: nn.Module) -> nn.Module:
    """A copy of a pruned model with ordinary layers, zeros written into their weights.

    Args:
        model: from :func:`lithe.onexn.prune`; left as it is.

    Returns:
        The same function, to the bit, without masked layers.

    Raises:
        ValueError: the model has no masked layer.
    """
    layers = masked_layers(model)
    if not layers:
        raise ValueError(f"{type(model).__name__} has no masked layer; call onexn.prune first")
    # the memo makes deepcopy put the ordinary layer wherever the masked one is referred to
    return copy.deepcopy(model, memo={id(layer): layer.plain() for layer in layers.values()})
