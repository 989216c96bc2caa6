"""The code of the micro-kernel, to be read: what a processor executes for each kept block."""

from __future__ import annotations

import re

from lithe.onexn.kernels.compiler import assembly
from lithe.onexn.kernels.isa import Isa
from lithe.onexn.kernels.micro import micro_kernel

__all__ = ["inner_loop"]

PRODUCT = re.compile(r"vfmadd|fmla|mulps")


def inner_loop(isa: Isa, rows: int, vectors: int | None = None) -> list[str]:
    """Instructions of one round of the micro-kernel's inner loop.

    Args:
        isa: processor; it need not be this one.
        rows: filters of the register tile.
        vectors: per filter; as many as the registers hold if None.

    Returns:
        One instruction per entry, without labels and directives.
    """
    widths = (isa.lanes,) * (vectors or isa.vectors(rows))
    text = assembly(isa, micro_kernel(isa, rows, widths))
    parts = re.split(r"^(\.L\w+):.*$", text, flags=re.M)
    loops = [_turn(label, body) for label, body in zip(parts[1::2], parts[2::2])]
    return max(loops, key=lambda lines: sum(bool(PRODUCT.match(line)) for line in lines))


def _turn(label: str, body: str) -> list[str]:
    """Instructions up to the jump back to a block's own label; none if there is no such jump."""
    lines = [line.strip() for line in body.splitlines()]
    lines = [line for line in lines if line and not line.startswith((".", "#", "/", ";"))]
    back = [index for index, line in enumerate(lines) if line.split()[-1] == label]
    return lines[: back[-1] + 1] if back else []
