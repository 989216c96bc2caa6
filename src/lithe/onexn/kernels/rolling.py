"""Depthwise 3x3 convolution that walks down the map and reads every row once.

A row of the input takes part in three rows of the output. Their sums stay in registers while the
rows go by; the one that has seen its last row is stored. Columns beyond the map are masked to
zero; rows beyond it are never visited.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from lithe.onexn.kernels.convolve import TASK, channels, image_and_task, plane
from lithe.onexn.kernels.emit import I32, POINTER, Function, new_function
from lithe.onexn.kernels.epilogue import activated
from lithe.onexn.kernels.geometry import Window
from lithe.onexn.kernels.isa import Isa

__all__ = ["rolling_depthwise", "rolls"]

# Vectors of one walk: two sums of each, nine weights and what was read fit 32 registers.
MOST = 7
Sums = list[ir.Value]


def rolls(window: Window, isa: Isa) -> bool:
    """Whether a window can be walked down: 3x3 with a border of 1, at stride 1 or 2.

    At stride 2 the rows are even in number, so that the last window ends with the map.
    """
    square = (window.kernel, window.padding, window.dilation) == ((3, 3), (1, 1), (1, 1))
    even = window.stride == (2, 2) and window.source[0] % 2 == 0
    wide = window.target[1] >= isa.widths[-2]
    return square and wide and isa.registers == 32 and (window.stride == (1, 1) or even)


def rolling_depthwise(isa: Isa, source: int, target: int, stride: int, kind: int) -> str:
    """Write the task of a depthwise convolution.

    Slots: 0 x, 2 y (each with its step per image), 4 step per channel of x, 5 of y, 8 channels,
    9 channels per task, 10 tasks per image, 11 rows of the output, 12 weights, 13 bias.

    Args:
        isa: to write for.
        source: columns of the input.
        target: columns of the output.
        stride: 1 or 2.
        kind: code of the activation.
    """
    f = new_function(isa, list(TASK))
    b, args = f.build, f.args[0]
    image, number = image_and_task(f, args, 10)
    x, y = (plane(f, args, slot, image) for slot in (0, 2))
    width = next(width for width in isa.widths if width <= target)
    with channels(f, args, number) as c:
        own = f.at(f.slot(args, 12, POINTER), b.mul(c, f.number(9)))
        bias = f.splat(f.load(f.at(f.slot(args, 13, POINTER), c)), width)
        weights = [f.splat(f.load(f.at(own, place)), width) for place in range(9)]
        walk = _Walk(f, source, target, stride, width, kind, weights, bias)
        origin = f.at(x, b.mul(c, f.slot(args, 4)))
        result = f.at(y, b.mul(c, f.slot(args, 5)))
        for starts in _groups(target, width):
            walk.down(origin, result, f.slot(args, 11), starts)
    f.done()
    return str(f.module)


def _groups(columns: int, width: int) -> list[list[int]]:
    """First columns of the vectors of each walk; the last vector slides back."""
    starts = [*range(0, columns - width, width), columns - width]
    count = -(-len(starts) // MOST)
    return [
        starts[index * len(starts) // count : (index + 1) * len(starts) // count]
        for index in range(count)
    ]


@dataclass(frozen=True, eq=False)
class _Walk:
    """Writes the loop over the rows of a channel; arguments as of :func:`rolling_depthwise`."""

    f: Function
    source: int
    target: int
    stride: int
    width: int
    kind: int
    weights: Sums
    bias: ir.Value

    def down(self, x: ir.Value, y: ir.Value, rows: ir.Value, starts: list[int]) -> None:
        """Walk down the columns of some vectors."""
        if self.stride == 1:
            self._every(x, y, rows, starts)
        else:
            self._every_second(x, y, rows, starts)

    def _every(self, x: ir.Value, y: ir.Value, rows: ir.Value, starts: list[int]) -> None:
        f, b, count = self.f, self.f.build, len(starts)

        def row(index: ir.Value, sums: Sums, _: int) -> Sums:
            line = f.at(x, b.mul(index, f.number(self.source)))
            above = b.sub(index, f.number(1))
            # What the first row completes is no row of the map; the next row overwrites it.
            above = b.select(b.icmp_signed("<", above, f.number(0)), f.number(0), above)
            out = f.at(y, b.mul(above, f.number(self.target)))
            ending, going, new = sums[:count], sums[count:], []
            for t, start in enumerate(starts):
                parts = self._parts(line, start)
                self._store(self._plus(parts, 2, ending[t]), out, start)
                going[t] = self._plus(parts, 1, going[t])
                new.append(self._plus(parts, 0, self.bias))
            return [*going, *new]

        _, sums = f.carried(f.number(0), rows, 1, [self.bias] * (2 * count), row)
        last = f.at(y, b.mul(b.sub(rows, f.number(1)), f.number(self.target)))
        for value, start in zip(sums, starts):
            self._store(value, last, start)

    def _every_second(self, x: ir.Value, y: ir.Value, rows: ir.Value, starts: list[int]) -> None:
        f, b = self.f, self.f.build

        def row(index: ir.Value, sums: Sums, _: int) -> Sums:
            line = f.at(x, b.mul(index, f.number(2 * self.source)))
            below = f.at(line, self.source)
            out, new = f.at(y, b.mul(index, f.number(self.target))), []
            for start, value in zip(starts, sums):
                value = self._plus(self._parts(line, start), 1, value)
                parts = self._parts(below, start)
                self._store(self._plus(parts, 2, value), out, start)
                new.append(self._plus(parts, 0, self.bias))
            return new

        f.carried(f.number(0), rows, 1, [self.bias] * len(starts), row)

    def _plus(self, parts: Sums, ky: int, value: ir.Value) -> ir.Value:
        for part, weight in zip(parts, self.weights[3 * ky : 3 * ky + 3]):
            value = self.f.fma(part, weight, value)
        return value

    def _store(self, value: ir.Value, line: ir.Value, start: int) -> None:
        self.f.store(activated(self.f, self.kind, value), self.f.at(line, start))

    def _parts(self, line: ir.Value, start: int) -> Sums:
        """What a row holds for a vector of the output: left, middle and right of the window."""
        f, width, first = self.f, self.width, start * self.stride - 1
        if self.stride == 1:
            parts = [f.load(f.at(line, first + kx), width) for kx in range(3)]
        elif width == 1:
            parts = [f.load(f.at(line, first + kx)) for kx in range(3)]
        else:
            loads = [f.load(f.at(line, first + at), width) for at in (0, width, 1, width + 1)]
            left = self._second(*loads[:2], 0)
            parts = [left, self._second(*loads[2:], 0), self._second(*loads[2:], 1)]
        columns = [first + kx for kx in range(3)]
        return [self._inside(part, column) for part, column in zip(parts, columns)]

    def _second(self, low: ir.Value, high: ir.Value, odd: int) -> ir.Value:
        order = [2 * lane + odd for lane in range(self.width)]
        order = ir.Constant(ir.VectorType(I32, self.width), order)
        return self.f.build.shuffle_vector(low, high, order)

    def _inside(self, part: ir.Value, column: int) -> ir.Value:
        """Zero in the lanes whose column, counted from that of the first, is not on the map."""
        keep = [0 <= column + lane * self.stride < self.source for lane in range(self.width)]
        if all(keep):
            return part
        bit = ir.IntType(1)
        mask = ir.Constant(ir.VectorType(bit, self.width), keep)
        return self.f.build.select(mask, part, self.f.constant(0.0, self.width))
