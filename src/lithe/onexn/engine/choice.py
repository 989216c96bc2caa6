"""Never slower than dense: each kind of layer is timed both ways before it is chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from lithe import latency
from lithe.onexn.engine.executor import executor, runnable, with_steps
from lithe.onexn.engine.memory import ALIGNMENT
from lithe.onexn.engine.reference import as_foreign, read_planes
from lithe.onexn.engine.remembered import machine, recall, remember
from lithe.onexn.program import Conv, Depthwise, Plane, Program

__all__ = [
    "DENSE",
    "DENSE_LAST",
    "PACKED",
    "THROUGHOUT",
    "Choice",
    "choose",
    "fastest",
    "throughout",
    "time_ms",
]

PACKED, THROUGHOUT = "packed", "packed throughout"
DENSE, DENSE_LAST = "dense", "dense channels_last"
_LAYOUTS = {DENSE: torch.contiguous_format, DENSE_LAST: torch.channels_last}
#: A quick comparison: a busy machine's clock needs a few rounds, a user cannot wait long.
LEAST_ROUNDS, MOST_ROUNDS, BUDGET_MS = 3, 25, 1000
#: By how much torch must be faster to be let in: each change of hands costs a little, too.
NOISE = 0.03
Run = Callable[[Any], Any]


@dataclass(frozen=True)
class Choice:
    """How a layer is run.

    Attributes:
        kind: ``"packed"``, ``"dense"`` or ``"dense channels_last"``; what is not packed runs by
            torch.
        why: in words.
        times_ms: measured, by kind; empty if nothing was.
    """

    kind: str
    why: str
    times_ms: Mapping[str, float]


def choose(
    program: Program, batch: int, threads: int, tune: bool = True
) -> tuple[Program, dict[int, Choice]]:
    """Put torch in place of the layers that it runs faster, or that kernels cannot run.

    Only convolutions, depthwise or not, and linear layers are timed: on all else the kernels have
    nothing to lose but a pass through memory.

    Args:
        program: as lowered.
        batch: images at once.
        threads: of both sides.
        tune: measure; otherwise kernels run whatever they can.

    Returns:
        The program to run, and the choice by step.
    """
    program, reasons = runnable(program)
    choices = {i: Choice(DENSE, why, {}) for i, why in reasons.items()}
    layers = {
        i: step
        for i, step in enumerate(program.steps)
        if isinstance(step, Conv | Depthwise) and i not in reasons
    }
    if not tune:
        unmeasured = Choice(PACKED, "not measured", {})
        return program, choices | dict.fromkeys(layers, unmeasured)
    keys = {i: _key(step, batch, threads) for i, step in layers.items()}
    known = recall(list(keys.values()))
    fresh = {}
    for i, key in keys.items():
        if set(known.get(key, ())) != {PACKED, *_LAYOUTS}:
            known[key] = fresh[key] = _measure(layers[i], batch, threads)
    if fresh:
        remember(fresh)
    steps = list(program.steps)
    for i, key in keys.items():
        choices[i] = _choice(known[key])
        if choices[i].kind != PACKED:
            steps[i] = as_foreign(steps[i], _LAYOUTS[choices[i].kind])
    return with_steps(program, steps), choices


def fastest(
    key: Mapping[str, Any], ways: Mapping[str, Callable[[], Run]], inputs: Any, threads: int
) -> tuple[str, Run, dict[str, float]]:
    """The fastest of several ways to run a whole network, remembered under ``key``.

    Args:
        key: what the times depend on, beside the machine.
        ways: by name, how to make what runs it; only those are made that are needed.
        inputs: given to what was made.
        threads: while timing.

    Returns:
        Its name, what was made, and milliseconds by name.
    """
    name = _digest({**key, "threads": threads})
    known = recall([name]).get(name, {})
    if set(known) == set(ways):
        best = min(known, key=known.__getitem__)
        return best, ways[best](), known
    made = {way: make() for way, make in ways.items()}
    known = time_ms({way: partial(run, inputs) for way, run in made.items()}, threads)
    remember({name: known})
    best = min(known, key=known.__getitem__)
    return best, made[best], known


def time_ms(ways: Mapping[str, Callable[[], object]], threads: int) -> dict[str, float]:
    """Milliseconds of a call by name, the ways taking turns; the best of the rounds.

    The best one, because all that a busy machine does to a clock is add to it.
    """
    first = latency.compare(ways, threads=threads, repeats=1, warmup=1)
    round_ms = sum(x.median_ms for x in first.values())
    rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, int(BUDGET_MS / round_ms)))
    measured = latency.compare(ways, threads=threads, repeats=rounds, warmup=1)
    return {name: min(x.samples_ms) for name, x in measured.items()}


def throughout(choices: Mapping[int, Choice]) -> dict[int, Choice]:
    """The same choices, had the kernels been left every layer that was timed."""
    why = "; yet the whole network is faster without the change to torch and back"
    return {
        i: Choice(PACKED, x.why + why, x.times_ms) if x.times_ms and x.kind != PACKED else x
        for i, x in choices.items()
    }


def _choice(times: Mapping[str, float]) -> Choice:
    best = min((name for name in times if name != PACKED), key=times.__getitem__)
    ratio = times[best] / times[PACKED]
    kind = best if ratio < 1 - NOISE else PACKED
    why = f"{ratio:.2f}x dense" if kind == PACKED else f"packed would be {ratio:.2f}x dense"
    return Choice(kind, why, dict(times))


def _measure(step: Conv | Depthwise, batch: int, threads: int) -> dict[str, float]:
    """Both sides run as a program of one step, which takes the same input and gives the same."""
    alone = _alone(step)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(batch, *shape, generator=generator, dtype=torch.float32)
        for shape in ((x.channels, x.height, x.width) for x in alone.inputs)
    ]
    ways = {PACKED: alone}
    for name, layout in _LAYOUTS.items():
        ways[name] = with_steps(alone, [as_foreign(alone.steps[0], layout)])
    runs = {name: executor(program, batch, threads) for name, program in ways.items()}
    return time_ms({name: partial(run.run, *inputs) for name, run in runs.items()}, threads)


def _alone(step: Conv | Depthwise) -> Program:
    """A program of one step, each plane in a buffer of its own."""
    planes = [*read_planes(step), step.y]
    shapes = [(p.channels, p.height, p.width) for p in planes]
    sizes = [-(-c * h * w // ALIGNMENT) * ALIGNMENT for c, h, w in shapes]
    moved = [Plane(i, *shape) for i, shape in enumerate(shapes)]
    offsets = tuple(sum(sizes[:i]) for i in range(len(sizes)))
    residual = moved[1] if step.residual is not None else None
    alone = replace(step, x=moved[0], y=moved[-1], residual=residual)
    return Program(
        (alone,), tuple(shapes), offsets, sum(sizes), tuple(moved[:-1]), (moved[-1],), ("layer",)
    )


def _key(step: Conv | Depthwise, batch: int, threads: int) -> str:
    """All that the time of a layer depends on, as one word."""
    what: dict[str, Any] = {
        "step": type(step).__name__,
        "x": [step.x.channels, step.x.height, step.x.width],
        "y": [step.y.channels, step.y.height, step.y.width],
        "moves": [step.stride, step.padding, step.dilation],
        "weight": list(step.weight.shape),
        "bias": step.bias is not None,
        "residual": step.residual is not None,
        "activation": step.activation,
        "batch": batch,
        "threads": threads,
    }
    if isinstance(step, Conv):
        packed = step.weight
        what |= {
            "n": packed.n,
            "blocks": len(packed.values),
            "groups": packed.groups,
            "ordered": packed.order is not None,
        }
    return _digest(what)


def _digest(what: Mapping[str, Any]) -> str:
    text = json.dumps({**what, "machine": machine()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
