"""Which operations of torch behave alike, as far as channels are concerned.

Functions are recognised by identity and methods by name, so that a function of the user's
own that happens to be called ``relu`` is not mistaken for torch's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["AXIS", "MAXIMA", "POINTWISE", "REARRANGE", "REDUCE", "SPATIAL", "Key"]

Key = Callable[..., Any] | str | type  # a function, a method's name or a module's class


def _everywhere(names: str, inplace: bool = False) -> set[Key]:
    keys: set[Key] = set()
    for name in names.split():
        for form in (name, name + "_") if inplace else (name,):
            keys |= {f for f in (getattr(s, form, None) for s in (torch, F, operator)) if f}
            if hasattr(torch.Tensor, form):
                keys.add(form)
    return keys


def _classes(names: str) -> set[Key]:
    return {getattr(nn, name) for name in names.split()}


def _dimensions(stems: Iterable[str]) -> str:
    return " ".join(f"{stem}{d}d" for stem in stems for d in (1, 2, 3))


# Element by element, with broadcasting: channel c of the result comes from channel c.
POINTWISE = (
    _everywhere(
        "add sub mul div true_divide floor_divide divide multiply subtract pow neg abs exp log"
        " sqrt rsqrt sigmoid tanh relu relu6 elu selu celu leaky_relu rrelu hardtanh"
        " clamp clip clamp_min clamp_max square reciprocal sin cos erf sign round floor ceil"
        " dropout alpha_dropout feature_dropout threshold nan_to_num lerp requires_grad",
        inplace=True,
    )
    | _everywhere(
        "silu gelu hardswish hardsigmoid hardshrink softplus softsign mish logsigmoid tanhshrink"
        " softshrink maximum minimum where dropout1d dropout2d dropout3d"
        " to float half double bfloat16 type type_as zeros_like ones_like truediv iadd isub imul"
        " itruediv gt lt ge le eq ne rsub"
    )
    | _classes(
        "ReLU ReLU6 ELU SELU CELU LeakyReLU RReLU Hardtanh Hardswish Hardsigmoid Hardshrink"
        " SiLU GELU Mish Sigmoid Tanh Softplus Softsign Softshrink LogSigmoid Tanhshrink Threshold"
        " Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout Identity"
    )
)

# Windows over the last 1, 2 or 3 axes, every channel by itself; the value is their number
# (0: all axes after the second).
_POOLS = ("max_pool", "avg_pool", "lp_pool", "adaptive_avg_pool", "adaptive_max_pool")
_POOL_CLASSES = ("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool")
_PADS = ("ReflectionPad", "ReplicationPad", "CircularPad")
SPATIAL: dict[Key, int] = {
    **{key: d for d in (1, 2, 3) for pool in _POOLS for key in _everywhere(f"{pool}{d}d")},
    **{getattr(nn, f"{stem}{d}d"): d for d in (1, 2, 3) for stem in (*_POOL_CLASSES, *_PADS)},
    **dict.fromkeys(_everywhere("interpolate upsample"), 0),
    **dict.fromkeys(_classes("Upsample UpsamplingNearest2d UpsamplingBilinear2d"), 0),
}

# Tensors whose elements are moved, copied or left out, never changed.
REARRANGE = _everywhere(
    "cat concat concatenate stack chunk split tensor_split unbind narrow select index_select flip"
    " roll permute transpose t swapaxes swapdims movedim moveaxis view reshape flatten unflatten"
    " squeeze unsqueeze expand expand_as view_as reshape_as repeat repeat_interleave tile"
    " pixel_shuffle pixel_unshuffle channel_shuffle getitem split_with_sizes contiguous clone"
    " detach"
) | _classes("Flatten Unflatten PixelShuffle PixelUnshuffle ChannelShuffle")

# Over some axes, to one value each; blind to the order along them.
REDUCE = _everywhere("mean sum amax amin std var prod logsumexp")
# The same, but with indices beside the values, or in two-argument form.
MAXIMA = _everywhere("max min")
# Along one axis, shape kept, blind to the order along it.
AXIS = _everywhere("softmax log_softmax softmin normalize") | _classes(
    "Softmax LogSoftmax Softmin Softmax2d"
)
