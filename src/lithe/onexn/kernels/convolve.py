"""Tasks of convolutions: walk over tiles and filters and call the micro-kernels.

Pixel tiles are the outer loop and filters the inner one: the inputs of a tile stay in the first
cache levels while the weights stream past. Source: 1xN spec B3. Where there is much to write and
little to sum up, it is the other way round: whole rows of the output are then written from end to
end, which the processor foresees, instead of a few cache lines of each.
"""

from __future__ import annotations

from llvmlite import ir

from lithe.onexn.kernels.emit import I64, POINTER, VOID, Function, new_function
from lithe.onexn.kernels.isa import Isa
from lithe.onexn.kernels.spans import copy_function

__all__ = ["convolve", "copy_planes", "depthwise"]

MICRO = ir.FunctionType(VOID, [POINTER, POINTER, POINTER, POINTER, POINTER, I64, I64])
TASK = (POINTER, I64, I64)


def image_and_task(f: Function, args: ir.Value, per_image: int) -> tuple[ir.Value, ir.Value]:
    """Split a task's number: which image, which task of it."""
    tasks = f.slot(args, per_image)
    return f.build.udiv(f.args[1], tasks), f.build.urem(f.args[1], tasks)


def plane(f: Function, args: ir.Value, slot: int, image: ir.Value) -> ir.Value:
    """Address of an image's plane; slots hold the first image's and the step to the next."""
    return f.at(f.slot(args, slot, POINTER), f.build.mul(image, f.slot(args, slot + 1)))


def convolve(isa: Isa) -> str:
    """Write the task of a convolution.

    Slots: 0 x, 2 y, 4 residual (each with its step per image), 6 tiles, 7 int32 per tile,
    8 micro-kernels, 9 tasks (tiles from, to, runs from, to), 10 tasks per image, 11 activation,
    12 micro-kernels per kind of tile, 13 runs (passes, number, which micro-kernel), 14 tiles that
    a run walks over before the next run's turn.
    """
    f = new_function(isa, list(TASK))
    b, args = f.build, f.args[0]
    image, number = image_and_task(f, args, 10)
    x, y, residual = (plane(f, args, slot, image) for slot in (0, 2, 4))
    tiles, pitch, kind = f.slot(args, 6, POINTER), f.slot(args, 7), f.slot(args, 11)
    kernels, row, runs = f.slot(args, 8, POINTER), f.slot(args, 12), f.slot(args, 13, POINTER)
    task = f.at(f.slot(args, 9, POINTER), b.mul(number, f.number(4)), I64)
    first, last, begin, end = (f.slot(task, slot) for slot in range(4))
    strip = f.slot(args, 14)
    with f.loop(first, last, strip) as low:
        high = b.add(low, strip)
        high = b.select(b.icmp_signed("<", high, last), high, last)
        with f.loop(begin, end) as which:
            run = f.at(runs, b.mul(which, f.number(3)), I64)
            passes, count, rows = f.slot(run, 0, POINTER), f.slot(run, 1), f.slot(run, 2)
            with f.loop(low, high) as index:
                tile = f.at(tiles, b.mul(index, pitch), ir.IntType(32))
                own = f.at(kernels, b.mul(f.int32(tile, 0), row), I64)
                places = f.at(tile, 2, ir.IntType(32))
                micro = f.slot(own, rows, MICRO.as_pointer())
                b.call(micro, [x, y, residual, places, passes, count, kind])
    f.done()
    return str(f.module)


def copy_planes(isa: Isa) -> str:
    """Write the task that copies channels into bordered planes.

    Slots: 0 x, 2 planes (each with its step per image), 4 step per channel of x, 5 of the planes,
    6 records, 7 their number, 8 channels, 9 channels per task, 10 tasks per image, 11 border.
    """
    f = new_function(isa, list(TASK))
    copy = copy_function(f)
    b, args = f.build, f.args[0]
    image, number = image_and_task(f, args, 10)
    x, y = (plane(f, args, slot, image) for slot in (0, 2))
    records, count = f.slot(args, 6, POINTER), f.slot(args, 7)
    value = f.load(f.at(args, 11, I64))
    with channels(f, args, number) as c:
        source = f.at(x, b.mul(c, f.slot(args, 4)))
        target = f.at(y, b.mul(c, f.slot(args, 5)))
        b.call(copy.value, [source, target, records, count, value])
    f.done()
    return str(f.module)


def channels(f: Function, args: ir.Value, number: ir.Value):
    """The loop over a task's channels; slot 8 holds their number, 9 that of a task."""
    b = f.build
    share = f.slot(args, 9)
    first = b.mul(number, share)
    last = b.add(first, share)
    count = f.slot(args, 8)
    return f.loop(first, b.select(b.icmp_signed("<", last, count), last, count))


def depthwise(isa: Isa) -> str:
    """Write the task of a depthwise convolution: copy a channel, then one pass over it.

    Slots: as of :func:`copy_planes`, but 2 y; 12 tiles, 13 int32 per tile, 14 micro-kernels,
    15 passes, 16 activation, 17 scratch, 18 floats of it per thread, 19 residual and its step.
    """
    f = new_function(isa, list(TASK))
    copy = copy_function(f)
    b, args = f.build, f.args[0]
    image, number = image_and_task(f, args, 10)
    x, y, residual = (plane(f, args, slot, image) for slot in (0, 2, 19))
    records, count = f.slot(args, 6, POINTER), f.slot(args, 7)
    tiles, pitch, kernels = f.slot(args, 12, POINTER), f.slot(args, 13), f.slot(args, 14, POINTER)
    passes, kind = f.slot(args, 15, POINTER), f.slot(args, 16)
    scratch = f.at(f.slot(args, 17, POINTER), b.mul(f.args[2], f.slot(args, 18)))
    value = f.load(f.at(args, 11, I64))
    with channels(f, args, number) as c:
        source = f.at(x, b.mul(c, f.slot(args, 4)))
        b.call(copy.value, [source, scratch, records, count, value])
        own = f.at(passes, b.mul(c, f.number(5)), I64)
        with f.loop(0, f.slot(args, 5)) as index:
            tile = f.at(tiles, b.mul(index, pitch), ir.IntType(32))
            micro = f.slot(kernels, f.int32(tile, 0), MICRO.as_pointer())
            places = f.at(tile, 2, ir.IntType(32))
            b.call(micro, [scratch, y, residual, places, own, f.number(1), kind])
    f.done()
    return str(f.module)
