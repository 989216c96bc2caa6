"""Binds each step of a program to the functions that compute it."""

from __future__ import annotations

from functools import singledispatch
from itertools import pairwise

import numpy as np
from torch import Tensor

from lithe.onexn.kernels.convolve import convolve, copy_planes, depthwise
from lithe.onexn.kernels.elementwise import elementwise
from lithe.onexn.kernels.geometry import Window, window
from lithe.onexn.kernels.isa import Isa
from lithe.onexn.kernels.layout import Pass, block_rows, passes
from lithe.onexn.kernels.masked import masked_depthwise
from lithe.onexn.kernels.masks import InPlace
from lithe.onexn.kernels.memory import address
from lithe.onexn.kernels.pooling import mean_map, pool
from lithe.onexn.kernels.rolling import rolling_depthwise, rolls
from lithe.onexn.kernels.site import Launch, Site, bits
from lithe.onexn.kernels.vector import vector_kernel
from lithe.onexn.program import Activate, Combine, Conv, Depthwise, Mean, Plane, Pool, Step

__all__ = ["bind", "scratch_floats"]

# Where a pass sums up at most FEW blocks, storing the sums takes the time, if the output does not
# stay in the second cache (WIDE bytes). LONG pixels: a row of it is more than the first one holds.
# Two threads that share the map cut its rows to pieces: then tile by tile was faster.
FEW, WIDE, LONG = 20, 1 << 21, 1 << 13


def scratch_floats(step: Step, batch: int, threads: int, isa: Isa) -> int:
    """Floats of scratch that a step needs."""
    own = window(step) if isinstance(step, Conv | Depthwise | Pool) else None
    if isinstance(step, Conv) and not own.direct:
        return batch * step.x.channels * own.size
    if isinstance(step, Depthwise | Pool):
        need = _line(own.size) + 4 * step.x.height * step.x.width + 4096
        if isinstance(step, Depthwise):
            need = max(need, _line(InPlace(own, isa).scratch))
        return threads * need
    return 0


@singledispatch
def bind(step: Step, site: Site) -> list[Launch]:
    """The launches that compute a step."""
    raise TypeError(f"no native kernel for {type(step).__name__}")


@bind.register
def _(step: Conv, site: Site) -> list[Launch]:
    own = window(step)
    if own.direct and own.pixels == 1:
        return [_vector(step, site)]
    if own.direct:
        return [_convolve(step, site, own, *site.place(step.x), own.pixels)]
    size = own.size
    channels, planes = step.x.channels, address(site.scratch)
    share, tasks = site.shares(channels)
    slots = [*site.place(step.x), planes, channels * size, step.x.height * step.x.width, size]
    slots += [*_records(site, own), channels, share, tasks, 0]
    copy = site.launch(site.compiler.function(copy_planes), slots, tasks)
    return [copy, _convolve(step, site, own, planes, channels * size, size)]


def _convolve(step: Conv, site: Site, own: Window, x: int, x_step: int, channel: int) -> Launch:
    work = passes(step.weight, site.isa.most_rows)
    cover = site.tiles(own.pixels, len(work[0].filters))
    tiles, pitch, kinds = site.tile_table(cover)
    rows = sorted({len(part.filters) for part in work})
    places = [_pass(step, site, part, own, channel) for part in work]
    blocks = sum(place[1] for place in places) / len(places)
    large = own.pixels > LONG and 4 * step.y.channels * own.pixels > WIDE
    whole = large and blocks <= FEW and site.threads == 1
    table, runs = _tasks(site, work, len(cover), places, rows, whole)
    slots = [x, x_step, *site.place(step.y), *site.place(step.residual), tiles, pitch]
    slots += [site.micro_kernels(kinds, rows), site.hold(table), len(table)]
    slots += [site.activation(step.activation), len(rows), site.hold(runs)]
    slots.append(len(cover) if whole else 1)
    return site.launch(site.compiler.function(convolve), slots, len(table))


def _pass(step: Conv, site: Site, part: Pass, own: Window, channel: int) -> list[int]:
    """Slots of a pass."""
    offsets = (part.columns[:, None] * channel + own.taps()).ravel()
    bias = _bias(step.bias, part.filters)
    slots = [site.hold(offsets, np.int32), len(offsets), site.hold(part.values, np.float32)]
    return [*slots, site.hold(bias, np.float32), *(part.filters * own.pixels)]


