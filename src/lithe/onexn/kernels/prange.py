"""The numba driver; importing it costs the time that numba takes."""

from __future__ import annotations

import ctypes
import os
import threading

import numba
import torch
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


def _threads(function, steps, count, rest, threads):
    for thread in prange(threads):
        _call(function, steps, count, thread, rest)


def _compiled():
    kind = "void(intp, intp, intp, intp, intp)"
    try:
        return njit(kind, parallel=True, cache=True)(_threads)
    except RuntimeError:  # no folder that numba may write to: compiled at every start
        return njit(kind, parallel=True)(_threads)


_loop = _compiled()


_TURN = threading.Lock()  # numba's threads serve one caller at a time
_HOME = os.getpid()
_PLAIN = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)


def drive(function: int, steps: int, count: int, rest: int, threads: int) -> None:
    """Run ``function`` on so many threads; on fewer, one after another, if numba has fewer.

    In a forked child there are no threads any more, and OpenMP ends a process that asks for them:
    there one thread claims all the tasks. Torch shares the OpenMP runtime and would go on with the
    number of threads that numba sets, so it is put back.
    """
    if os.getpid() != _HOME:
        _PLAIN(function)(steps, count, 0, rest)
        return
    with _TURN:
        before, torchs = numba.get_num_threads(), torch.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        try:
            _loop(function, steps, count, rest, threads)
        finally:
            numba.set_num_threads(before)
            if torch.get_num_threads() != torchs:
                torch.set_num_threads(torchs)
