"""The micro-kernel: some filters by some pixels, kept in registers over all input channels.

    y[o, p] = bias[o] + sum_k w[k, o] x[offset[k] + p]

The same code serves every convolution: what differs between 1x1 and 3x3, strides and paddings is
the list of offsets alone. Symbols: ``rows`` filters, ``widths`` lanes of the pixel vectors.
Source: 1xN spec B3.
"""

from __future__ import annotations

from llvmlite import ir

from lithe.onexn.kernels.emit import I32, I64, POINTER, Function, new_function
from lithe.onexn.kernels.epilogue import activated, each_kind
from lithe.onexn.kernels.isa import Isa

__all__ = ["PASS", "micro_kernel"]

# Slots of a pass: offsets, their number, weights, bias, then the rows' places in y.
PASS = 4
# Bytes. Weights come once per tile from the last cache level, and no page ends their stream.
AHEAD = 1024


def micro_kernel(isa: Isa, rows: int, widths: tuple[int, ...]) -> str:
    """Write the micro-kernel of a register tile.

    Its arguments: x, y, residual (or null), the tile's list of int32 pairs (place in x, place in
    y), the passes, their number, and the activation.

    Args:
        isa: to write for.
        rows: filters per pass.
        widths: lanes of each vector of the tile.

    Returns:
        LLVM IR.
    """
    kinds = [POINTER, POINTER, POINTER, POINTER, POINTER, I64, I64]
    f = new_function(isa, kinds)
    x, y, residual, tile, passes, count, kind = f.args
    with f.loop(0, count) as index:
        block = f.at(passes, f.build.mul(index, f.number(PASS + rows)), I64)
        _claim(f, y, block, rows, _places(f, tile, widths))
        bases = [f.at(x, f.int32(tile, 2 * t)) for t in range(len(widths))]
        sums = _sums(f, rows, widths, bases, block)
        places = _places(f, tile, widths)  # read again: no register held while the sums need all
        sums = _with_residual(f, sums, residual, block, places, widths)

        def finish(
            code: int, sums: list = sums, block: ir.Value = block, places: list = places
        ) -> None:
            for r, own in enumerate(sums):
                row = f.at(y, f.slot(block, PASS + r))
                for value, place in zip(own, places):
                    f.store(activated(f, code, value), f.at(row, place))

        each_kind(f, kind, finish)
    f.done()
    return str(f.module)


def _places(f: Function, tile: ir.Value, widths: tuple[int, ...]) -> list[ir.Value]:
    """Where the tile's vectors lie in a row of y."""
    return [f.int32(tile, 2 * t + 1) for t in range(len(widths))]


def _claim(f: Function, y: ir.Value, block: ir.Value, rows: int, places: list) -> None:
    """Ask for the lines that the sums will go to, to be there when the sums are done."""
    for r in range(rows):
        row = f.at(y, f.slot(block, PASS + r))
        for place in places:
            f.fetch(f.at(row, place), 0, write=True)


def _sums(
    f: Function, rows: int, widths: tuple[int, ...], bases: list, block: ir.Value
) -> list[list[ir.Value]]:
    """The loop over kept blocks; every sum is a phi node, so that it lives in a register."""
    b = f.build
    offsets, length = f.slot(block, 0, POINTER), f.slot(block, 1)
    weights, bias = f.slot(block, 2, POINTER), f.slot(block, 3, POINTER)
    first = [f.load(f.at(bias, r)) for r in range(rows)]
    first = [[f.splat(value, width) for width in widths] for value in first]
    end = f.at(offsets, length, I32)
    before, body, after = b.block, f.value.append_basic_block(), f.value.append_basic_block()
    b.cbranch(b.icmp_signed(">", length, f.number(0)), body, after)
    b.position_at_end(body)
    spot, weight = b.phi(POINTER), b.phi(POINTER)
    sums = [[b.phi(f.vector(width)) for width in widths] for _ in range(rows)]
    offset = f.int32(spot, 0)
    f.fetch(weight, AHEAD)
    inputs = [f.load(f.at(base, offset), width) for base, width in zip(bases, widths)]
    last = []
    for r in range(rows):
        value = f.load(f.at(weight, r))
        last.append([f.fma(x, f.splat(value, w), s) for x, w, s in zip(inputs, widths, sums[r])])
    following = f.at(spot, 1, I32)
    spot.add_incoming(offsets, before)
    spot.add_incoming(following, body)
    weight.add_incoming(weights, before)
    weight.add_incoming(f.at(weight, rows), body)
    b.cbranch(b.icmp_unsigned("<", following, end), body, after)
    b.position_at_end(after)
    result = []
    for r in range(rows):
        for t in range(len(widths)):
            sums[r][t].add_incoming(first[r][t], before)
            sums[r][t].add_incoming(last[r][t], body)
        result.append(
            [_either(b, first[r][t], before, last[r][t], body) for t in range(len(widths))]
        )
    return result


def _with_residual(
    f: Function,
    sums: list,
    residual: ir.Value,
    block: ir.Value,
    places: list,
    widths: tuple[int, ...],
) -> list[list[ir.Value]]:
    """Add the residual map where there is one."""
    b = f.build
    before, body, after = b.block, f.value.append_basic_block(), f.value.append_basic_block()
    b.cbranch(b.icmp_unsigned("!=", residual, ir.Constant(POINTER, None)), body, after)
    b.position_at_end(body)
    added = []
    for r, own in enumerate(sums):
        row = f.at(residual, f.slot(block, PASS + r))
        parts = zip(own, places, widths)
        added.append([b.fadd(s, f.load(f.at(row, place), w)) for s, place, w in parts])
    b.branch(after)
    b.position_at_end(after)
    return [
        [_either(b, s, before, a, body) for s, a in zip(own, more)]
        for own, more in zip(sums, added)
    ]


def _either(
    b: ir.IRBuilder, one: ir.Value, there: ir.Block, other: ir.Value, elsewhere: ir.Block
) -> ir.Value:
    value = b.phi(one.type)
    value.add_incoming(one, there)
    value.add_incoming(other, elsewhere)
    return value
