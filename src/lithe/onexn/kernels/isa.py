"""What a processor offers to the kernels: lanes, registers, and LLVM's name for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

__all__ = ["Isa", "NativeUnavailable", "aarch64", "host", "named"]

X86_64 = "x86_64-unknown-linux-gnu"
AARCH64 = "aarch64-unknown-linux-gnu"


class NativeUnavailable(RuntimeError):
    """Native kernels cannot be had on this machine."""


@dataclass(frozen=True)
class Isa:
    """An instruction set, as the generator of kernels sees it.

    Attributes:
        name: ``avx512``, ``avx2``, ``sse2`` or ``neon``.
        lanes: float32 in its widest vector.
        registers: vector registers.
        fma: whether multiply and add are one instruction.
        triple: LLVM's target triple.
        cpu: LLVM's name of the processor.
        features: LLVM's feature string.
    """

    name: str
    lanes: int
    registers: int
    fma: bool
    triple: str
    cpu: str
    features: str

    @property
    def widths(self) -> tuple[int, ...]:
        """Lanes of the vectors in use, widest first; 1 is a scalar."""
        return tuple(width for width in (16, 8, 4, 1) if width <= self.lanes)

    @property
    def most_rows(self) -> int:
        """Rows of the largest register tile; with 16 registers more rows leave too few."""
        return 7 if self.registers == 32 else 4

    def vectors(self, rows: int) -> int:
        """Vectors per row of a register tile of so many rows.

        ``rows * vectors`` sums, the vectors of one input channel and two weights must fit the
        registers. Source: 1xN spec B3.
        """
        if self.registers == 32:
            return (8, 8, 6, 6, 4, 4, 3)[rows - 1]
        if not self.fma:  # products need registers too
            return (6, 4, 3, 2)[rows - 1]
        return (6, 5, 3, 3)[rows - 1]


@cache
def host() -> Isa:
    """The processor that runs this.

    Raises:
        NativeUnavailable: llvmlite is missing, or the processor is of another family.
    """
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise NativeUnavailable(
            f"the packed kernels are compiled by llvmlite, which cannot be imported ({error}); "
            "pip install llvmlite, or set LITHE_KERNELS=reference"
        ) from error
    triple, cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features()
    text = features.flatten()
    if triple.startswith(("x86_64", "amd64")):
        if features.get("avx512f") and features.get("avx512vl") and features.get("fma"):
            return Isa("avx512", 16, 32, True, triple, cpu, text)
        if features.get("avx2") and features.get("fma"):
            return Isa("avx2", 8, 16, True, triple, cpu, text)
        return Isa("sse2", 4, 16, False, triple, cpu, text)
    if triple.startswith(("aarch64", "arm64")):
        return Isa("neon", 4, 32, True, triple, cpu, text)
    raise NativeUnavailable(f"no packed kernels for {triple}; set LITHE_KERNELS=reference")


def aarch64() -> Isa:
    """A 64-bit ARM, to look at its code from anywhere."""
    return Isa("neon", 4, 32, True, AARCH64, "cortex-a72", "+neon")


def named(name: str | None = None) -> Isa:
    """The host, or less than it has.

    Args:
        name: ``avx512``, ``avx2``, ``sse2`` or ``neon``; None for LITHE_ISA, or the host's own.

    Raises:
        ValueError: an unknown name, or more than the host has.
        NativeUnavailable: as :func:`host`.
    """
    own = host()
    name = name or os.environ.get("LITHE_ISA") or own.name
    if name == own.name:
        return own
    ranks = {"sse2": 0, "avx2": 1, "avx512": 2}
    if name not in ranks or own.name not in ranks or ranks[name] > ranks[own.name]:
        raise ValueError(f"instruction set {name!r}; this machine has {own.name!r} and below")
    if name == "avx2":
        return Isa("avx2", 8, 16, True, own.triple, "haswell", "")
    return Isa("sse2", 4, 16, False, own.triple, "x86-64", "")
