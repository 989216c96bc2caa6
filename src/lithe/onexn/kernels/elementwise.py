"""Tasks over single floats: sums and products of two maps, activations, copies."""

from __future__ import annotations

from llvmlite import ir

from lithe.onexn.kernels.convolve import TASK, channels, image_and_task, plane
from lithe.onexn.kernels.emit import new_function
from lithe.onexn.kernels.epilogue import activated, each_kind
from lithe.onexn.kernels.isa import Isa
from lithe.onexn.kernels.spans import disjoint

__all__ = ["elementwise"]


def elementwise(isa: Isa, kind: str, spread: bool) -> str:
    """Write the task of ``copy``, ``add`` or ``multiply``.

    Each float is read and written once, so the result may lie where an operand lay.
    Slots: 0 a, 2 y, 4 b (each with its step per image), 6 floats per row, 7 floats in all, 8 rows,
    9 rows per task, 10 tasks per image, 11 activation.

    Args:
        isa: to write for.
        kind: of the operation.
        spread: b holds one float per row.
    """
    f = new_function(isa, list(TASK))
    b, args = f.build, f.args[0]
    image, number = image_and_task(f, args, 10)
    x, y, other = (plane(f, args, slot, image) for slot in (0, 2, 4))
    length, total = f.slot(args, 6), f.slot(args, 7)
    with channels(f, args, number) as row:
        start = b.mul(row, length)
        rest = b.sub(total, start)
        count = b.select(b.icmp_signed("<", rest, length), rest, length)
        scale = f.load(f.at(other, row)) if spread else None

        def body(code: int, start: ir.Value = start, count: ir.Value = count) -> None:
            def part(at: ir.Value, width: int) -> None:
                place = b.add(start, at)
                value = f.load(f.at(x, place), width)
                if kind != "copy":
                    second = f.splat(scale, width) if spread else f.load(f.at(other, place), width)
                    value = (b.fadd if kind == "add" else b.fmul)(value, second)
                f.store(activated(f, code, value), f.at(y, place))

            disjoint(f, count, part)

        each_kind(f, f.slot(args, 11), body)
    f.done()
    return str(f.module)
