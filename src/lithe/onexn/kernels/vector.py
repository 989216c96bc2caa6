"""Tasks on maps of one pixel: classifiers and squeeze-excitation, vectors across filters.

    y[o] = bias[o] + sum_k w[k, o] x[column[k]]

There are no pixels to share a weight, so every weight is read once and memory sets the pace.
"""

from __future__ import annotations

from llvmlite import ir

from lithe.onexn.kernels.convolve import TASK, image_and_task, plane
from lithe.onexn.kernels.emit import I64, POINTER, Function, new_function
from lithe.onexn.kernels.epilogue import activated, each_kind
from lithe.onexn.kernels.isa import Isa

__all__ = ["vector_kernel"]

# Bytes between the weights that are asked for and those in use.
AHEAD = 1024


def vector_kernel(isa: Isa, width: int, vectors: int) -> str:
    """Write the task of rows of ``width * vectors`` filters each.

    Slots: 0 x, 2 y, 4 residual (each with its step per image), 6 rows (columns, their number,
    weights, bias, places in y, filters), 7 first row of each task, 10 tasks per image,
    11 activation.
    """
    f = new_function(isa, list(TASK))
    b, args = f.build, f.args[0]
    sums = f.local(width * vectors)
    image, number = image_and_task(f, args, 10)
    x, y, residual = (plane(f, args, slot, image) for slot in (0, 2, 4))
    bounds = f.at(f.slot(args, 7, POINTER), number, I64)
    with f.loop(f.slot(bounds, 0), f.slot(bounds, 1)) as index:
        row = f.at(f.slot(args, 6, POINTER), b.mul(index, f.number(6)), I64)
        for v, value in enumerate(_row(f, row, x, width, vectors)):
            f.store(value, f.at(sums, v * width))
        _scatter(f, row, sums, y, residual, f.slot(args, 11))
    f.done()
    return str(f.module)


def _row(f: Function, row: ir.Value, x: ir.Value, width: int, vectors: int) -> list[ir.Value]:
    """Sums of one row; several columns at once, for a sum must wait for the one before it."""
    b, size = f.build, width * vectors
    unroll = max(1, 8 // vectors)
    columns, length = f.slot(row, 0, POINTER), f.slot(row, 1)
    weights, bias = f.slot(row, 2, POINTER), f.slot(row, 3, POINTER)
    zero = f.constant(0.0, width)
    start = [f.load(f.at(bias, v * width), width) for v in range(vectors)]
    start += [zero] * (vectors * (unroll - 1))
    whole = b.sub(length, f.number(unroll - 1))

    def step(index: ir.Value, sums: list[ir.Value], count: int) -> list[ir.Value]:
        for u in range(count):
            k = b.add(index, f.number(u))
            value = f.splat(f.load(f.at(x, f.int32(columns, k))), width)
            line = f.at(weights, b.mul(k, f.number(size)))
            for v in range(vectors):
                if v * width % 16 == 0:
                    f.fetch(line, AHEAD + 4 * v * width)
                w = f.load(f.at(line, v * width), width)
                sums[u * vectors + v] = f.fma(w, value, sums[u * vectors + v])
        return sums

    index, sums = f.carried(f.number(0), whole, unroll, start, step)
    for u in range(1, unroll):
        for v in range(vectors):
            sums[v] = b.fadd(sums[v], sums[u * vectors + v])
    return f.carried(index, length, 1, sums[:vectors], step)[1]


def _scatter(
    f: Function, row: ir.Value, sums: ir.Value, y: ir.Value, residual: ir.Value, kind: ir.Value
) -> None:
    b = f.build
    places, filters = f.slot(row, 4, POINTER), f.slot(row, 5)
    null = b.icmp_unsigned("==", residual, ir.Constant(POINTER, None))
    # Without a residual its place is read from the sums instead and not used: no branch per float.
    source = b.select(null, sums, residual)

    def body(code: int) -> None:
        with f.loop(0, filters) as index:
            place = f.int32(places, index)
            value = f.load(f.at(sums, index))
            more = f.load(f.at(source, b.select(null, f.number(0), place)))
            value = b.select(null, value, b.fadd(value, more))
            f.store(activated(f, code, value), f.at(y, place))

    each_kind(f, kind, body)
