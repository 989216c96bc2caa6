"""A program compiled for this processor, and run in one native call."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from lithe.onexn.kernels.binding import bind, scratch_floats
from lithe.onexn.kernels.compiler import Compiler, compiler
from lithe.onexn.kernels.isa import Isa, named
from lithe.onexn.kernels.memory import address, aligned
from lithe.onexn.kernels.site import Launch, Site
from lithe.onexn.kernels.supports import check_program
from lithe.onexn.kernels.tasks import CLAIMED, DONE, STEP, alone, together
from lithe.onexn.program import Foreign, Plane, Program
from lithe.training.progress import watched

__all__ = ["Compiled", "NativeProgram"]


@dataclass(frozen=True)
class Compiled:
    """How many objects were built, and how many came from the cache on disk."""

    built: int
    loaded: int


class NativeProgram:
    """A program bound to compiled kernels and to memory of its own.

    Args:
        program: what to compute.
        batch: images per call.
        threads: that share each step.
        isa: instruction set by name; None for LITHE_ISA, or the host's own.

    Raises:
        NativeUnavailable: there is no compiler or no kernel for this machine.
        ValueError: the program cannot run natively, and why.

    Attributes:
        compile_seconds: from the program to kernels that can be called.
        compiled: how many objects were built or loaded for it.
    """

    def __init__(
        self, program: Program, batch: int = 1, threads: int = 1, isa: str | None = None
    ) -> None:
        for name, value in (("batch", batch), ("threads", threads)):
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
        begin, own = time.perf_counter(), named(isa)
        check_program(program, own)
        self.program, self.batch, self.threads = program, batch, threads
        self._lock = threading.Lock()
        self._arena = aligned(batch * program.size)
        self._build(own)
        self.compile_seconds = time.perf_counter() - begin

    def _build(self, isa: Isa) -> None:
        from tqdm import tqdm

        program, batch, threads = self.program, self.batch, self.threads
        need = max((scratch_floats(step, batch, threads, isa) for step in program.steps), default=0)
        self._scratch, kernels = aligned(need), compiler(isa)
        before = kernels.built, kernels.loaded
        site = Site(program, kernels, self._arena, self._scratch, batch, threads)
        self._store = site.store
        self._segments: list[_Segment | Foreign] = []
        quiet = not watched(None)
        steps = tqdm(program.steps, "compiling kernels", disable=quiet, leave=False, delay=1.0)
        for foreign, group in groupby(steps, key=lambda step: isinstance(step, Foreign)):
            if foreign:
                self._segments += list(group)
            else:
                launches = [launch for step in group for launch in bind(step, site)]
                self._segments.append(_Segment(launches, kernels, threads))
        self.compiled = Compiled(kernels.built - before[0], kernels.loaded - before[1])

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of a batch.

        Safe to call from several threads; the calls take turns.

        Args:
            inputs: one per plane of ``program.inputs``, ``(batch, c, h, w)``, float32, any layout.

        Returns:
            One tensor per plane of ``program.outputs``, newly allocated.

        Raises:
            TypeError: an input is not a float32 tensor of the CPU.
            ValueError: number or shape of the inputs.
        """
        self._check(inputs)
        with self._lock, torch.no_grad():
            for plane, value in zip(self.program.inputs, inputs):
                self._view(plane).copy_(value)
            for segment in self._segments:
                if isinstance(segment, Foreign):
                    views = [self._view(plane) for plane in segment.inputs]
                    target = self._view(segment.y)
                    target.copy_(segment.call(*views).reshape(target.shape))
                else:
                    segment.run()
            return tuple(self._view(plane).clone() for plane in self.program.outputs)

    def launch(self) -> None:
        """Compute on what lies in the arena: the last inputs, unless a step wrote over them.

        For timing a step without the copies in and out, which a network pays once.

        Raises:
            ValueError: a step is computed by torch, so that there is no one native call.
        """
        if any(isinstance(segment, Foreign) for segment in self._segments):
            raise ValueError("a program with steps of torch has no single native call; use run")
        with self._lock:
            for segment in self._segments:
                segment.run()

    def _view(self, plane: Plane) -> Tensor:
        size = plane.height * plane.width
        start = self.program.offsets[plane.buffer] + plane.start * size
        flat = torch.from_numpy(self._arena).reshape(self.batch, -1)
        own = flat[:, start : start + plane.channels * size]
        return own.unflatten(1, (plane.channels, plane.height, plane.width))

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs) != len(self.program.inputs):
            raise ValueError(f"{len(inputs)} inputs, the program has {len(self.program.inputs)}")
        for plane, value in zip(self.program.inputs, inputs):
            shape = (self.batch, plane.channels, plane.height, plane.width)
            if not isinstance(value, Tensor) or value.dtype is not torch.float32:
                kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(f"input is {kind}; it must be a float32 tensor")
            if value.device.type != "cpu":
                raise TypeError(f"input is on {value.device}; native programs run on the CPU")
            if value.shape != shape:
                raise ValueError(f"input of shape {tuple(value.shape)}; the program takes {shape}")


class _Segment:
    """Launches in a row, run in one native call."""

    def __init__(self, launches: list[Launch], kernels: Compiler, threads: int) -> None:
        self._steps = aligned(2 * STEP * len(launches)).view(np.int64).reshape(-1, STEP)
        for line, launch in zip(self._steps, launches):
            line[:3] = launch.function, launch.arguments, launch.tasks
        self._call = (address(self._steps), len(launches))
        self._alone = _ALONE(kernels.function(alone)) if threads == 1 else None
        self._shared = kernels.function(together), threads
        if threads > 1:
            self._drive = _driver()

    def run(self) -> None:
        if self._alone is not None:
            self._alone(*self._call)
            return
        self._steps[:, CLAIMED] = self._steps[:, DONE] = 0
        function, threads = self._shared
        self._drive(function, *self._call, _rest(), threads)


_ALONE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)


@cache
def _driver() -> Callable[..., None]:
    """The driver of threads, loaded when first needed: numba takes long to import.

    Loading it starts numba's threads, and torch, on the same OpenMP runtime, would take on their
    number.
    """
    threads = torch.get_num_threads()
    from lithe.onexn.kernels.prange import drive

    torch.set_num_threads(threads)
    return drive


@cache
def _rest() -> int:
    """Address of the function that gives the processor to another thread."""
    if sys.platform == "win32":
        call = ctypes.windll.kernel32.SwitchToThread
    else:
        call = ctypes.CDLL(None).sched_yield
    return ctypes.cast(call, ctypes.c_void_p).value or 0
