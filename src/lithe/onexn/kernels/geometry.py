"""Where a window's places lie, once a channel is copied into bordered planes.

Every column of the kernel gets a plane of its own, as wide as the output and shifted by that
column; with strides, every phase of rows too. In such planes each place of the window is one fixed
distance away from the output pixel, over row ends as well: whole maps are then computed as one
flat run of pixels, with no lane spent on borders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lithe.onexn.program import Conv, Depthwise, Pool

__all__ = ["Window", "window"]


@dataclass(frozen=True)
class Window:
    """A sliding window over a map.

    Attributes:
        source: height and width of the input map.
        target: of the output map.
        kernel: of the window.
        stride: between windows.
        padding: around the map.
        dilation: between places of the window.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def direct(self) -> bool:
        """Whether the map can be read where it lies, without planes."""
        return (self.kernel, self.stride, self.padding) == ((1, 1), (1, 1), (0, 0))

    @property
    def pixels(self) -> int:
        """Of the output map."""
        return self.target[0] * self.target[1]

    @property
    def size(self) -> int:
        """Floats of one channel's planes."""
        return sum(rows * self.target[1] for _, _, rows in self._planes())

    def taps(self) -> np.ndarray:
        """Distance of each place of the window from the output pixel, int64 ``(kh * kw,)``."""
        if self.direct:
            return np.zeros(1, np.int64)
        begin, width = {}, self.target[1]
        place = 0
        for column, phase, rows in self._planes():
            begin[column, phase] = place
            place += rows * width
        step, spread = self.stride[0], self.dilation[0]
        first = self._rows()
        offsets = []
        for ky in range(self.kernel[0]):
            row, phase = divmod(ky * spread, step)
            down = (row - first[phase][0]) * width
            offsets += [begin[column, phase] + down for column in range(self.kernel[1])]
        return np.array(offsets, np.int64)

    def records(self) -> np.ndarray:
        """What the copying function reads, int64 ``(planes, 10)``."""
        (height, width), (_, columns) = self.source, self.target
        first, place, result = self._rows(), 0, []
        for column, phase, rows in self._planes():
            top = first[phase][0] * self.stride[0] + phase - self.padding[0]
            left = column * self.dilation[1] - self.padding[1]
            result.append(
                (
                    top * width + left,
                    self.stride[0] * width,
                    self.stride[1],
                    rows,
                    columns,
                    *_inside(top, self.stride[0], rows, height),
                    *_inside(left, self.stride[1], columns, width),
                    place,
                )
            )
            place += rows * columns
        return np.array(result, np.int64)

    def _rows(self) -> dict[int, tuple[int, int]]:
        """First and last row that the places of each phase look at from the first output row."""
        found: dict[int, tuple[int, int]] = {}
        for ky in range(self.kernel[0]):
            row, phase = divmod(ky * self.dilation[0], self.stride[0])
            low, high = found.get(phase, (row, row))
            found[phase] = (min(low, row), max(high, row))
        return found

    def _planes(self) -> list[tuple[int, int, int]]:
        """Column of the kernel, phase of the rows, rows."""
        rows = self._rows().items()
        return [
            (column, phase, self.target[0] + high - low)
            for column in range(self.kernel[1])
            for phase, (low, high) in rows
        ]


def window(step: Conv | Depthwise | Pool) -> Window:
    """The sliding window of a step."""
    source, target = (step.x.height, step.x.width), (step.y.height, step.y.width)
    if isinstance(step, Pool):
        return Window(source, target, step.kernel, step.stride, step.padding)
    kernel = tuple(step.weight.shape[2:]) or (1, 1)
    return Window(source, target, kernel, step.stride, step.padding, step.dilation)


def _inside(first: int, step: int, count: int, size: int) -> tuple[int, int]:
    """Which of ``first, first + step, ...`` lie in ``0 .. size - 1``: from, to."""
    low = min(count, max(0, -(first // step)))
    high = min(count, max(low, (size - 1 - first) // step + 1))
    return low, high
