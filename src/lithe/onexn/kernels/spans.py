"""Loops over runs of floats: whole vectors, and what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from lithe.onexn.kernels.emit import F32, I32, I64, POINTER, Function

__all__ = ["copy_function", "disjoint", "overlapping"]

Body = Callable[[ir.Value, int], None]


@contextmanager
def branch(f: Function, condition: ir.Value, after: ir.Block) -> Iterator[None]:
    """Write a body that runs if the condition holds and then goes on at ``after``."""
    body, other = f.value.append_basic_block(), f.value.append_basic_block()
    f.build.cbranch(condition, body, other)
    f.build.position_at_end(body)
    yield
    f.build.branch(after)
    f.build.position_at_end(other)


def overlapping(f: Function, count: ir.Value, body: Body) -> None:
    """Call ``body(start, width)`` so that every float is in some vector, some in two."""
    after = f.value.append_basic_block()
    for width in f.isa.widths[:-1]:
        size = f.number(width)
        with branch(f, f.build.icmp_signed(">=", count, size), after):
            last = f.build.sub(count, size)
            with f.loop(0, last, width) as start:
                body(start, width)
            body(last, width)
    with f.loop(0, count) as start:
        body(start, 1)
    f.build.branch(after)
    f.build.position_at_end(after)


def disjoint(f: Function, count: ir.Value, body: Body) -> None:
    """Call ``body(start, width)`` so that every float is in exactly one vector."""
    begin: ir.Value | int = 0
    for width in f.isa.widths:
        with f.loop(begin, f.build.sub(count, f.number(width - 1)), width) as start:
            body(start, width)
        begin = f.build.and_(count, f.number(-width))


def copy_function(f: Function) -> Function:
    """An internal function that copies one channel into bordered planes.

    Its arguments: source channel, destination, records, their number, value of the border.
    Slots of a record: place in the source, step to the next row, step to the next column, rows,
    columns, first and last row and first and last column that exist, place in the destination.
    """
    g = Function(f.module, f.isa, "planes", [POINTER, POINTER, POINTER, I64, F32], internal=True)
    source, target, records, count, value = g.args
    with g.loop(0, count) as index:
        record = g.at(records, g.build.mul(index, g.number(10)), I64)
        start, pitch, step, rows, width, top, bottom, left, right, place = (
            g.slot(record, slot) for slot in range(10)
        )
        with g.loop(0, rows) as j:
            line = g.at(target, g.build.add(place, g.build.mul(j, width)))
            origin = g.at(source, g.build.add(start, g.build.mul(j, pitch)))
            inside = g.build.and_(
                g.build.icmp_signed(">=", j, top), g.build.icmp_signed("<", j, bottom)
            )
            first = g.build.select(inside, left, width)
            last = g.build.select(inside, right, width)
            _fill(g, line, first, value)
            _copy(g, line, origin, first, last, step)
            _fill(g, g.at(line, last), g.build.sub(width, last), value)
    g.done()
    return g


def _fill(f: Function, line: ir.Value, count: ir.Value, value: ir.Value) -> None:
    after = f.value.append_basic_block()
    with branch(f, f.build.icmp_signed("<", count, f.number(4)), after), f.loop(0, count) as at:
        f.store(value, f.at(line, at))
    overlapping(f, count, lambda at, width: f.store(f.splat(value, width), f.at(line, at)))
    f.build.branch(after)
    f.build.position_at_end(after)


def _copy(
    f: Function, line: ir.Value, source: ir.Value, first: ir.Value, last: ir.Value, step: ir.Value
) -> None:
    """Columns ``first`` to ``last`` of a line, every ``step``-th of the source."""
    b = f.build
    after = f.value.append_basic_block()
    count, line = b.sub(last, first), f.at(line, first)
    source = f.at(source, b.mul(first, step))
    with branch(f, b.icmp_signed("==", step, f.number(1)), after):
        overlapping(f, count, lambda at, w: f.store(f.load(f.at(source, at), w), f.at(line, at)))
    with branch(f, b.icmp_signed("==", step, f.number(2)), after):
        overlapping(f, count, lambda at, w: f.store(_even(f, source, at, w), f.at(line, at)))
    with f.loop(0, count) as at:
        f.store(f.load(f.at(source, b.mul(at, step))), f.at(line, at))
    b.branch(after)
    b.position_at_end(after)


def _even(f: Function, source: ir.Value, at: ir.Value, width: int) -> ir.Value:
    """Every second float; the second vector ends with the last one, so nothing past it is read."""
    place = f.build.shl(at, f.number(1))
    low = f.load(f.at(source, place), width)
    if width == 1:
        return low
    high = f.load(f.at(source, f.build.add(place, f.number(width - 1))), width)
    half = width // 2
    order = [2 * lane for lane in range(half)] + [width + 1 + 2 * lane for lane in range(half)]
    return f.build.shuffle_vector(low, high, ir.Constant(ir.VectorType(I32, width), order))
