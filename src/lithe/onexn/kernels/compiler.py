"""From LLVM IR to addresses that can be called, through the cache on disk."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from lithe.onexn.kernels import cache as objects
from lithe.onexn.kernels.emit import SYMBOL
from lithe.onexn.kernels.isa import Isa

__all__ = ["Compiler", "assembly", "compiler", "object_code"]


class Compiler:
    """Compiles functions for one instruction set, each once per process.

    Attributes:
        isa: the instruction set.
        built: objects compiled so far.
        loaded: objects that came from the cache on disk.
    """

    def __init__(self, isa: Isa) -> None:
        self.isa, self.built, self.loaded = isa, 0, 0
        self._addresses: dict[tuple, int] = {}
        self._engines: list[Any] = []  # code lives as long as its engine
        self._lock = threading.Lock()

    def function(self, write: Callable[..., str], *arguments: Any) -> int:
        """Where a function lies in memory, compiled or loaded if need be.

        Args:
            write: a function of this package; given the instruction set and ``arguments``,
                LLVM IR that defines the symbol ``lithe_kernel``.
            arguments: of ``write``, hashable.
        """
        own = (write, *arguments)
        with self._lock:
            if own not in self._addresses:
                engine = self._engine(self._code(write, arguments))
                self._engines.append(engine)
                self._addresses[own] = engine.get_function_address(SYMBOL)
            return self._addresses[own]

    def _code(self, write: Callable[..., str], arguments: tuple) -> bytes:
        key = _key(self.isa, write, arguments)
        code = objects.load(key)
        if code is not None:
            self.loaded += 1
            return code
        code = object_code(self.isa, write(self.isa, *arguments))
        objects.store(key, code)
        self.built += 1
        return code

    def _engine(self, code: bytes) -> Any:
        import llvmlite.binding as llvm

        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(self.isa))
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return engine


@cache
def compiler(isa: Isa) -> Compiler:
    """The compiler of this process for an instruction set."""
    return Compiler(isa)


def object_code(isa: Isa, text: str) -> bytes:
    """Compile LLVM IR to an object file."""
    return _machine(isa).emit_object(_parsed(text))


def assembly(isa: Isa, text: str) -> str:
    """Compile LLVM IR to assembly, to be read."""
    return _machine(isa).emit_assembly(_parsed(text))


def _parsed(text: str) -> Any:
    """A module as written: loops and registers are laid out in the IR, so no passes run on it.

    They would double the time of compiling and change nothing that can be measured.
    """
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.verify()
    return module


def _machine(isa: Isa) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(isa.triple)
    return target.create_target_machine(
        cpu=isa.cpu, features=isa.features, opt=3, reloc="pic", codemodel="small", jit=True
    )


@cache
def _versions() -> str:
    import llvmlite
    import llvmlite.binding as llvm

    return f"{llvmlite.__version__} {llvm.llvm_version_info}"


@cache
def _sources() -> str:
    """Digest of everything that decides what IR is written, so that none is for a warm start."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _key(isa: Isa, write: Callable[..., str], arguments: tuple) -> str:
    parts = (_sources(), write.__module__, write.__qualname__, repr(arguments), repr(isa))
    return hashlib.sha256("\0".join([*parts, _versions()]).encode()).hexdigest()
