"""The numba driver; importing it costs the time that numba takes."""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

__all__ = ["drive"]


@intrinsic
def _call(context, function, steps, count, thread, rest):
    """Call the function at an address with four 64-bit arguments."""
    signature = types.void(*[types.intp] * 5)

    def write(context, builder, signature, arguments):
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * 4)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(function, arguments[1:])
        return context.get_dummy_value()

    return signature, write


@njit("void(intp, intp, intp, intp, intp)", parallel=True, cache=True)
def _loop(function, steps, count, rest, threads):
    for thread in prange(threads):
        _call(function, steps, count, thread, rest)


def drive(function: int, steps: int, count: int, rest: int, threads: int) -> None:
    """Run ``function`` on so many threads; on fewer, one after another, if numba has fewer."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        _loop(function, steps, count, rest, threads)
    finally:
        numba.set_num_threads(before)
