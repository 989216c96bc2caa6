"""What this machine can do at most: multiply-adds per second, and bytes per second.

Two loops in LLVM IR: independent chains of fused multiply-adds that never leave the registers,
and loads that run through a buffer. All that a kernel does lies below these two lines.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from lithe.onexn.kernels.isa import Isa, named

__all__ = ["LEVELS", "Roof", "roof"]

#: Buffers that stay in a level of a common cache hierarchy, in KiB.
LEVELS = {"L1": 16, "L2": 256, "L3": 4096, "memory": 131072}
_LOADS = 8  # vectors per turn of the load loop


@dataclass(frozen=True)
class Roof:
    """Measured limits.

    Attributes:
        isa: of the vectors used.
        gflops: 1e9 float32 operations per second by number of threads; a multiply-add is two.
        bandwidth: 1e9 bytes loaded per second by one thread, by level of the memory.
    """

    isa: str
    gflops: dict[int, float]
    bandwidth: dict[str, float]

    def attainable(self, intensity: float, level: str = "L2") -> float:
        """GFLOP/s of one thread that does ``intensity`` operations per byte loaded."""
        return min(self.gflops[1], intensity * self.bandwidth[level])


def roof(threads: tuple[int, ...] = (1, 2), seconds: float = 0.4, isa: str | None = None) -> Roof:
    """Measure the limits of this machine.

    Args:
        threads: numbers of threads to measure the multiply-adds with.
        seconds: spent on each number.
        isa: vectors to use: ``avx512``, ``avx2``, ``sse2`` or ``neon``; those of the kernels,
            which are the host's or LITHE_ISA's, if None.

    Returns:
        The fastest of many short runs each: by processor time with one thread, by the wall clock
        with more.

    Raises:
        ValueError: numbers that make no measurement, or more than the host has.
        lithe.onexn.kernels.isa.NativeUnavailable: llvmlite is missing.
    """
    if not threads or min(threads) < 1 or seconds <= 0:
        raise ValueError(f"threads={threads}, seconds={seconds}: nothing to measure")
    unit = named(isa)
    _, multiply_adds, loads = _compiled(unit)
    gflops = {count: _peak(multiply_adds, unit, count, seconds) for count in threads}
    share = seconds / len(LEVELS)
    bandwidth = {level: _stream(loads, unit, size, share) for level, size in LEVELS.items()}
    return Roof(unit.name, gflops, bandwidth)


def _peak(loop: Callable, unit: Isa, threads: int, seconds: float) -> float:
    turns = 20_000
    work = 2.0 * unit.lanes * _chains(unit) * turns
    sink = np.zeros((threads, 64), dtype=np.float32)  # a cache line and more for each thread

    def one(index: int) -> None:
        loop(sink[index].ctypes.data, turns)

    fastest, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        fastest = min(fastest, _alone(one) if threads == 1 else _together(one, threads))
    return threads * work / fastest


def _alone(one: Callable[[int], None]) -> float:
    start = time.thread_time_ns()
    one(0)
    return float(time.thread_time_ns() - start)


def _together(one: Callable[[int], None], threads: int) -> float:
    """Nanoseconds from the first start to the last end of threads that begin together."""
    spans: list[tuple[int, int]] = []
    gate = threading.Barrier(threads)

    def run(index: int) -> None:
        one(index)
        gate.wait()
        start = time.perf_counter_ns()
        for _ in range(8):
            one(index)
        spans.append((start, time.perf_counter_ns()))

    crew = [threading.Thread(target=run, args=(index,)) for index in range(threads)]
    for member in crew:
        member.start()
    for member in crew:
        member.join()
    return (max(end for _, end in spans) - min(start for start, _ in spans)) / 8


def _stream(loop: Callable, unit: Isa, kibibytes: int, seconds: float) -> float:
    """GB/s of loads from a buffer that is read again and again."""
    data = np.ones(kibibytes * 256 + 16, dtype=np.float32)
    data = data[-data.ctypes.data % 64 // 4 :][: kibibytes * 256]
    sink = np.zeros(_LOADS * unit.lanes, dtype=np.float32)
    rounds = max(1, 4_000_000 // data.nbytes)
    fastest, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end or not np.isfinite(fastest):
        start = time.thread_time_ns()
        loop(data.ctypes.data, data.size // (unit.lanes * _LOADS), rounds, sink.ctypes.data)
        fastest = min(fastest, time.thread_time_ns() - start)
    return rounds * data.nbytes / fastest


@cache
def _compiled(unit: Isa) -> tuple[Any, Callable, Callable]:
    """Both loops as functions; the first entry keeps the code alive."""
    from llvmlite import binding

    target = _target(binding)
    module = binding.parse_assembly(_source(unit))
    module.verify()
    engine = binding.create_mcjit_compiler(module, target)
    engine.finalize_object()
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    adds = ctypes.CFUNCTYPE(None, pointer, number)(engine.get_function_address("adds"))
    loads = ctypes.CFUNCTYPE(None, pointer, number, number, pointer)(
        engine.get_function_address("loads")
    )
    return engine, adds, loads


def _target(binding: Any) -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=2,
        jit=True,
    )


def _chains(unit: Isa) -> int:
    """Accumulators: enough to hide the latency, few enough to stay in registers."""
    return 3 * unit.registers // 4


def _source(unit: Isa) -> str:
    """The two loops as LLVM IR."""
    vector = f"<{unit.lanes} x float>"
    name = f"llvm.fma.v{unit.lanes}f32"
    declared = f"declare {vector} @{name}({vector}, {vector}, {vector})\n" if unit.fma else ""
    return declared + _adds(unit, vector, name) + _loads(vector, unit.lanes)


def _adds(unit: Isa, vector: str, fma: str) -> str:
    """Accumulators, each multiplied by one and added to, ``turns`` times."""
    phis, steps = [], []
    for k in range(_chains(unit)):
        phis.append(f"  %a{k} = phi {vector} [ %s{k}, %entry ], [ %b{k}, %loop ]")
        if unit.fma:
            steps.append(
                f"  %b{k} = call {vector} @{fma}({vector} %a{k}, {vector} %x, {vector} %y)"
            )
        else:
            steps.append(f"  %m{k} = fmul {vector} %a{k}, %x\n  %b{k} = fadd {vector} %m{k}, %y")
    starts = [
        f"  %p{k} = getelementptr float, ptr %sink, i64 {k % 8}\n"
        f"  %s{k} = load {vector}, ptr %p{k}, align 4"
        for k in range(_chains(unit))
    ]
    total, sums = "%b0", []
    for k in range(1, _chains(unit)):
        sums.append(f"  %t{k} = fadd {vector} {total}, %b{k}")
        total = f"%t{k}"
    lines = [
        "define void @adds(ptr %sink, i64 %turns) {",
        "entry:",
        *starts,
        # read from memory, so that nothing can be computed beforehand
        "  %q = getelementptr float, ptr %sink, i64 24",
        f"  %x = load {vector}, ptr %q, align 4",
        "  %r = getelementptr float, ptr %sink, i64 40",
        f"  %y = load {vector}, ptr %r, align 4",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]",
        *phis,
        *steps,
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %turns",
        "  br i1 %more, label %loop, label %done",
        "done:",
        *sums,
        f"  store {vector} {total}, ptr %sink, align 4",
        "  ret void",
        "}\n",
    ]
    return "\n".join(lines)


def _loads(vector: str, lanes: int) -> str:
    """Sum ``count`` times eight vectors, the whole ``rounds`` times."""
    phis = [
        f"  %a{k} = phi {vector} [ zeroinitializer, %outer ], [ %b{k}, %loop ]"
        for k in range(_LOADS)
    ]
    steps = []
    for k in range(_LOADS):
        steps += [
            f"  %e{k} = add i64 %base, {k}",
            f"  %p{k} = getelementptr {vector}, ptr %data, i64 %e{k}",
            f"  %v{k} = load volatile {vector}, ptr %p{k}, align 4",
            f"  %b{k} = fadd {vector} %a{k}, %v{k}",
        ]
    stores = [
        f"  %o{k} = getelementptr float, ptr %sink, i64 {lanes * k}\n"
        f"  store {vector} %b{k}, ptr %o{k}, align 4"
        for k in range(_LOADS)
    ]
    lines = [
        "define void @loads(ptr %data, i64 %count, i64 %rounds, ptr %sink) {",
        "entry:",
        "  br label %outer",
        "outer:",
        "  %j = phi i64 [ 0, %entry ], [ %after, %inner_done ]",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ 0, %outer ], [ %next, %loop ]",
        *phis,
        f"  %base = mul i64 %i, {_LOADS}",
        *steps,
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %count",
        "  br i1 %more, label %loop, label %inner_done",
        "inner_done:",
        *stores,
        "  %after = add i64 %j, 1",
        "  %again = icmp slt i64 %after, %rounds",
        "  br i1 %again, label %outer, label %done",
        "done:",
        "  ret void",
        "}\n",
    ]
    return "\n".join(lines)
