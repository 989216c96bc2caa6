"""Latency tables of the machine at hand: every block, timed in its place in a running network.

A block that is timed alone and over and over finds its weights in the cache, and the sum of such
times is too small. So whole subnets run, and the clock is read at every border between blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from numbers import Integral
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from lithe.ledger.provenance import environment
from lithe.pssnet.block import Block
from lithe.pssnet.runners import CLOCKS, Clock, runner_of
from lithe.pssnet.space import Space, Subnet
from lithe.pssnet.table import LatencyTable
from lithe.training.progress import progress_bar, watched

__all__ = ["Clock", "Validation", "covering", "fingerprint", "measure", "validate"]

MOST_BLOCKS = 100_000  # a table of more would take days
SAVED_EVERY_S = 10.0  # each time the whole table, so not after each subnet


@dataclass(frozen=True)
class Validation:
    """How well a table predicts whole subnets.

    Attributes:
        predicted_us: sums over the table ``(n,)``, microseconds.
        measured_us: medians of whole passes ``(n,)``, microseconds.
        subnets: which.
    """

    predicted_us: tuple[float, ...]
    measured_us: tuple[float, ...]
    subnets: tuple[Subnet, ...]

    @property
    def errors(self) -> np.ndarray:
        """Relative errors ``(n,)``, signed."""
        return np.array(self.predicted_us) / np.array(self.measured_us) - 1

    @property
    def median_error(self) -> float:
        """Median of the absolute relative errors."""
        return float(np.median(np.abs(self.errors)))

    @property
    def spearman(self) -> float:
        """Rank correlation of prediction and measurement."""
        return float(spearmanr(self.predicted_us, self.measured_us).statistic)

    def __str__(self) -> str:
        worst = float(np.abs(self.errors).max())
        return (
            f"{len(self.subnets)} held-out subnets: median error {self.median_error:.1%},"
            f" worst {worst:.1%}, Spearman {self.spearman:.3f}"
        )


def fingerprint(device: str = "cpu", threads: int = 1, batch: int = 1) -> dict[str, Any]:
    """What a measurement belongs to: machine, versions, threads and batch."""
    known = environment(None if device != "cpu" else "cpu")
    return known | {"threads": threads, "batch": batch, "kind": device}


def measure(
    space: Space,
    device: str = "cpu",
    *,
    subnets: Iterable[Subnet] | None = None,
    repeats: int = 15,
    warmup: int = 3,
    threads: int = 1,
    batch: int = 1,
    clock: Clock = "wall",
    path: str | Path | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> LatencyTable:
    """Measure a latency table on this machine; also :meth:`LatencyTable.measure`.

    Subnets that together hold every block wanted run ``warmup + repeats`` times each; a block's
    entry is the median over its times in the first subnet that holds it, divided by the batch,
    with the 10th and 90th percentile beside it.

    Args:
        space: of an elastic network, or one of the paper's.
        device: ``"cpu"``, or a CUDA device; there the clock waits for the device at each border.
        subnets: measure the blocks of just these; all blocks of the space if left out.
        repeats: timed passes of a subnet, at least 1.
        warmup: passes of a subnet before.
        threads: CPU threads.
        batch: images in one pass.
        clock: ``"wall"``, or ``"processor"``: time of this thread alone, for a busy machine and
            one thread.
        path: keep the table in this JSON file while measuring, and continue from it if it is
            there; entries it has are not measured again.
        seed: which subnets carry the blocks.
        progress: show a bar; by default only on a terminal.

    Returns:
        The table; ``about`` holds the fingerprint and how it was measured.

    Raises:
        TypeError: ``space`` is no space.
        ValueError: the file is of another machine or another way of measuring, the space has too
            many blocks, there is no such device, or an argument is out of range.
    """
    if not isinstance(space, Space):
        raise TypeError(f"space is a {type(space).__name__}; elastic(...) gives one")
    _check(device, repeats, warmup, threads, batch, clock)
    how = {"repeats": repeats, "warmup": warmup, "clock": clock}
    about = {"fingerprint": fingerprint(device, threads, batch)} | how
    times, spread = _continued(path, device, about)
    carriers = covering(space, subnets, seed, known=times)
    if not carriers and not times:
        raise ValueError("no block to measure: no subnet was given")
    runner = runner_of(space, device, batch)
    saved = monotonic()
    try:
        with (
            _settled(threads),
            progress_bar(len(carriers), "latency table", watched(progress)) as bar,
        ):
            for subnet in carriers:
                _add(times, spread, runner.blocks_us(subnet, repeats, warmup, clock), batch)
                if path is not None and monotonic() - saved > SAVED_EVERY_S:
                    LatencyTable({device: times}, device, {device: spread}, about).save(path)
                    saved = monotonic()
                bar.update()
    finally:  # what was measured is kept, whatever ended it
        if path is not None and times:
            LatencyTable({device: times}, device, {device: spread}, about).save(path)
    return LatencyTable({device: times}, device, {device: spread}, about)


def validate(
    table: LatencyTable,
    space: Space,
    subnets: Sequence[Subnet],
    *,
    repeats: int = 15,
    warmup: int = 3,
) -> Validation:
    """Time whole subnets, turn by turn, beside what the table predicts.

    They run on the table's device with its threads, batch and clock; print the result.

    Args:
        table: measured by :func:`measure`.
        space: of the table.
        subnets: held out, at least two; the table must have their blocks.
        repeats: timed passes of each.
        warmup: passes of each before.

    Raises:
        MissingEntryError: the table lacks a block; the message names it.
        ValueError: the table was not measured here, fewer than two different subnets, or a count
            is out of range.
    """
    if len(set(subnets)) < 2:
        raise ValueError(f"{len(set(subnets))} subnet given; a rank correlation needs two or more")
    _check(table.device, repeats, warmup)
    if "fingerprint" not in table.about:
        raise ValueError("this table was not measured by lithe.pssnet.measure")
    predicted = [table.latency_us(space, subnet) for subnet in subnets]
    mark = table.about["fingerprint"]
    here = fingerprint(table.device, mark["threads"], mark["batch"])
    if here != mark:
        raise ValueError(f"the table is of another machine: {_differing(mark, here)}")
    runner = runner_of(space, table.device, mark["batch"])
    clock = table.about["clock"]
    with _settled(mark["threads"]):
        measured = runner.whole_us(subnets, repeats, warmup, clock)
    return Validation(
        tuple(predicted), tuple(us / mark["batch"] for us in measured), tuple(subnets)
    )


def covering(
    space: Space,
    subnets: Iterable[Subnet] | None = None,
    seed: int = 0,
    known: Mapping[Block, object] | None = None,
) -> list[Subnet]:
    """Few subnets that together hold all blocks that are not known yet.

    Args:
        space: the space.
        subnets: choose among these; all blocks of the space are wanted if left out.
        seed: of the random completion.
        known: blocks that are not needed.

    Raises:
        ValueError: the space has too many blocks; name subnets.
    """
    covered = set(known or ())
    if subnets is not None:
        found = []
        for subnet in subnets:
            blocks = set(space.blocks(space.check(subnet)))
            if blocks - covered:
                found.append(subnet)
                covered |= blocks
        return found
    generator = np.random.default_rng(seed)
    return [s for r in space.resolutions for s in _covering_at(space, r, covered, generator)]


def _covering_at(
    space: Space, resolution: int, covered: set[Block], generator: np.random.Generator
) -> Iterator[Subnet]:
    """Subnets of one resolution, each filled with as many uncovered blocks as fit together."""
    wanted: list[tuple[tuple[int, ...], tuple[int, ...], Block]] = []
    for slot in space.layout(resolution):
        rows = [space.choices[j] for j in slot.depends]
        if prod(map(len, rows)) > MOST_BLOCKS:
            raise ValueError(
                f"a block depends on {len(rows)} widths at once, too many combinations to measure"
                " them all; name the subnets to measure"
            )
        options = [(slot.depends, widths, slot.block(*widths)) for widths in product(*rows)]
        wanted += [option for option in options if option[2] not in covered]
    while wanted:
        chosen: dict[int, int] = {}
        for depends, widths, _ in wanted:
            if all(chosen.get(j, w) == w for j, w in zip(depends, widths)):
                chosen |= dict(zip(depends, widths))
        picked = [chosen.get(j, int(generator.choice(row))) for j, row in enumerate(space.choices)]
        subnet = Subnet(resolution, tuple(picked))
        covered |= set(space.blocks(subnet))
        wanted = [option for option in wanted if option[2] not in covered]
        yield subnet


def _add(
    times: dict[Block, float],
    spread: dict[Block, tuple[float, float]],
    found: Mapping[Block, list[float]],
    batch: int,
) -> None:
    """Enter the blocks that the table lacks."""
    for block, column in found.items():
        if block not in times:
            p10, median, p90 = (float(v) / batch for v in np.percentile(column, (10, 50, 90)))
            times[block], spread[block] = max(median, 1e-3), (p10, p90)


def _continued(
    path: str | Path | None, device: str, about: dict[str, Any]
) -> tuple[dict[Block, float], dict[Block, tuple[float, float]]]:
    """What a file from an earlier measurement of the same kind already has."""
    if path is None or not Path(path).exists():
        return {}, {}
    table = LatencyTable.load(path)
    flat = [
        {**t.get("fingerprint", {}), **{k: v for k, v in t.items() if k != "fingerprint"}}
        for t in (table.about, about)
    ]
    if flat[0] != flat[1] or table.device != device:
        raise ValueError(
            f"{Path(path).name} was measured otherwise: {_differing(*flat)}; take another file"
        )
    return table.times[device], table.spread[device]


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    keys = [k for k in sorted({*there, *here}) if there.get(k) != here.get(k)]
    return ", ".join(f"{k}={there.get(k)!r} there, {here.get(k)!r} here" for k in keys)


def _check(
    device: str,
    repeats: int,
    warmup: int,
    threads: int = 1,
    batch: int = 1,
    clock: str = "wall",
) -> None:
    least = {"repeats": (repeats, 1), "warmup": (warmup, 0), "threads": (threads, 1)}
    for name, (value, minimum) in (least | {"batch": (batch, 1)}).items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
            raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {minimum}")
    if clock not in CLOCKS:
        raise ValueError(f"clock is {clock!r}; it may be {', '.join(CLOCKS)}")
    if clock == "processor" and threads != 1:
        raise ValueError("the processor clock is for one thread: set threads=1")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device {device!r} cannot be used here: {error}") from error


@contextmanager
def _settled(threads: int) -> Iterator[None]:
    """Torch held to some threads; put back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
