"""Numbers for the chapter's pictures, measured on the reader's machine in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lithe.onexn.kernels.isa import Isa, named
from lithe.onexn.speed.layers import Layer
from lithe.onexn.speed.limits import Roof
from lithe.onexn.speed.trial import Trial, try_layer

__all__ = [
    "BreakEven",
    "Rung",
    "break_even",
    "intensity",
    "ladder",
    "loads_per_fma",
    "roofline",
]


@dataclass(frozen=True)
class Rung:
    """One step of the ladder from dense to blocks.

    Attributes:
        name: how the layer is computed.
        ms: median milliseconds.
        speedup: dense torch over this.
        gflops: 1e9 operations per second on the weights that stay.
    """

    name: str
    ms: float
    speedup: float
    gflops: float


@dataclass(frozen=True)
class BreakEven:
    """Speed over sparsity, a curve for each block size.

    Attributes:
        layer: what was timed.
        sparsities: ``(p,)``.
        speedups: dense torch over the packed kernel, ``(p,)`` for each block size.
        earned: the packed kernel at 0 % over itself, ``(p,)`` for each block size.
        csr: dense torch over compressed sparse rows, ``(p,)``; NaN where not measured.
    """

    layer: Layer
    sparsities: tuple[float, ...]
    speedups: dict[int, tuple[float, ...]]
    earned: dict[int, tuple[float, ...]]
    csr: tuple[float, ...]

    def point(self, n: int | None = None) -> float:
        """The sparsity from which on packed beats dense, by straight lines between points.

        Args:
            n: filters per block; None for compressed sparse rows.

        Returns:
            In [0, 1]; NaN if it does not get there.
        """
        curve = np.array(self.csr if n is None else self.speedups[n])
        return _crossing(np.array(self.sparsities), curve)


def break_even(
    layer: Layer | str = "512-512@14",
    ns: Sequence[int] = (1, 2, 4, 8, 16),
    sparsities: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 0.9),
    *,
    threads: int = 1,
    seconds: float = 3.0,
    generator: torch.Generator | None = None,
) -> BreakEven:
    """Measure from which sparsity on which blocks are worth it.

    Args:
        layer: or its name.
        ns: filters per block.
        sparsities: to measure, in [0, 1).
        threads: number of threads.
        seconds: spent on the rounds.
        generator: of weights and input.

    Raises:
        lithe.onexn.kernels.NativeUnavailable: this machine cannot compile the kernels.
        ValueError: an argument out of range.
    """
    places = tuple(sorted({0.0, *sparsities}))
    trial = try_layer(layer, ns, places, threads=threads, seconds=seconds, generator=generator)
    rows = {n: [trial.entry(n, p) for p in places] for n in ns}
    csr = tuple(trial.dense_ms / trial.csr[p] if p in trial.csr else np.nan for p in places)
    return BreakEven(
        trial.layer,
        places,
        {n: tuple(entry.ratio for entry in row) for n, row in rows.items()},
        {n: tuple(entry.earned for entry in row) for n, row in rows.items()},
        csr,
    )


def ladder(
    layer: Layer | str = "512-512@14",
    sparsity: float = 0.5,
    ns: Sequence[int] = (1, 2, 4, 8),
    *,
    threads: int = 1,
    seconds: float = 2.0,
    generator: torch.Generator | None = None,
) -> list[Rung]:
    """Why unstructured zeros are not fast and blocks are, step by step.

    Dense torch; torch's compressed sparse rows; this book's kernel, single weights first and
    then in blocks.

    Args:
        layer: or its name; 1x1 of stride 1 for the sparse rows to be among them.
        sparsity: share of weights dropped.
        ns: filters per block.
        threads: number of threads.
        seconds: spent on the rounds.
        generator: of weights and input.
    """
    trial = try_layer(layer, ns, [sparsity], threads=threads, seconds=seconds, generator=generator)
    work = 2e-6 * trial.layer.macs
    rungs = [Rung("dense (torch)", trial.dense_ms, 1.0, work / trial.dense_ms)]
    for ms in trial.csr.values():
        name, speedup = "single zeros (torch CSR)", trial.dense_ms / ms
        rungs.append(Rung(name, ms, speedup, (1 - sparsity) * work / ms))
    return rungs + [_rung(trial, n, sparsity) for n in ns]


def _rung(trial: Trial, n: int, sparsity: float) -> Rung:
    entry = trial.entry(n, sparsity)
    name = "single zeros, N=1 (ours)" if n == 1 else f"blocks of N={n} (ours)"
    return Rung(name, entry.median_ms, entry.ratio, entry.gflops)


def loads_per_fma(n: int, unit: Isa | None = None) -> float:
    """Vector loads and weight broadcasts for one vector multiply-add: ``1/n + 1/t``.

    A block meets ``t`` vectors of pixels: ``t`` loads and ``n`` broadcasts feed ``n t``
    multiply-adds.

    Source: 1xN spec B3.

    Args:
        n: filters per block.
        unit: the vector unit; that of the kernels on this machine if None.
    """
    rows, vectors = _tile(n, unit)
    return 1 / rows + 1 / vectors


def intensity(n: int, unit: Isa | None = None) -> float:
    """Operations per byte that the kernel loads from beyond the registers.

    The ``t`` vectors of a tile are loaded once per block and used by all its filters; weights
    are four bytes each. This is the abscissa of a roofline, and it grows with ``n``.

    Source: 1xN spec B3.

    Args:
        n: filters per block.
        unit: the vector unit; that of the kernels on this machine if None.
    """
    rows, vectors = _tile(n, unit)
    lanes = (unit or named()).lanes
    return 2 * rows * vectors * lanes / (4 * (vectors * lanes + rows))


def roofline(roof: Roof, intensities: Sequence[float], level: str = "L2") -> list[float]:
    """GFLOP/s of one thread that the roof allows at each intensity."""
    return [roof.attainable(value, level) for value in intensities]


def _tile(n: int, unit: Isa | None) -> tuple[int, int]:
    """Filters and vectors of pixels that the registers hold at once; wide blocks go in passes."""
    if type(n) is not int or n < 1:
        raise ValueError(f"n is {n!r}; it must be a whole number of at least 1")
    unit = unit or named()
    rows = min(n, unit.most_rows)
    return rows, unit.vectors(rows)


def _crossing(x: np.ndarray, y: np.ndarray) -> float:
    """Where a curve comes up through 1, to stay: after the last point below."""
    below = np.flatnonzero(~(y >= 1))
    if len(below) == 0:
        return float(x[0])
    last = below[-1]
    if last == len(x) - 1 or not np.isfinite(y[last]):
        return float("nan") if last == len(x) - 1 else float(x[last + 1])
    return float(np.interp(1.0, y[last : last + 2], x[last : last + 2]))
