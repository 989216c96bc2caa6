"""How long each branch takes on this machine, for each kind of tile."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from lithe.arm.executors import Run, kind_of
from lithe.arm.painter import Painter
from lithe.arm.tiles import Tile, window_areas
from lithe.files import write_json

__all__ = ["Latencies"]

BATCHES = (1, 4, 16)
PIXELS = 160 * 160  # most input pixels of a batch: it bounds the memory
FORMAT, VERSION = "lithe-arm-latencies", 2


@dataclass(frozen=True)
class Latencies:
    """Milliseconds to cut, enlarge and paint one tile, and the batch that is fastest.

    Attributes:
        ms: by side of the tile, per branch.
        batches: by side of the tile, tiles to run at once, per branch.
        halos: margin of each branch that was measured with.
        threads: CPU threads of torch while measuring.
        executors: what ran each branch, see :mod:`lithe.arm.executors`; none for torch throughout.
    """

    ms: Mapping[int, tuple[float, ...]]
    batches: Mapping[int, tuple[int, ...]]
    halos: tuple[int, ...]
    threads: int
    executors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.halos)
        if not self.ms or self.ms.keys() != self.batches.keys():
            raise ValueError(f"times are for {[*self.ms]}, batches for {[*self.batches]}")
        for name, table in (("ms", self.ms), ("batches", self.batches)):
            for side, row in table.items():
                if len(row) != count or not all(0 < value < math.inf for value in row):
                    raise ValueError(f"{name} of {side} are {row}; give {count} numbers above 0")
        if len(self.executors) not in (0, count):
            raise ValueError(f"{len(self.executors)} executors, but {count} branches")

    @classmethod
    def measure(
        cls,
        nets: Sequence[Run],
        halos: Sequence[int],
        scale: int,
        sides: Sequence[int] = (32, 64, 128),
        repeats: int = 3,
    ) -> Latencies:
        """Time every branch on every kind of tile, the branches turn by turn.

        Args:
            nets: the branches, or their executors.
            halos: margin of each, input pixels.
            scale: enlargement.
            sides: of the tiles, rising.
            repeats: timed rounds, at least 1.
        """
        ms, batches = {}, {}
        for side in sides:
            size = 4 * (side + 2 * max(halos)) if side <= 64 else side + 2 * max(halos)
            noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
            painter = Painter(noise, nets, halos, scale)
            found = [_best(painter, branch, side, repeats) for branch in range(len(nets))]
            ms[side] = tuple(time for time, _ in found)
            batches[side] = tuple(batch for _, batch in found)
        kinds = tuple(kind_of(net) for net in nets)
        return cls(ms, batches, tuple(halos), torch.get_num_threads(), kinds)

    def costs(self, side: int, height: int, width: int) -> np.ndarray:
        """Milliseconds of every tile of a kind, by branch ``(rows, columns, m)``.

        A window that the image's border clips takes the time of its area, read between those
        that were measured.

        Args:
            side: of the tiles, input pixels.
            height: of the image.
            width: of the image.
        """
        sides = sorted(self.ms)
        columns = []
        for branch, halo in enumerate(self.halos):
            areas = [(s + 2 * halo) ** 2 for s in sides]
            times = [self.ms[s][branch] for s in sides]
            wanted = window_areas(side, halo, height, width)
            columns.append(np.interp(wanted, [0, *areas], [0, *times]))
        return np.stack(columns, -1)

    def save(self, path: str | Path) -> Path:
        """Write as JSON, atomically."""
        return write_json(
            path,
            {
                "format": FORMAT,
                "version": VERSION,
                "ms": {str(side): list(row) for side, row in self.ms.items()},
                "batches": {str(side): list(row) for side, row in self.batches.items()},
                "halos": list(self.halos),
                "threads": self.threads,
                "executors": list(self.executors),
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Latencies:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is something else, or of another version.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if (content["format"], content["version"]) != (FORMAT, VERSION):
                raise ValueError(f"it holds {content['format']} version {content['version']}")
            return cls(
                {int(side): tuple(map(float, row)) for side, row in content["ms"].items()},
                {int(side): tuple(map(int, row)) for side, row in content["batches"].items()},
                tuple(map(int, content["halos"])),
                int(content["threads"]),
                tuple(map(str, content["executors"])),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is not a table of latencies: {error}") from error


def _best(painter: Painter, branch: int, side: int, repeats: int) -> tuple[float, int]:
    """Milliseconds a tile and batch size of the fastest way to paint tiles of one kind."""
    area = (side + 2 * painter.halos[branch]) ** 2
    tile = Tile(0, 0, side, side, side)
    found = []
    for batch in BATCHES:
        if batch > 1 and batch * area > PIXELS:
            break
        times = []
        for _ in range(repeats + 1):  # the first one warms up
            start = perf_counter()
            painter.paint([tile] * batch, branch)
            times.append(1000 * (perf_counter() - start) / batch)
        found.append((median(times[1:]), batch))
    return min(found)
