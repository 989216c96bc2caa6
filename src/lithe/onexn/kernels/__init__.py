"""Native kernels of packed programs: LLVM IR written in Python, compiled for this processor."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lithe.onexn.kernels.isa import Isa, NativeUnavailable, aarch64, host
from lithe.onexn.kernels.supports import supports

if TYPE_CHECKING:
    from lithe.onexn.kernels.listing import inner_loop
    from lithe.onexn.kernels.native import NativeProgram

__all__ = [
    "Isa",
    "NativeProgram",
    "NativeUnavailable",
    "aarch64",
    "host",
    "inner_loop",
    "supports",
]

_COMPILED = {"NativeProgram": "native", "inner_loop": "listing"}


def __getattr__(name: str) -> Any:
    """What needs llvmlite is imported when asked for, and says so where it is missing."""
    if name not in _COMPILED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    host()
    return getattr(import_module(f"{__name__}.{_COMPILED[name]}"), name)
