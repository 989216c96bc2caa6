"""Runs the steps of a program: tasks are claimed, never assigned.

A step is a function, its argument block and a number of tasks. Threads take the next task from an
atomic counter; one that comes late or never comes delays nobody. Before the next step a thread
waits until all tasks of this one are done, not until all threads are there.
"""

from __future__ import annotations

from llvmlite import ir

from lithe.onexn.kernels.emit import I64, POINTER, VOID, Function, new_function
from lithe.onexn.kernels.isa import Isa

__all__ = ["CLAIMED", "DONE", "STEP", "alone", "together"]

# Slots of a step: function, arguments, tasks; the two counters lie on cache lines of their own.
STEP, CLAIMED, DONE = 32, 8, 16
SPINS = 2000
TASK = ir.FunctionType(VOID, [POINTER, I64, I64])
REST = ir.FunctionType(ir.IntType(32), [])


def alone(isa: Isa) -> str:
    """Write the function that runs all steps on one thread: (steps, their number)."""
    f = new_function(isa, [POINTER, I64])
    steps, count = f.args
    with f.loop(0, count) as index:
        step = f.at(steps, f.build.mul(index, f.number(STEP)), I64)
        function, arguments = f.slot(step, 0, TASK.as_pointer()), f.slot(step, 1, POINTER)
        with f.loop(0, f.slot(step, 2)) as task:
            f.build.call(function, [arguments, task, f.number(0)])
    f.done()
    return str(f.module)


def together(isa: Isa) -> str:
    """Write the function that every thread runs: (steps, their number, thread, yield)."""
    f = new_function(isa, [POINTER, I64, I64, REST.as_pointer()])
    steps, count, thread, rest = f.args
    with f.loop(0, count) as index:
        step = f.at(steps, f.build.mul(index, f.number(STEP)), I64)
        function, arguments = f.slot(step, 0, TASK.as_pointer()), f.slot(step, 1, POINTER)
        tasks = f.slot(step, 2)
        _work(f, function, arguments, tasks, thread, step)
        _wait(f, f.at(step, DONE, I64), tasks, rest)
    f.done()
    return str(f.module)


def _work(
    f: Function,
    function: ir.Value,
    arguments: ir.Value,
    tasks: ir.Value,
    thread: ir.Value,
    step: ir.Value,
) -> None:
    b = f.build
    claim, work, after = (f.value.append_basic_block() for _ in range(3))
    b.branch(claim)
    b.position_at_end(claim)
    task = b.atomic_rmw("add", f.at(step, CLAIMED, I64), f.number(1), "acq_rel")
    b.cbranch(b.icmp_signed("<", task, tasks), work, after)
    b.position_at_end(work)
    b.call(function, [arguments, task, thread])
    b.atomic_rmw("add", f.at(step, DONE, I64), f.number(1), "acq_rel")
    b.branch(claim)
    b.position_at_end(after)


def _wait(f: Function, done: ir.Value, tasks: ir.Value, rest: ir.Value) -> None:
    """Spin, and give the processor away when it takes long: the others may need it to finish."""
    b = f.build
    before = b.block
    look, again, tired, after = (f.value.append_basic_block() for _ in range(4))
    b.branch(look)
    b.position_at_end(look)
    spins = b.phi(I64)
    spins.add_incoming(f.number(0), before)
    finished = b.load_atomic(done, "acquire", 8, typ=I64)
    b.cbranch(b.icmp_signed(">=", finished, tasks), after, again)
    b.position_at_end(again)
    if f.isa.name != "neon":
        pause = f.module.globals.get("llvm.x86.sse2.pause") or ir.Function(
            f.module, ir.FunctionType(VOID, []), "llvm.x86.sse2.pause"
        )
        b.call(pause, [])
    following = b.add(spins, f.number(1))
    spins.add_incoming(following, again)
    b.cbranch(b.icmp_signed("<", following, f.number(SPINS)), look, tired)
    b.position_at_end(tired)
    b.call(rest, [])
    spins.add_incoming(f.number(0), tired)
    b.branch(look)
    b.position_at_end(after)
