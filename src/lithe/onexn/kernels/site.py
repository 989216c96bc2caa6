"""What steps are bound to: compiled functions, memory, threads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from lithe.onexn.kernels.compiler import Compiler
from lithe.onexn.kernels.cover import Tile, tiles
from lithe.onexn.kernels.epilogue import KINDS
from lithe.onexn.kernels.isa import Isa
from lithe.onexn.kernels.memory import Store, address
from lithe.onexn.kernels.micro import micro_kernel
from lithe.onexn.program import Plane, Program

__all__ = ["Launch", "Site"]


@dataclass(frozen=True, eq=False)
class Launch:
    """A compiled function and what it is called with.

    Attributes:
        function: its address.
        arguments: address of its slots.
        tasks: how often it is called, for all images together.
    """

    function: int
    arguments: int
    tasks: int


@dataclass(eq=False)
class Site:
    """Binds steps to functions and memory.

    Attributes:
        program: that the steps belong to.
        compiler: of the functions.
        arena: the program's buffers, float32 ``(batch * size,)``.
        scratch: for bordered planes, float32.
        batch: images.
        threads: that will share the work.
        store: of everything constant that slots point to.
    """

    program: Program
    compiler: Compiler
    arena: np.ndarray
    scratch: np.ndarray
    batch: int
    threads: int
    store: Store = field(default_factory=Store)

    @property
    def isa(self) -> Isa:
        """What the functions are compiled for."""
        return self.compiler.isa

    def place(self, plane: Plane | None) -> tuple[int, int]:
        """Address of the first image's plane, and floats from one image to the next."""
        if plane is None:
            return 0, 0
        start = self.program.offsets[plane.buffer] + plane.start * plane.height * plane.width
        return address(self.arena) + 4 * start, self.program.size

    def hold(self, values: Iterable, kind: type = np.int64) -> int:
        """Address of a lasting copy of ``values``."""
        return self.store.put(values, kind)

    def launch(self, function: int, slots: list, tasks: int) -> Launch:
        """A launch with ``tasks`` per image."""
        return Launch(function, self.hold(slots), tasks * self.batch)

    def tiles(self, pixels: int, rows: int) -> list[Tile]:
        """Tiles of a map for passes of at most so many rows."""
        return tiles(pixels, self.isa.widths, self.isa.vectors(rows))

    def tile_table(self, cover: list[Tile]) -> tuple[int, int, list[tuple[int, ...]]]:
        """Tiles as kernels read them: address, int32 per tile, kinds of tiles."""
        kinds = sorted({tile.widths for tile in cover})
        most = max(len(tile.widths) for tile in cover)
        table = np.zeros((len(cover), 2 + 2 * most), np.int32)
        for line, tile in zip(table, cover):
            line[0] = kinds.index(tile.widths)
            line[2 : 2 + 2 * len(tile.starts)] = np.repeat(tile.starts, 2)
        return self.hold(table, np.int32), table.shape[1], kinds

    def micro_kernels(self, kinds: list[tuple[int, ...]], rows: list[int]) -> int:
        """Address of a table of micro-kernels, one line per kind of tile."""
        table = [
            [self.compiler.function(micro_kernel, count, widths) for count in rows]
            for widths in kinds
        ]
        return self.hold(table)

    def shares(self, count: int, least: int = 1) -> tuple[int, int]:
        """Cut ``count`` equal pieces of work into tasks of at least ``least``: size, number."""
        wanted = 1 if self.threads == 1 else 8 * self.threads
        size = max(least, -(-count // wanted))
        return size, -(-count // size)

    @staticmethod
    def activation(name: str | None) -> int:
        """The code of an activation."""
        return KINDS[name]


def bits(value: float) -> int:
    """A float32 in the low half of a slot."""
    return int(np.array([value, 0], np.float32).view(np.int64)[0])
