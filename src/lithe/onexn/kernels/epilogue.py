"""What happens to finished sums before they are stored: residual, then activation."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from lithe.onexn.kernels.emit import I64, Function

__all__ = ["KINDS", "activated", "each_kind"]

# Codes that kernels read from their argument blocks; None is no activation.
KINDS: dict[str | None, int] = {None: 0, "relu": 1, "relu6": 2, "hardswish": 3, "hardsigmoid": 4}


def activated(f: Function, kind: int, value: ir.Value) -> ir.Value:
    """The activation of a vector of sums; NaN stays NaN, as in torch."""
    width = getattr(value.type, "count", 1)
    zero = f.constant(0.0, width)
    if kind == 0:
        return value
    if kind == 1:
        return f.largest(zero, value)
    if kind == 2:
        return f.smallest(f.constant(6.0, width), f.largest(zero, value))
    gate = f.fma(value, f.constant(1 / 6, width), f.constant(0.5, width))
    gate = f.smallest(f.constant(1.0, width), f.largest(zero, gate))
    return f.build.fmul(value, gate) if kind == 3 else gate


def each_kind(f: Function, kind: ir.Value, body: Callable[[int], None]) -> None:
    """Write ``body`` once per activation and branch to the one that ``kind`` names."""
    after = f.value.append_basic_block()
    blocks = {code: f.value.append_basic_block() for code in KINDS.values()}
    switch = f.build.switch(kind, blocks[0])
    for code, block in blocks.items():
        if code:
            switch.add_case(ir.Constant(I64, code), block)
        f.build.position_at_end(block)
        body(code)
        f.build.branch(after)
    f.build.position_at_end(after)