def _tasks(
    site: Site,
    work: list[Pass],
    tiles: int,
    places: list[list[int]],
    rows: list[int],
    alone: bool,
) -> tuple[list, list]:
    """Tasks (tiles from, to, runs from, to) and runs (passes, their number, which kernel).

    ``alone``: every pass is a run of its own.
    """
    wanted = 1 if site.threads == 1 else 8 * site.threads
    columns = min(tiles, wanted)
    parts = _balanced([part.cost for part in work], max(1, wanted // columns))
    bounds = [index * tiles // columns for index in range(columns + 1)]
    runs, spans = [], []
    for first, last in parts:
        begin = len(runs)
        runs += _runs(site, places[first:last], rows, alone)
        spans.append((begin, len(runs)))
    tasks = [(low, high, *span) for low, high in pairwise(bounds) for span in spans]
    return tasks, runs


def _runs(
    site: Site, places: list[list[int]], rows: list[int], alone: bool
) -> list[tuple[int, int, int]]:
    runs: list[list[list[int]]] = []
    for place in places:
        if runs and len(runs[-1][0]) == len(place) and not alone:
            runs[-1].append(place)
        else:
            runs.append([place])
    return [(site.hold(run), len(run), rows.index(len(run[0]) - 4)) for run in runs]


def _balanced(costs: list[int], parts: int) -> list[tuple[int, int]]:
    """Cut a list into at most ``parts`` stretches of about equal cost."""
    total = np.concatenate([[0], np.cumsum(costs)])
    goals = total[-1] * np.arange(1, parts) / parts
    cuts = np.unique(np.concatenate([[0], np.searchsorted(total, goals), [len(costs)]]))
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist()))


def _vector(step: Conv, site: Site) -> Launch:
    widest = site.isa.lanes
    work = block_rows(step.weight, 4 * widest)
    most = max(len(part.filters) for part in work)
    width = next((w for w in reversed(site.isa.widths) if w >= most), widest)
    vectors = min(4, -(-most // width))
    size = width * vectors
    table = [line for part in work for line in _vector_rows(step, site, part, size)]
    bounds = [0] + [
        last for _, last in _balanced([line[1] + 4 for line in table], 8 * site.threads)
    ]
    if site.threads == 1:
        bounds = [0, len(table)]
    slots = [*site.place(step.x), *site.place(step.y), *site.place(step.residual)]
    slots += [site.hold(table), site.hold(bounds), 0, 0, len(bounds) - 1]
    slots += [site.activation(step.activation)]
    return site.launch(
        site.compiler.function(vector_kernel, width, vectors), slots, len(bounds) - 1
    )


def _vector_rows(step: Conv, site: Site, part: Pass, size: int) -> list[list[int]]:
    lines, columns = [], site.hold(part.columns, np.int32)
    for low in range(0, len(part.filters), size):
        filters = part.filters[low : low + size]
        values = np.zeros((len(part.columns), size), np.float32)
        values[:, : len(filters)] = part.values[:, 0, low : low + size]
        bias = np.zeros(size, np.float32)
        bias[: len(filters)] = _bias(step.bias, filters)
        line = [columns, len(part.columns), site.hold(values, np.float32)]
        line += [site.hold(bias, np.float32), site.hold(filters, np.int32), len(filters)]
        lines.append(line)
    return lines


@bind.register
def _(step: Depthwise, site: Site) -> list[Launch]:
    if step.residual is None and rolls(window(step), site.isa):
        return [_rolling(step, site, window(step))]
    own = InPlace(window(step), site.isa)
    return [_masked(step, site, own) if own.fits else _bordered(step, site)]


def _rolling(step: Depthwise, site: Site, own: Window) -> Launch:
    channels, pixels = step.x.channels, step.x.height * step.x.width
    share, tasks = site.shares(channels)
    bias = _bias(step.bias, np.arange(channels))
    slots = [*site.place(step.x), *site.place(step.y), pixels, own.pixels, 0, 0]
    slots += [channels, share, tasks, own.target[0]]
    slots += [site.hold(step.weight.detach().numpy(), np.float32), site.hold(bias, np.float32)]
    shape = (step.x.width, step.y.width, own.stride[0], site.activation(step.activation))
    return site.launch(site.compiler.function(rolling_depthwise, *shape), slots, tasks)


def _masked(step: Depthwise, site: Site, own: InPlace) -> Launch:
    channels, pixels = step.x.channels, step.x.height * step.x.width
    share, tasks = site.shares(channels)
    weight = step.weight.detach().numpy().reshape(channels, -1)
    kinds, offsets = own.tiles(), own.offsets()
    blocks: dict[bytes, int] = {}
    table = []
    for line in kinds.values():
        rows = []
        for tile in line:
            masks = own.masks(tile)
            key = masks.tobytes()
            if key not in blocks:
                blocks[key] = site.hold(masks, masks.dtype)
            rows.append((tile.starts[0], tile.starts[-1], blocks[key]))
        table += [site.hold(rows), len(rows)]
    split = own.window.stride != (1, 1)
    slots = [*site.place(step.x), *site.place(step.y), pixels, own.window.pixels, 0, 0]
    slots += [channels, share, tasks, site.hold(offsets, np.int32), len(offsets)]
    slots += [site.hold(weight, np.float32)]
    slots += [site.hold(_bias(step.bias, np.arange(channels)), np.float32), site.hold(table)]
    slots += [site.activation(step.activation), address(site.scratch) + 4 * own.margin]
    slots += [_line(own.scratch), *site.place(step.residual), split * step.x.width]
    slots += [step.x.height, step.y.width, own.phase]
    function = site.compiler.function(masked_depthwise, tuple(kinds))
    return site.launch(function, slots, tasks)


def _bordered(step: Depthwise, site: Site) -> Launch:
    own, channels = window(step), step.x.channels
    cover = site.tiles(own.pixels, 1)
    tiles, pitch, kinds = site.tile_table(cover)
    weight = step.weight.detach().numpy().reshape(channels, -1)
    bias = _bias(step.bias, np.arange(channels))
    taps, numbers = site.hold(own.taps(), np.int32), np.arange(channels)
    weights, biases = site.hold(weight, np.float32), site.hold(bias, np.float32)
    lines = np.empty((channels, 5), np.int64)
    lines[:, 0], lines[:, 1] = taps, weight.shape[1]
    lines[:, 2], lines[:, 3] = weights + 4 * weight.shape[1] * numbers, biases + 4 * numbers
    lines[:, 4] = own.pixels * numbers
    share, tasks = site.shares(channels)
    slots = [*site.place(step.x), *site.place(step.y), step.x.height * step.x.width, len(cover)]
    slots += [*_records(site, own), channels, share, tasks, 0, tiles, pitch]
    slots += [site.micro_kernels(kinds, [1]), site.hold(lines), site.activation(step.activation)]
    slots += [address(site.scratch), _line(own.size), *site.place(step.residual)]
    return site.launch(site.compiler.function(depthwise), slots, tasks)


@bind.register
def _(step: Pool, site: Site) -> list[Launch]:
    own, channels = window(step), step.x.channels
    share, tasks = site.shares(channels)
    border = -np.inf if step.kind == "max" else 0.0
    slots = [*site.place(step.x), *site.place(step.y), step.x.height * step.x.width, own.pixels]
    slots += [*_records(site, own), channels, share, tasks, bits(border)]
    slots += [site.hold(own.taps(), np.int32), len(own.taps())]
    slots += [site.hold(_weights(step), np.float32), 0, 0, address(site.scratch), _line(own.size)]
    return [site.launch(site.compiler.function(pool, step.kind), slots, tasks)]


def _weights(step: Pool) -> np.ndarray:
    """One over the number of values behind each pixel, as torch counts them."""
    counts = []
    sides = zip((step.x.height, step.x.width), (step.y.height, step.y.width))
    for axis, (size, out) in enumerate(sides):
        border = step.padding[axis]
        first = np.arange(out) * step.stride[axis] - border
        last = np.minimum(first + step.kernel[axis], size + border)
        if not step.counts_padding:
            first, last = np.maximum(first, 0), np.minimum(last, size)
        counts.append(last - first)
    return 1.0 / np.outer(*counts)


@bind.register
def _(step: Mean, site: Site) -> list[Launch]:
    channels, pixels = step.x.channels, step.x.height * step.x.width
    share, tasks = site.shares(channels)
    slots = [*site.place(step.x), *site.place(step.y), pixels, pixels, 0, 0]
    slots += [channels, share, tasks, bits(1 / pixels)]
    return [site.launch(site.compiler.function(mean_map), slots, tasks)]


@bind.register
def _(step: Combine, site: Site) -> list[Launch]:
    spread = step.b.height * step.b.width == 1 < step.a.height * step.a.width
    return [_elementwise(site, step.kind, step.a, step.b, step.y, step.activation, spread)]


@bind.register
def _(step: Activate, site: Site) -> list[Launch]:
    return [_elementwise(site, "copy", step.x, None, step.y, step.activation, False)]


def _elementwise(
    site: Site,
    kind: str,
    a: Plane,
    b: Plane | None,
    y: Plane,
    activation: str | None,
    spread: bool,
) -> Launch:
    pixels = a.height * a.width
    total = a.channels * pixels
    length, rows = (pixels, a.channels) if spread else site.shares(total, least=4096)
    share, tasks = site.shares(rows)
    slots = [*site.place(a), *site.place(y), *site.place(b), length, total]
    slots += [rows, share, tasks, site.activation(activation)]
    return site.launch(site.compiler.function(elementwise, kind, spread), slots, tasks)


def _records(site: Site, own: Window) -> tuple[int, int]:
    records = own.records()
    return site.hold(records), len(records)


def _bias(bias: Tensor | None, filters: np.ndarray) -> np.ndarray:
    if bias is None:
        return np.zeros(len(filters), np.float32)
    return bias.detach().cpu().numpy().astype(np.float32)[filters]


def _line(size: int) -> int:
    """Room per thread: whole cache lines."""
    return -(-size // 16) * 16
