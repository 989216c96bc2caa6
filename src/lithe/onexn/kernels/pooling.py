"""Tasks of pooling: maximum or mean over windows, and the mean of a whole map."""

from __future__ import annotations

from llvmlite import ir

from lithe.onexn.kernels.convolve import TASK, channels, image_and_task, plane
from lithe.onexn.kernels.emit import POINTER, Function, new_function
from lithe.onexn.kernels.isa import Isa
from lithe.onexn.kernels.spans import copy_function, overlapping

__all__ = ["mean_map", "pool"]


def pool(isa: Isa, kind: str) -> str:
    """Write the task of window pooling; ``kind`` is ``max`` or ``mean``.

    Slots: as of :func:`lithe.onexn.kernels.convolve.copy_planes`, but 2 y and 5 its step per
    channel; 12 offsets of the window's places, 13 their number, 14 one over the number of values
    behind each pixel (mean only), 17 scratch, 18 floats of it per thread.
    """
    f = new_function(isa, list(TASK))
    copy = copy_function(f)
    b, args = f.build, f.args[0]
    image, number = image_and_task(f, args, 10)
    x, y = (plane(f, args, slot, image) for slot in (0, 2))
    records, count, pixels = f.slot(args, 6, POINTER), f.slot(args, 7), f.slot(args, 5)
    offsets, window = f.slot(args, 12, POINTER), f.slot(args, 13)
    shares, value = f.slot(args, 14, POINTER), f.load(f.at(args, 11, ir.IntType(64)))
    scratch = f.at(f.slot(args, 17, POINTER), b.mul(f.args[2], f.slot(args, 18)))
    with channels(f, args, number) as c:
        source = f.at(x, b.mul(c, f.slot(args, 4)))
        b.call(copy.value, [source, scratch, records, count, value])
        target = f.at(y, b.mul(c, pixels))

        def body(at: ir.Value, width: int, target: ir.Value = target) -> None:
            total = _window(f, kind, f.at(scratch, at), offsets, window, width)
            if kind == "mean":
                total = b.fmul(total, f.load(f.at(shares, at), width))
            f.store(total, f.at(target, at))

        overlapping(f, pixels, body)
    f.done()
    return str(f.module)


def _window(
    f: Function, kind: str, base: ir.Value, offsets: ir.Value, window: ir.Value, width: int
) -> ir.Value:
    b = f.build
    first = f.load(f.at(base, f.int32(offsets, 0)), width)
    before = b.block
    head, body, after = (f.value.append_basic_block() for _ in range(3))
    b.branch(head)
    b.position_at_end(head)
    index, total = b.phi(ir.IntType(64)), b.phi(first.type)
    index.add_incoming(f.number(1), before)
    total.add_incoming(first, before)
    b.cbranch(b.icmp_signed("<", index, window), body, after)
    b.position_at_end(body)
    value = f.load(f.at(base, f.int32(offsets, index)), width)
    if kind == "mean":
        joined = b.fadd(total, value)
    else:  # NaN on either side stays
        joined = b.select(b.fcmp_unordered("uno", total, total), total, f.largest(total, value))
    total.add_incoming(joined, body)
    index.add_incoming(b.add(index, f.number(1)), body)
    b.branch(head)
    b.position_at_end(after)
    return total


def mean_map(isa: Isa) -> str:
    """Write the task of the mean over a map.

    Slots: 0 x, 2 y (each with its step per image), 4 step per channel of x, 5 pixels, 8 channels,
    9 channels per task, 10 tasks per image, 11 one over the pixels.
    """
    f = new_function(isa, list(TASK))
    b, args = f.build, f.args[0]
    image, number = image_and_task(f, args, 10)
    x, y = (plane(f, args, slot, image) for slot in (0, 2))
    pixels, share = f.slot(args, 5), f.load(f.at(args, 11, ir.IntType(64)))
    with channels(f, args, number) as c:
        source = f.at(x, b.mul(c, f.slot(args, 4)))

        def add(at: ir.Value, sums: list, width: int, source: ir.Value = source) -> list:
            return [b.fadd(sums[0], f.load(f.at(source, at), width))]

        total, begin = f.constant(0.0, 1), f.number(0)
        for width in isa.widths:
            stop = b.sub(pixels, f.number(width - 1))
            begin, sums = f.carried(begin, stop, width, [f.constant(0.0, width)], add)
            total = b.fadd(total, sums[0] if width == 1 else _across(f, sums[0]))
        f.store(b.fmul(total, share), f.at(y, c))
    f.done()
    return str(f.module)


def _across(f: Function, value: ir.Value) -> ir.Value:
    """The sum over lanes, by halves."""
    width = value.type.count
    while width > 1:
        width //= 2
        kind = ir.VectorType(ir.IntType(32), width)
        low, high = (
            f.build.shuffle_vector(
                value, value, ir.Constant(kind, [lane + k for lane in range(width)])
            )
            for k in (0, width)
        )
        value = f.build.fadd(low, high)
    return f.build.extract_element(value, ir.Constant(ir.IntType(32), 0))
