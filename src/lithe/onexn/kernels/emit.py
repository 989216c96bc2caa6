"""A thin hand on llvmlite's builder: loops, slots of argument blocks, vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from lithe.onexn.kernels.isa import Isa

__all__ = ["F32", "I32", "I64", "POINTER", "SYMBOL", "VOID", "Function", "new_function"]

VOID, I1, I32, I64 = ir.VoidType(), ir.IntType(1), ir.IntType(32), ir.IntType(64)
F32, POINTER = ir.FloatType(), ir.PointerType()

# Every object defines one function that others call, under this name.
SYMBOL = "lithe_kernel"


Body = Callable[[ir.Value, list[ir.Value], int], list[ir.Value]]


class Function:
    """A function being written.

    Args:
        module: that it goes into.
        isa: to write for.
        name: its symbol.
        kinds: types of its arguments.
        result: type of what it returns.
        internal: seen by its module only, and inlined where it is called once.
    """

    def __init__(
        self,
        module: ir.Module,
        isa: Isa,
        name: str,
        kinds: list[ir.Type],
        result: ir.Type = VOID,
        internal: bool = False,
    ) -> None:
        self.isa, self.module = isa, module
        self.value = ir.Function(module, ir.FunctionType(result, kinds), name)
        self.value.attributes.add("nounwind")
        if internal:
            self.value.linkage = "internal"
        self.args = self.value.args
        self.build = ir.IRBuilder(self.value.append_basic_block("entry"))

    def number(self, value: int) -> ir.Value:
        """A 64-bit constant."""
        return ir.Constant(I64, value)

    def at(self, pointer: ir.Value, index: ir.Value | int, kind: ir.Type = F32) -> ir.Value:
        """The address of element ``index``."""
        index = self.number(index) if isinstance(index, int) else index
        return self.build.gep(pointer, [index], source_etype=kind)

    def slot(self, block: ir.Value, index: ir.Value | int, kind: ir.Type = I64) -> ir.Value:
        """A 64-bit slot of an argument block, read as a number or a pointer."""
        return self.build.load(self.at(block, index, I64), typ=kind, align=8)

    def int32(self, pointer: ir.Value, index: ir.Value | int) -> ir.Value:
        """Element of a list of int32, widened."""
        value = self.build.load(self.at(pointer, index, I32), typ=I32, align=4)
        return self.build.sext(value, I64)

    def local(self, count: int) -> ir.Value:
        """Room for some floats while the function runs."""
        place = self.build.alloca(ir.ArrayType(F32, count))
        place.type = POINTER  # the builder would give it a typed pointer, good for one type only
        return place

    def vector(self, width: int) -> ir.Type:
        """The type of ``width`` floats."""
        return F32 if width == 1 else ir.VectorType(F32, width)

    def load(self, pointer: ir.Value, width: int = 1) -> ir.Value:
        """``width`` floats from any address."""
        return self.build.load(pointer, typ=self.vector(width), align=4)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        """Floats to any address."""
        self.build.store(value, pointer, align=4)

    def splat(self, value: ir.Value, width: int) -> ir.Value:
        """One float in every lane."""
        if width == 1:
            return value
        empty = ir.Constant(self.vector(width), ir.Undefined)
        first = self.build.insert_element(empty, value, ir.Constant(I32, 0))
        order = ir.Constant(ir.VectorType(I32, width), [0] * width)
        return self.build.shuffle_vector(first, empty, order)

    def constant(self, value: float, width: int) -> ir.Value:
        """A constant in every lane."""
        return ir.Constant(self.vector(width), [value] * width if width > 1 else value)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """``a * b + c``."""
        if not self.isa.fma:
            return self.build.fadd(self.build.fmul(a, b), c)
        width = getattr(a.type, "count", 1)
        name = f"llvm.fma.v{width}f32" if width > 1 else "llvm.fma.f32"
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(a.type, [a.type] * 3), name)
        return self.build.call(function, [a, b, c])

    def fetch(self, pointer: ir.Value, ahead: int, write: bool = False) -> None:
        """Ask for the cache line so many bytes ahead, which need not exist."""
        name = "llvm.prefetch.p0"
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(
                self.module, ir.FunctionType(VOID, [POINTER, I32, I32, I32]), name
            )
        # to read or to write, to all caches, data
        codes = [ir.Constant(I32, code) for code in (int(write), 3, 1)]
        self.build.call(function, [self.at(pointer, ahead, ir.IntType(8)), *codes])

    def largest(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Maximum; NaN in ``b`` stays."""
        return self.build.select(self.build.fcmp_ordered(">", a, b), a, b)

    def smallest(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Minimum; NaN in ``b`` stays."""
        return self.build.select(self.build.fcmp_ordered("<", a, b), a, b)

    @contextmanager
    def loop(
        self, start: ir.Value | int, stop: ir.Value, step: ir.Value | int = 1
    ) -> Iterator[ir.Value]:
        """Repeat the body for ``start``, ``start + step``, ... below ``stop`` (signed)."""
        start = self.number(start) if isinstance(start, int) else start
        step = self.number(step) if isinstance(step, int) else step
        before = self.build.block
        head, body, after = (self.value.append_basic_block() for _ in range(3))
        self.build.branch(head)
        self.build.position_at_end(head)
        index = self.build.phi(I64)
        index.add_incoming(start, before)
        self.build.cbranch(self.build.icmp_signed("<", index, stop), body, after)
        self.build.position_at_end(body)
        yield index
        index.add_incoming(self.build.add(index, step), self.build.block)
        self.build.branch(head)
        self.build.position_at_end(after)

    def done(self) -> None:
        """Return from the function, which is complete."""
        self.build.ret_void()

    def carried(
        self, start: ir.Value, stop: ir.Value, step: int, values: list[ir.Value], body: Body
    ) -> tuple[ir.Value, list[ir.Value]]:
        """A loop that carries values from one round to the next; index and values after it."""
        b, before = self.build, self.build.block
        head, inside, after = (self.value.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        index, phis = b.phi(I64), [b.phi(value.type) for value in values]
        index.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", index, stop), inside, after)
        b.position_at_end(inside)
        results = body(index, list(phis), step)
        index.add_incoming(b.add(index, self.number(step)), b.block)
        for phi, value, result in zip(phis, values, results):
            phi.add_incoming(value, before)
            phi.add_incoming(result, b.block)
        b.branch(head)
        b.position_at_end(after)
        return index, phis


def new_function(isa: Isa, kinds: list[ir.Type]) -> Function:
    """The function of a new module, to be written."""
    module = ir.Module(name=SYMBOL)
    module.triple = isa.triple
    return Function(module, isa, SYMBOL, kinds)
