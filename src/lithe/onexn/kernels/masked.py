"""Depthwise convolution: one filter per channel, read where the channel lies.

Flat runs of output pixels read flat runs of input at one distance per place of the window. Lanes
that would then read over the end of a row, or above or below the map, are masked to zero. With
stride 2 the channel is first split into even and odd rows and columns.
"""

from __future__ import annotations

from llvmlite import ir

from lithe.onexn.kernels.convolve import TASK, channels, image_and_task, plane
from lithe.onexn.kernels.emit import I32, I64, POINTER, Function, new_function
from lithe.onexn.kernels.epilogue import activated, each_kind
from lithe.onexn.kernels.isa import Isa

__all__ = ["masked_depthwise"]

Widths = tuple[int, ...]


def masked_depthwise(isa: Isa, kinds: tuple[Widths, ...]) -> str:
    """Write the task of a depthwise convolution with masks.

    Slots: 0 x, 2 y, 19 residual (each with its step per image), 4 step per channel of x, 5 of y,
    8 channels, 9 channels per task, 10 tasks per image, 11 offsets, 12 places of the window,
    13 weights, 14 bias, 15 tiles of each kind (address and number; a tile is first pixel, first
    pixel of its last vector, masks), 16 activation, 17 scratch, 18 floats of it per thread,
    21 columns of the input or 0 for stride 1, 22 its rows, 23 columns of a phase, 24 floats of it.

    Args:
        isa: to write for.
        kinds: lanes of the vectors of each kind of tile.
    """
    f = new_function(isa, list(TASK))
    split = _split_function(f)
    b, args = f.build, f.args[0]
    image, number = image_and_task(f, args, 10)
    x, y, residual = (plane(f, args, slot, image) for slot in (0, 2, 19))
    scratch = f.at(f.slot(args, 17, POINTER), b.mul(f.args[2], f.slot(args, 18)))
    taps, tiles, pitch = f.slot(args, 12), f.slot(args, 15, POINTER), f.slot(args, 5)
    columns = f.slot(args, 21)
    direct = b.icmp_signed("==", columns, f.number(0))
    null = b.icmp_unsigned("==", residual, ir.Constant(POINTER, None))
    with channels(f, args, number) as c:
        source = f.at(x, b.mul(c, f.slot(args, 4)))
        with b.if_then(b.not_(direct)):
            sizes = [f.slot(args, slot) for slot in (22, 23, 24)]
            b.call(split.value, [source, scratch, columns, *sizes])
        base = b.select(direct, source, scratch)
        target = f.at(y, b.mul(c, pitch))
        more = b.select(null, residual, f.at(residual, b.mul(c, pitch)))
        weights = f.at(f.slot(args, 13, POINTER), b.mul(c, taps))
        bias = f.load(f.at(f.slot(args, 14, POINTER), c))
        for index, widths in enumerate(kinds):
            line, count = f.slot(tiles, 2 * index, POINTER), f.slot(tiles, 2 * index + 1)
            with f.loop(0, count) as which:
                tile = f.at(line, b.mul(which, f.number(3)), I64)
                sums = _sums(f, widths, tile, base, args, weights, bias)
                _finish(f, widths, tile, sums, target, more, null, f.slot(args, 16))
    f.done()
    return str(f.module)


def _places(f: Function, widths: Widths, tile: ir.Value, base: ir.Value) -> list[ir.Value]:
    """Addresses of a tile's vectors: one after the other, but for the last, which may slide."""
    first = f.at(base, f.slot(tile, 0))
    places = [f.at(first, sum(widths[:t])) for t in range(len(widths) - 1)]
    return [*places, f.at(base, f.slot(tile, 1))]


