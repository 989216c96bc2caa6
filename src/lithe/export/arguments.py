"""Arguments of graph nodes as JSON, and back.

Plain values stand for themselves; all else is an object with one key that begins with ``$``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import torch
from torch.fx import Node

from lithe.export.errors import ExportError

__all__ = ["decode", "encode"]

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8,
        torch.int16, torch.int32, torch.int64, torch.bool,
    )
}  # fmt: skip
_FORMATS = {
    "contiguous_format": torch.contiguous_format,
    "preserve_format": torch.preserve_format,
    "channels_last": torch.channels_last,
}
_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode(value: Any, name: Callable[[Node], str] = attrgetter("name")) -> Any:
    """Turn an argument into JSON.

    Args:
        value: what a node of the graph holds.
        name: gives the name of a node that the argument refers to.

    Raises:
        ExportError: a kind of value that a plan cannot hold, such as a tensor or an object.
    """
    if isinstance(value, Node):
        return {"$node": name(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, list):
        return [encode(item, name) for item in value]
    if isinstance(value, tuple):  # torch.Size too
        return {"$tuple": [encode(item, name) for item in value]}
    if isinstance(value, Mapping):
        return {"$dict": {_text(key): encode(item, name) for key, item in value.items()}}
    if isinstance(value, slice):
        return {"$slice": [encode(part, name) for part in (value.start, value.stop, value.step)]}
    return _encode_torch(value)


def decode(value: Any, node: Callable[[str], Node]) -> Any:
    """Turn JSON back into an argument.

    Args:
        value: what :func:`encode` gave.
        node: gives the node of a name that came earlier in the plan.

    Raises:
        ExportError: an object of another form.
    """
    if isinstance(value, list):
        return [decode(item, node) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ExportError(f"argument {value!r} is not of a known form")
    [(form, inner)] = value.items()
    try:
        return _FORMS[form](inner, lambda item: decode(item, node), node)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, ExportError):
            raise
        raise ExportError(f"argument {value!r} is not of a known form") from error


_FORMS: dict[str, Callable[[Any, Callable[[Any], Any], Callable[[str], Node]], Any]] = {
    "$node": lambda inner, _, node: node(inner),
    "$float": lambda inner, _, __: _FLOATS[inner],
    "$tuple": lambda inner, inside, _: tuple(inside(item) for item in _list(inner)),
    "$dict": lambda inner, inside, _: {_text(key): inside(item) for key, item in inner.items()},
    "$slice": lambda inner, inside, _: slice(*(inside(item) for item in _list(inner, 3))),
    "$ellipsis": lambda _, __, ___: ...,
    "$dtype": lambda inner, _, __: _DTYPES[inner],
    "$memory_format": lambda inner, _, __: _FORMATS[inner],
    "$device": lambda inner, _, __: torch.device(_text(inner)),
}


def _encode_torch(value: Any) -> Any:
    if value is ...:
        return {"$ellipsis": None}
    for form, table in (("$dtype", _DTYPES), ("$memory_format", _FORMATS)):
        for name, known in table.items():
            if value is known:
                return {form: name}
    if isinstance(value, torch.device):
        return {"$device": str(value)}
    raise ExportError(f"an argument of type {type(value).__qualname__} cannot be saved: {value!r}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ExportError(f"expected a string, got {value!r}")
    return value


def _list(value: Any, length: int | None = None) -> list:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise ExportError(f"expected a list of {length or 'any number of'} values, got {value!r}")
    return value
