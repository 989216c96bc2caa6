"""One layer, timed: the packed kernel at each block size and sparsity, and its rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lithe.onexn.kernels import NativeProgram
from lithe.onexn.packed import PackedWeight, pack_weight
from lithe.onexn.pattern import block_mask
from lithe.onexn.program import Conv, Plane, Program
from lithe.onexn.speed.layers import Layer
from lithe.onexn.speed.rivals import convolve, csr_layer, dense_layer
from lithe.onexn.speed.timing import Times, Way, in_turn

__all__ = ["NS", "SPARSITIES", "Entry", "Trial", "packed_program", "try_layer"]

NS = (1, 2, 4, 8, 16, 32)
SPARSITIES = (0.0, 0.5, 0.7, 0.75, 0.9)
Key = tuple[int, float]
GROSS = 1e-4  # beyond this a result is wrong; how near it has to be is a bar


@dataclass(frozen=True)
class Entry:
    """The packed kernel at one block size and sparsity.

    Attributes:
        n: filters per block.
        sparsity: share of blocks that was asked to go.
        nonzeros: weights that stay.
        median_ms: median over the rounds.
        low_ms: 10 % quantile with one thread, shortest round with more.
        ratio: dense torch over this, by medians; dense in its faster layout.
        ratio_low: the same by ``low_ms`` of both.
        ratio_paired: median of the ratios within a round.
        earned: this kernel at 0 % over itself, by medians: what sparsity earned.
        gflops: 1e9 operations per second on the weights that stay, by the median.
        gflops_low: the same by ``low_ms``.
        error: largest difference to torch over the largest output.
    """

    n: int
    sparsity: float
    nonzeros: int
    median_ms: float
    low_ms: float
    ratio: float
    ratio_low: float
    ratio_paired: float
    earned: float
    gflops: float
    gflops_low: float
    error: float


@dataclass(frozen=True)
class Trial:
    """All that was measured of one layer with one number of threads.

    Attributes:
        layer: what was timed.
        threads: number of threads.
        rounds: of the measurement.
        dense: median milliseconds of torch by memory layout.
        dense_ms: median of the faster one.
        dense_low_ms: its 10 % quantile with one thread, its shortest round with more.
        csr: median milliseconds of torch's compressed sparse rows by sparsity; empty where that
            is no way to do the layer.
        entries: the packed kernel.
    """

    layer: Layer
    threads: int
    rounds: int
    dense: dict[str, float]
    dense_ms: float
    dense_low_ms: float
    csr: dict[float, float]
    entries: tuple[Entry, ...]

    def entry(self, n: int, sparsity: float) -> Entry:
        """The one of a block size and sparsity.

        Raises:
            KeyError: it was not measured.
        """
        for found in self.entries:
            if found.n == n and found.sparsity == sparsity:
                return found
        raise KeyError(f"{self.layer.name} was not measured at n={n}, sparsity={sparsity}")


def try_layer(
    layer: Layer | str,
    ns: Sequence[int] = NS,
    sparsities: Sequence[float] = SPARSITIES,
    *,
    threads: int = 1,
    seconds: float = 2.0,
    csr: bool = True,
    generator: torch.Generator | None = None,
) -> Trial:
    """Time one layer in all ways, turn by turn in this process, and check every result.

    The packed kernel writes to memory that it owns, as within a network; torch allocates its
    output. Both have a bias.

    Args:
        layer: or its name.
        ns: filters per block.
        sparsities: shares of blocks to drop; 0 is measured besides in any case.
        threads: 1 (processor time) or more (wall clock).
        seconds: spent on the rounds.
        csr: time torch's compressed sparse rows as well.
        generator: of weights and input; seed 0 if None.

    Raises:
        lithe.onexn.kernels.NativeUnavailable: this machine cannot compile the kernels.
        ValueError: an argument out of range.
        ArithmeticError: a packed result differs from torch's by more than 1e-4 of its largest.
    """
    layer = Layer.parse(layer)
    stuff = _stuff(layer, generator)
    keys = [(n, p) for n in ns for p in sorted({0.0, *sparsities})]
    ways, nonzeros, errors, kept = _packed_ways(layer, stuff, keys, threads)
    dense = dense_layer(layer, *stuff)
    rows = {}
    if csr:
        masks = {p: block_mask(stuff[1], min(ns), p) for p in sorted(sparsities) if p > 0}
        rows = {p: csr_layer(layer, stuff[0], stuff[1] * m, stuff[2]) for p, m in masks.items()}
        rows = {p: way for p, way in rows.items() if way is not None}
    times = in_turn(
        {
            **{f"dense {name}": way for name, way in dense.items()},
            **{f"csr {p}": way for p, way in rows.items()},
            **{f"packed {n} {p}": way for (n, p), way in ways.items()},
        },
        threads=threads,
        seconds=seconds,
    )
    del kept
    return _trial(layer, threads, times, nonzeros, errors)


def packed_program(layer: Layer, weight: PackedWeight, bias: Tensor) -> Program:
    """A network of this one layer."""
    x = Plane(0, layer.inputs, layer.source, layer.source)
    y = Plane(1, layer.filters, layer.size, layer.size)
    border = (layer.kernel // 2, layer.kernel // 2)
    step = Conv(x, y, weight, bias, (layer.stride, layer.stride), border)
    first, second = (-(-p.channels * p.height * p.width // 16) * 16 for p in (x, y))
    shapes = tuple((p.channels, p.height, p.width) for p in (x, y))
    return Program((step,), shapes, (0, first), first + second, (x,), (y,))


def _stuff(layer: Layer, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and bias."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    k = layer.kernel
    x = torch.randn(1, layer.inputs, layer.source, layer.source, generator=generator)
    weight = torch.randn(layer.filters, layer.inputs, k, k, generator=generator)
    return (
        x,
        weight / (layer.inputs * k * k) ** 0.5,
        torch.randn(layer.filters, generator=generator),
    )


def _packed_ways(
    layer: Layer, stuff: tuple[Tensor, Tensor, Tensor], keys: Sequence[Key], threads: int
) -> tuple[dict[Key, Way], dict[Key, int], dict[Key, float], list]:
    x, weight, bias = stuff
    ways, nonzeros, errors, kept = {}, {}, {}, []
    for n, p in keys:
        mask = block_mask(weight, n, p)
        program = packed_program(layer, pack_weight(weight, mask, n), bias)
        native = NativeProgram(program, batch=1, threads=threads)
        error = relative_error(native.run(x)[0], convolve(layer, x, weight * mask, bias))
        if not error <= GROSS:
            raise ArithmeticError(f"{layer.name}, n={n}, sparsity {p}: off by {error:.1e}")
        ways[n, p] = Way(bare_call(native), "packed")
        nonzeros[n, p], errors[n, p] = int(mask.sum()), error
        kept.append(native)
    return ways, nonzeros, errors, kept


def bare_call(native: NativeProgram) -> Callable[[], None]:
    """The native call of a one-layer program on the input that lies in its arena.

    Neither input nor output is copied: within a network that is paid once for all layers.
    """
    return native.launch


def relative_error(ours: Tensor, torchs: Tensor) -> float:
    """Largest difference over the largest output."""
    return float((ours - torchs).abs().max() / torchs.abs().max())


def _trial(
    layer: Layer,
    threads: int,
    times: Mapping[str, Times],
    nonzeros: Mapping[Key, int],
    errors: Mapping[Key, float],
) -> Trial:
    names = ("contiguous", "channels_last")
    dense = {name: times[f"dense {name}"].median for name in names}
    best = times[f"dense {min(dense, key=dense.__getitem__)}"]
    entries = []
    for (n, p), count in nonzeros.items():
        own, zero = times[f"packed {n} {p}"], times[f"packed {n} 0.0"]
        work = 2e-6 * count * layer.size**2
        entries.append(
            Entry(
                n,
                p,
                count,
                own.median,
                low(own, threads),
                best.median / own.median,
                low(best, threads) / low(own, threads),
                best.over(own),
                zero.median / own.median,
                work / own.median,
                work / low(own, threads),
                errors[n, p],
            )
        )
    csr = {float(k.split()[1]): t.median for k, t in times.items() if k.startswith("csr")}
    rounds = len(best.samples)
    return Trial(
        layer, threads, rounds, dense, best.median, low(best, threads), csr, tuple(entries)
    )


def low(times: Times, threads: int) -> float:
    """The 10 % quantile of processor time; of the wall clock the least (1xN spec B2)."""
    return times.low if threads == 1 else times.least
