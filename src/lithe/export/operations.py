"""The functions and tensor methods that a plan may call, each under one name.

Nothing outside these tables is ever looked up: a plan is data from outside, and a name in it is
a key of a table, never a path to import. All of them are pure tensor arithmetic or shape work.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from lithe.export.errors import ExportError

__all__ = ["ATTRIBUTES", "FUNCTIONS", "METHODS", "function", "function_name"]

_OPERATOR = """
    abs add and_ eq floordiv ge getitem gt iadd imul invert isub itruediv le lt matmul mod mul ne
    neg not_ or_ pos pow sub truediv xor
"""

_TORCH = """
    abs add addmm all amax amin any arange argmax argmin argsort as_tensor baddbmm bmm bucketize
    cat ceil channel_shuffle chunk clamp clone concat conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d cos cosine_similarity cross cumsum cumprod diff div einsum empty_like eq erf
    exp expm1 eye flatten flip floor floor_divide full full_like gather ge gt hstack
    index_select isfinite isnan le lerp linspace log log1p log2 logical_and logical_not logical_or
    logsumexp lt masked_select matmul max maximum mean meshgrid min minimum movedim mul
    narrow ne neg norm numel ones ones_like permute pixel_shuffle pixel_unshuffle pow prod
    reciprocal relu remainder repeat_interleave reshape rms_norm roll round rsqrt select sigmoid
    sign sin softmax log_softmax sort split sqrt square squeeze stack std sub sum swapaxes t take
    take_along_dim tan tanh tensordot tile topk transpose tril triu true_divide
    unbind unflatten unsqueeze var vstack where zeros zeros_like
"""

_FUNCTIONAL = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d alpha_dropout avg_pool1d avg_pool2d avg_pool3d batch_norm celu conv1d
    conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d dropout dropout1d dropout2d
    dropout3d elu embedding fold gelu glu grid_sample affine_grid group_norm hardsigmoid hardswish
    hardtanh instance_norm interpolate layer_norm leaky_relu linear local_response_norm
    log_softmax logsigmoid lp_pool2d max_pool1d max_pool2d max_pool3d mish normalize one_hot pad
    pixel_shuffle pixel_unshuffle prelu relu relu6 rms_norm scaled_dot_product_attention
    selu sigmoid silu softmax softmin softplus softsign tanh tanhshrink threshold unfold
"""

_METHODS = """
    abs add add_ all amax amin any argmax argmin bmm bool chunk clamp clamp_ clone contiguous cos
    cumsum detach dim div div_ double eq exp expand expand_as flatten flip float floor gather ge
    gt half index_select int le log long lt masked_fill masked_fill_ matmul max mean min movedim
    mul mul_ narrow ne neg new_full new_ones new_zeros norm numel permute pow prod reciprocal
    relu relu_ repeat repeat_interleave reshape reshape_as roll round rsqrt select sigmoid
    sigmoid_ sign sin size softmax log_softmax sort split sqrt square squeeze std sub sub_ sum
    swapaxes t tanh tanh_ tile to topk transpose tril triu type_as unbind unflatten unfold
    unsqueeze var view view_as where
"""

#: Attributes of a tensor that ``getattr`` may read.
ATTRIBUTES = frozenset({"T", "device", "dtype", "mT", "ndim", "shape"})

METHODS = frozenset(_METHODS.split())

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"operator.{name}": getattr(operator, name) for name in _OPERATOR.split()},
    **{f"torch.{name}": getattr(torch, name) for name in _TORCH.split()},
    **{f"torch.nn.functional.{name}": getattr(F, name) for name in _FUNCTIONAL.split()},
    "builtins.getattr": getattr,  # ``x.shape``; the attribute is one of ATTRIBUTES
    "torch._assert": torch._assert,  # vision transformers check their input size with it
}

_NAMES: dict[Any, str] = {called: name for name, called in reversed(FUNCTIONS.items())}


def function(name: str) -> Callable[..., Any]:
    """Give the function of that name.

    Raises:
        ExportError: it is not one of those a plan may call.
    """
    if name not in FUNCTIONS:
        raise ExportError(f"unknown function {name!r}: a plan may call only lithe's own list")
    return FUNCTIONS[name]


def function_name(called: Callable[..., Any]) -> str:
    """Give the name under which a plan calls a function.

    Raises:
        ExportError: the function is not one of those a plan may call.
    """
    try:
        return _NAMES[called]
    except (KeyError, TypeError) as error:
        module, name = getattr(called, "__module__", "?"), getattr(called, "__name__", called)
        raise ExportError(
            f"function {module}.{name} cannot be saved: only the torch, torch.nn.functional and "
            "operator functions in lithe.export.operations can; put it into a module and "
            "register that with lithe.export.register_module"
        ) from error
