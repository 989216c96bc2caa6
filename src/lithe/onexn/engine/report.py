"""What packing made of a network: layer by layer, and as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lithe.onexn.engine.choice import DENSE, DENSE_LAST, PACKED, Choice
from lithe.onexn.program import Conv, Depthwise, Foreign, Program
from lithe.onexn.storage import Storage

__all__ = ["PackReport", "PackedLayer", "layers_of"]


@dataclass(frozen=True)
class PackedLayer:
    """One convolution or linear layer of a packed network.

    Attributes:
        name: of the layer.
        kind: ``"packed"`` kernels, or torch: ``"dense"``, ``"dense channels_last"``.
        why: in words.
        blocks: how many are kept; None for depthwise layers, which have none.
        of_blocks: out of how many.
        storage: bytes of its weight packed, dense and in compressed sparse rows; None likewise.
        times_ms: measured, by kind.
    """

    name: str
    kind: str
    why: str
    blocks: int | None
    of_blocks: int | None
    storage: Storage | None
    times_ms: Mapping[str, float]

    def __str__(self) -> str:
        kept = "depthwise" if self.blocks is None else f"{self.blocks}/{self.of_blocks}"
        size = "" if self.storage is None else _bytes(self.storage)
        times = [self.times_ms.get(kind) for kind in (PACKED, DENSE, DENSE_LAST)]
        shown = " ".join("       -" if ms is None else f"{ms:8.3f}" for ms in times)
        kind = "packed" if self.kind == PACKED else "torch"
        return f"{self.name:40.40} {kind:6} {kept:>15} {size:>24} {shown}  {self.why}"


@dataclass(frozen=True)
class PackReport:
    """A packed network at one input shape.

    Attributes:
        shapes: of the inputs.
        threads: that were allowed.
        runs: ``"packed"`` or, where torch is faster on the whole, ``"dense"`` or
            ``"dense channels_last"``.
        why: in words.
        times_ms: of the whole network, by way of running it; empty if nothing was measured.
        layers: convolutions and linear layers in order.
        steps: how many there are in the program.
        foreign: names of steps that torch computes, whatever for.
        arena_bytes: of the buffers of one image.
        compile_seconds: spent on compiling or loading kernels.
    """

    shapes: tuple[tuple[int, ...], ...]
    threads: int
    runs: str
    why: str
    times_ms: Mapping[str, float]
    layers: tuple[PackedLayer, ...] = ()
    steps: int = 0
    foreign: tuple[str, ...] = ()
    arena_bytes: int = 0
    compile_seconds: float = 0.0

    def __str__(self) -> str:
        shapes = ", ".join("x".join(map(str, shape)) for shape in self.shapes)
        lines = [f"{shapes}, {self.threads} threads: runs {self.runs} ({self.why})"]
        lines += [f"  {name}: {ms:.3f} ms" for name, ms in self.times_ms.items()]
        lines.append(
            f"  {self.steps} steps, {len(self.foreign)} by torch; buffers "
            f"{self.arena_bytes / 1e6:.2f} MB; kernels ready in {self.compile_seconds:.2f} s"
        )
        if self.layers:
            title = ("layer", "runs", "blocks", "packed/dense/CSR kB", "packed ms", "dense", "last")
            lines.append("{:40} {:6} {:>15} {:>24} {:>8} {:>8} {:>8}  why".format(*title))
        return "\n".join([*lines, *map(str, self.layers)])


def layers_of(program: Program, choices: Mapping[int, Choice]) -> tuple[PackedLayer, ...]:
    """Rows of the report.

    Args:
        program: as lowered, before torch took steps over.
        choices: by step.
    """
    rows = []
    for index, step in enumerate(program.steps):
        if not isinstance(step, Conv | Depthwise):
            continue
        choice = choices[index]
        blocks = of_blocks = size = None
        if isinstance(step, Conv):
            rows_, columns = step.weight.grid.blocks
            blocks, of_blocks = len(step.weight.values), rows_ * columns
            size = Storage.of(step.weight)
        name = program.names[index]
        rows.append(
            PackedLayer(name, choice.kind, choice.why, blocks, of_blocks, size, choice.times_ms)
        )
    return tuple(rows)


def foreign_of(program: Program) -> tuple[str, ...]:
    """Names of the steps that torch computes."""
    named = zip(program.names, program.steps, strict=True)
    return tuple(name for name, step in named if isinstance(step, Foreign))


def _bytes(storage: Storage) -> str:
    return "/".join(f"{x / 1e3:.1f}" for x in (storage.packed, storage.dense, storage.csr))
