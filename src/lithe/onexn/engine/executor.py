"""What runs a program here: compiled kernels, or the plain reference where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from lithe.onexn import kernels
from lithe.onexn.engine.reference import ReferenceProgram, as_foreign
from lithe.onexn.operator import native_enabled
from lithe.onexn.program import Foreign, Program

__all__ = ["Executor", "executor", "native", "refused", "runnable", "with_steps"]


class Executor(Protocol):
    """A program made ready."""

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Outputs ``(batch, c, h, w)`` of inputs so shaped, freshly allocated."""


def native() -> bool:
    """Are there compiled kernels for this machine, and are they wanted?

    LITHE_KERNELS=reference turns them off.
    """
    return native_enabled()


def refused(step: Any) -> str | None:
    """Why a step cannot run on the kernels; None if it can."""
    return None if isinstance(step, Foreign) or not native() else kernels.supports(step)


def runnable(program: Program) -> tuple[Program, dict[int, str]]:
    """The program with torch in place of steps that the kernels refuse, and their reasons."""
    reasons = {i: why for i, step in enumerate(program.steps) if (why := refused(step))}
    steps = [as_foreign(x) if i in reasons else x for i, x in enumerate(program.steps)]
    return with_steps(program, steps), reasons


def with_steps(program: Program, steps: list[Any]) -> Program:
    """The same program with other steps on the same planes."""
    return replace(program, steps=tuple(steps))


def executor(program: Program, batch: int, threads: int) -> Executor:
    """Make a program ready: compile it, or take its kernels from the cache."""
    kind = kernels.NativeProgram if native() else ReferenceProgram
    if threads == 1:
        return kind(program, batch, threads)
    with _torch_keeps_its_threads():  # the driver of threads is started here
        return _Apart(kind(program, batch, threads))


class _Apart:
    """A program on several threads that leaves torch's number of threads as it was."""

    def __init__(self, made: Executor) -> None:
        self._made = made

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """As of the program."""
        with _torch_keeps_its_threads():
            return self._made.run(*inputs)


@contextmanager
def _torch_keeps_its_threads() -> Iterator[None]:
    """The kernels' driver and torch share one OpenMP runtime: what one sets, the other obeys."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
