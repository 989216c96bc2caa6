"""The modules that a plan keeps whole: those of ``torch.nn``, and those that a room registers.

A leaf is written as its kind and the arguments of its constructor. Its tensors are in the
weights file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from lithe.export.errors import ExportError

__all__ = ["describe", "is_leaf", "rebuild", "register_module"]

_CONV = "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode"
_TRANSPOSED = (
    "in_channels out_channels kernel_size stride padding output_padding groups bias dilation "
    "padding_mode"
)
_BATCH_NORM = "num_features eps momentum affine track_running_stats"
_MAX_POOL = "kernel_size stride padding dilation return_indices ceil_mode"
_AVG_POOL = "kernel_size stride padding ceil_mode count_include_pad"
_RNN = "input_size hidden_size num_layers bias batch_first dropout bidirectional"

#: Class of ``torch.nn`` -> arguments of its constructor, which it keeps as attributes.
_ARGUMENTS: dict[str, str] = {
    **{f"Conv{d}d": _CONV for d in (1, 2, 3)},
    **{f"ConvTranspose{d}d": _TRANSPOSED for d in (1, 2, 3)},
    **{f"BatchNorm{d}d": _BATCH_NORM for d in (1, 2, 3)},
    **{f"InstanceNorm{d}d": _BATCH_NORM for d in (1, 2, 3)},
    **{f"MaxPool{d}d": _MAX_POOL for d in (1, 2, 3)},
    "AvgPool1d": _AVG_POOL,
    **{f"AvgPool{d}d": f"{_AVG_POOL} divisor_override" for d in (2, 3)},
    **{f"AdaptiveAvgPool{d}d": "output_size" for d in (1, 2, 3)},
    **{f"AdaptiveMaxPool{d}d": "output_size return_indices" for d in (1, 2, 3)},
    **{f"ZeroPad{d}d": "padding" for d in (1, 2)},
    **{f"ReflectionPad{d}d": "padding" for d in (1, 2)},
    **{f"ReplicationPad{d}d": "padding" for d in (1, 2)},
    **{f"ConstantPad{d}d": "padding value" for d in (1, 2)},
    **{f"Dropout{d}": "p inplace" for d in ("", "1d", "2d", "3d")},
    **dict.fromkeys(("ReLU", "ReLU6", "SELU", "SiLU", "Mish"), "inplace"),
    **dict.fromkeys(("Hardswish", "Hardsigmoid"), "inplace"),
    **dict.fromkeys(("Identity", "Sigmoid", "Tanh", "Softsign", "LogSigmoid"), ""),
    **dict.fromkeys(("Softmax", "LogSoftmax"), "dim"),
    "LeakyReLU": "negative_slope inplace",
    "ELU": "alpha inplace",
    "PReLU": "num_parameters",
    "GELU": "approximate",
    "GLU": "dim",
    "Hardtanh": "min_val max_val inplace",
    "Softplus": "beta threshold",
    "Linear": "in_features out_features bias",
    "Embedding": "num_embeddings embedding_dim padding_idx max_norm norm_type",
    "GroupNorm": "num_groups num_channels eps affine",
    "LayerNorm": "normalized_shape eps elementwise_affine bias",
    "RMSNorm": "normalized_shape eps elementwise_affine",
    "LocalResponseNorm": "size alpha beta k",
    "Flatten": "start_dim end_dim",
    "Unflatten": "dim unflattened_size",
    "PixelShuffle": "upscale_factor",
    "PixelUnshuffle": "downscale_factor",
    "ChannelShuffle": "groups",
    "Upsample": "size scale_factor mode align_corners recompute_scale_factor",
    "GRU": _RNN,
    "LSTM": f"{_RNN} proj_size",
    "MultiheadAttention": "embed_dim num_heads dropout bias batch_first kdim vdim add_zero_attn",
}  # fmt: skip

_CLASSES: dict[str, type[nn.Module]] = {name: getattr(nn, name) for name in _ARGUMENTS}
_registered: dict[str, type[nn.Module]] = {}

ModuleT = TypeVar("ModuleT", bound=type[nn.Module])


def register_module(kind: str) -> Callable[[ModuleT], ModuleT]:
    """Let plans keep a module class whole. A class decorator.

    The class needs ``export_config(self) -> dict`` of JSON values, and a class method
    ``from_config(config) -> module`` that makes a module whose tensors have the right names,
    shapes and dtypes; their values are then replaced by those stored. Values in a config come
    from a file: ``from_config`` has to refuse what makes no sense.

    Args:
        kind: the name in the plan, ``"onexn.PackedConv2d"``: it outlives the class's place.

    Raises:
        ValueError: the kind has no dot, or is taken by another class.
        TypeError: one of the two methods is missing.
    """
    if "." not in kind:
        raise ValueError(f"kind {kind!r} needs a dot: '<room>.<Class>'")

    def add(module_class: ModuleT) -> ModuleT:
        for method in ("export_config", "from_config"):
            if not callable(getattr(module_class, method, None)):
                raise TypeError(f"{module_class.__name__} needs a method {method}")
        known = _registered.setdefault(kind, module_class)
        if known is not module_class and known.__qualname__ != module_class.__qualname__:
            raise ValueError(f"kind {kind!r} is taken by {known.__module__}.{known.__qualname__}")
        _registered[kind] = module_class  # the same class again after a module reload
        return module_class

    return add


def is_leaf(module: nn.Module) -> bool:
    """Is the module kept whole, rather than traced through?"""
    return _kind(module) is not None


def describe(name: str, module: nn.Module) -> tuple[str, dict[str, Any]]:
    """Give the kind and the configuration of a leaf.

    Args:
        name: its place in the model, for messages.
        module: the leaf.

    Raises:
        ExportError: the class is neither in the list nor registered, or it carries hooks, which
            a plan cannot hold.
    """
    kind = _kind(module)
    if kind is None:
        raise ExportError(
            f"module {name!r} is a {type(module).__module__}.{type(module).__qualname__}, which "
            "cannot be saved: register it with lithe.export.register_module"
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise ExportError(f"module {name!r} has forward hooks, which a plan cannot hold")
    if kind in _registered:
        return kind, module.export_config()
    return kind, {key: _argument(module, key) for key in _ARGUMENTS[kind].split()}


def rebuild(name: str, kind: str, config: dict[str, Any]) -> nn.Module:
    """Make a leaf anew, its tensors without values where it is one of ``torch.nn``.

    Raises:
        ExportError: unknown kind, or arguments the constructor refuses.
    """
    try:
        if kind in _registered:
            return _registered[kind].from_config(config)
        if kind not in _CLASSES:
            raise ExportError(
                f"module {name!r}: unknown kind {kind!r}; import the package that registers it"
            )
        if set(config) != set(_ARGUMENTS[kind].split()):
            raise ExportError(f"module {name!r}: {kind} takes {_ARGUMENTS[kind].split()}")
        with torch.device("meta"):  # no memory, and no draw from the global generator
            return _CLASSES[kind](**config)
    except ExportError:
        raise
    except Exception as error:  # whatever a constructor makes of values from a file
        raise ExportError(f"module {name!r}: {kind}({config}) cannot be made: {error}") from error


def _kind(module: nn.Module) -> str | None:
    for kind, module_class in _registered.items():
        if type(module) is module_class:
            return kind
    name = type(module).__name__
    return name if _CLASSES.get(name) is type(module) else None


def _argument(module: nn.Module, key: str) -> Any:
    if key == "bias" and not isinstance(module, nn.RNNBase):
        tensor = "in_proj_bias" if isinstance(module, nn.MultiheadAttention) else "bias"
        return getattr(module, tensor) is not None
    return getattr(module, key)
