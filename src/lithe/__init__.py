"""Lithe: a book you can run, and the tested package behind it.

Rooms and ground floor load on first use: ``import lithe`` is instant, ``lithe.dcff`` imports torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

try:
    __version__ = version("lithe")
except PackageNotFoundError:  # a source tree on the path, never installed
    __version__ = "0+unknown"

_PARTS = (
    "arm",
    "channels",
    "cost",
    "data",
    "dcff",
    "export",
    "figures",
    "ledger",
    "onexn",
    "profiles",
    "pssnet",
    "stats",
    "syntalker",
    "training",
    "zoo",
)

__all__ = ["__version__", *_PARTS]


def __getattr__(name: str) -> ModuleType:
    if name in _PARTS:
        return import_module(f"lithe.{name}")
    raise AttributeError(f"lithe has no part {name!r}; it has {', '.join(_PARTS)}")


def __dir__() -> list[str]:
    return sorted(__all__)