def _sums(
    f: Function,
    widths: Widths,
    tile: ir.Value,
    base: ir.Value,
    args: ir.Value,
    weights: ir.Value,
    bias: ir.Value,
) -> list[ir.Value]:
    b = f.build
    offsets, taps, masks = f.slot(args, 11, POINTER), f.slot(args, 12), f.slot(tile, 2, POINTER)
    start = [f.splat(bias, width) for width in widths]
    before, body, after = b.block, f.value.append_basic_block(), f.value.append_basic_block()
    b.branch(body)
    b.position_at_end(body)
    index, mask = b.phi(I64), b.phi(POINTER)
    sums = [b.phi(value.type) for value in start]
    weight = f.load(f.at(weights, index))
    moved = f.at(base, f.int32(offsets, index))
    results, step = [], 0
    for place, width, total in zip(_places(f, widths, tile, moved), widths, sums):
        value, used = _kept(f, f.load(place, width), mask, step, width)
        results.append(f.fma(value, f.splat(weight, width), total))
        step += used
    following = b.add(index, f.number(1))
    phis = [(index, f.number(0), following), (mask, masks, f.at(mask, step, ir.IntType(8)))]
    for phi, first, last in [*phis, *zip(sums, start, results)]:
        phi.add_incoming(first, before)
        phi.add_incoming(last, body)
    b.cbranch(b.icmp_signed("<", following, taps), body, after)
    b.position_at_end(after)
    return results


def _kept(
    f: Function, value: ir.Value, masks: ir.Value, step: int, width: int
) -> tuple[ir.Value, int]:
    """The lanes that a mask keeps, zero in the others; and the bytes of the mask.

    With mask registers a mask is one bit per lane, elsewhere one word.
    """
    b = f.build
    place = f.at(masks, step, ir.IntType(8))
    if f.isa.name == "avx512":
        bits = b.load(place, typ=ir.IntType(16), align=2)
        keep = b.trunc(bits, ir.IntType(width))
        if width > 1:
            keep = b.bitcast(keep, ir.VectorType(ir.IntType(1), width))
        return b.select(keep, value, f.constant(0.0, width)), 2
    kind = I32 if width == 1 else ir.VectorType(I32, width)
    words = b.load(place, typ=kind, align=4)
    return b.bitcast(b.and_(b.bitcast(value, kind), words), value.type), 4 * width


def _finish(
    f: Function,
    widths: Widths,
    tile: ir.Value,
    sums: list[ir.Value],
    target: ir.Value,
    residual: ir.Value,
    null: ir.Value,
    kind: ir.Value,
) -> None:
    b = f.build
    before, body, after = b.block, f.value.append_basic_block(), f.value.append_basic_block()
    b.cbranch(null, after, body)
    b.position_at_end(body)
    spots = _places(f, widths, tile, residual)
    added = [b.fadd(s, f.load(spot, w)) for s, spot, w in zip(sums, spots, widths)]
    b.branch(after)
    b.position_at_end(after)
    phis = [b.phi(value.type) for value in sums]
    for phi, one, other in zip(phis, sums, added):
        phi.add_incoming(one, before)
        phi.add_incoming(other, body)

    def store(code: int) -> None:
        for value, place in zip(phis, _places(f, widths, tile, target)):
            f.store(activated(f, code, value), place)

    each_kind(f, kind, store)


def _split_function(f: Function) -> Function:
    """An internal function: even and odd rows and columns of a channel into four phases.

    Its arguments: channel, phases, columns, rows, columns of a phase, floats of a phase. Vectors
    are stored whole; what they write past the end of a row, the next row overwrites.
    """
    g = Function(f.module, f.isa, "split", [POINTER, POINTER, *[I64] * 4], internal=True)
    b = g.build
    source, target, columns, rows, pitch, size = g.args
    half = b.lshr(b.add(columns, g.number(1)), g.number(1))
    width = f.isa.lanes
    orders = [
        ir.Constant(ir.VectorType(I32, width), [2 * lane + odd for lane in range(width)])
        for odd in (0, 1)
    ]
    with g.loop(0, rows) as row:
        line = g.at(source, b.mul(row, columns))
        phase = b.mul(b.and_(row, g.number(1)), b.shl(size, g.number(1)))
        place = b.add(phase, b.mul(b.lshr(row, g.number(1)), pitch))
        even, odd = g.at(target, place), g.at(target, b.add(place, size))
        with g.loop(0, half, width) as at:
            first = g.at(line, b.shl(at, g.number(1)))
            low, high = g.load(first, width), g.load(g.at(first, width), width)
            for order, phase_line in zip(orders, (even, odd)):
                g.store(b.shuffle_vector(low, high, order), g.at(phase_line, at))
    g.done()
    return g
