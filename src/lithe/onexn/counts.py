"""What 1xN leaves of a network, in whole numbers: weights, multiply-accumulates, bytes, blocks.

Nothing here depends on trained weights. Source: 1xN spec A1, A3, A7, A8.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from lithe import cost
from lithe.onexn.budget import check_sparsity
from lithe.onexn.eligible import eligible
from lithe.onexn.grid import Grid
from lithe.onexn.networks import NETWORKS, build
from lithe.onexn.packed import pack_weight
from lithe.onexn.pattern import block_mask
from lithe.onexn.storage import Storage

__all__ = [
    "EXACT",
    "Counts",
    "LayerCount",
    "Survey",
    "count",
    "released_blocks",
    "straddling",
    "survey",
]

SIZES = (2, 4, 8, 16, 32)
RATES = (0.25, 0.5, 0.75, 0.9)
Metrics = dict[str, float | dict]


@dataclass(frozen=True)
class LayerCount:
    """One pruned layer.

    Attributes:
        name: of the layer.
        weights: how many it has.
        positions: output pixels, so that ``weights * positions`` are its multiply-accumulates.
        blocks: how many there are.
        dropped: how many of them go.
        kept: the fewest and the most weights that can stay. They differ only where the last row
            of blocks is narrower and how many narrow blocks go depends on the weights.
    """

    name: str
    weights: int
    positions: int
    blocks: int
    dropped: int
    kept: tuple[int, int]


@dataclass(frozen=True)
class Counts:
    """A whole network; classifier and first convolution included, biases and norms not.

    Attributes:
        weights: of all convolutions and linear layers.
        macs: multiply-accumulates of one image.
        layers: those that are pruned.
    """

    weights: int
    macs: int
    layers: tuple[LayerCount, ...]

    @property
    def kept_weights(self) -> tuple[int, int]:
        """The fewest and the most weights that can stay."""
        return tuple(self.weights - sum(x.weights - x.kept[k] for x in self.layers) for k in (0, 1))

    @property
    def kept_macs(self) -> tuple[int, int]:
        """The fewest and the most multiply-accumulates that can stay."""
        return tuple(
            self.macs - sum((x.weights - x.kept[k]) * x.positions for x in self.layers)
            for k in (0, 1)
        )


@dataclass(frozen=True)
class Survey:
    """A network before anything is dropped.

    Attributes:
        weights: of all convolutions and linear layers.
        macs: multiply-accumulates of one image.
        layers: those to prune by name, each with its output pixels.
    """

    weights: int
    macs: int
    layers: Mapping[str, tuple[nn.Module, int]]


def survey(
    model: nn.Module, example: torch.Tensor, skip: Collection[str] = (), also: Collection[str] = ()
) -> Survey:
    """Which layers of a network are pruned, and what it costs dense.

    Args:
        model: any module, also on the ``meta`` device.
        example: input ``(1, c, h, w)`` on the same device.
        skip: names of layers to leave dense, besides those left out by rule.
        also: names of layers to prune though the rule leaves them out.
    """
    chosen, left = eligible(model, skip=skip)
    names = [*chosen, *also]
    spent = cost.count(model, example)
    macs = {row.name: row.macs for row in spent.rows}
    sizes = {name: model.get_submodule(name).weight.numel() for name in (*chosen, *left)}
    layers = {name: (model.get_submodule(name), macs[name] // sizes[name]) for name in names}
    return Survey(sum(sizes.values()), spent.macs, layers)


def count(network: Survey, n: int, sparsity: float, *, released: bool = False) -> Counts:
    """Count what stays of a network when each layer drops the same share of its blocks.

    Args:
        network: from :func:`survey`.
        n: filters per block.
        sparsity: share of blocks to drop, in [0, 1).
        released: count as the released code does, which cuts the flattened weight every ``n``
            kernels (1xN spec A1, A7.1).

    Raises:
        ValueError: an argument is out of range, or ``released`` and ``n`` does not divide the
            kernels of a layer.
    """
    one = _released_layer if released else _layer
    share = check_sparsity(sparsity)
    layers = [one(name, *layer, n, share) for name, layer in network.layers.items()]
    return Counts(network.weights, network.macs, tuple(layers))


def _layer(name: str, layer: nn.Module, positions: int, n: int, sparsity: float) -> LayerCount:
    grid = Grid(layer.weight.shape, n, groups=getattr(layer, "groups", 1))
    rows, columns = grid.blocks
    dropped = int(sparsity * rows * columns)
    area, weights = layer.weight[0, 0].numel(), layer.weight.numel()
    sizes = grid.sizes.repeat_interleave(columns).sort().values * area
    least, most = int(sizes[:dropped].sum()), int(sizes.flip(0)[:dropped].sum())
    kept = (weights - most, weights - least)
    return LayerCount(name, weights, positions, rows * columns, dropped, kept)


def _released_layer(
    name: str, layer: nn.Module, positions: int, n: int, sparsity: float
) -> LayerCount:
    blocks = released_blocks(layer.weight.shape, n)
    dropped = int(sparsity * blocks)
    area, weights = layer.weight[0, 0].numel(), layer.weight.numel()
    kept = weights - dropped * n * area
    return LayerCount(name, weights, positions, blocks, dropped, (kept, kept))


def released_blocks(shape: torch.Size, n: int) -> int:
    """How many blocks the released code cuts a weight into.

    Args:
        shape: of the weight, ``(o, i, ...)``.
        n: kernels per block.

    Raises:
        ValueError: ``n`` does not divide ``o * i``; the released code stops there too.
    """
    kernels = shape[0] * shape[1]
    if kernels % n:
        raise ValueError(f"n is {n}, which does not divide the {kernels} kernels of the layer")
    return kernels // n


def straddling(shape: torch.Size, n: int) -> int:
    """How many of the released code's blocks hold kernels of two input channels or more.

    The weight is laid out channel by channel, ``o`` kernels each, and cut every ``n`` kernels.

    Args:
        shape: of the weight, ``(o, i, ...)``.
        n: kernels per block.

    Raises:
        ValueError: as :func:`released_blocks`.
    """
    first = torch.arange(released_blocks(shape, n)) * n
    return int((first // shape[0] != (first + n - 1) // shape[0]).sum())


def network(key: str) -> Metrics:
    """Weights and multiply-accumulates of one of the paper's networks at all sizes and rates.

    Where narrow blocks make the number depend on the weights there are two, the fewest
    (``low``) and the most. ``released`` is what the released code keeps, its mistakes included.

    Args:
        key: a key of ``NETWORKS``.
    """
    model, example = _on_meta(key)
    skip, also = NETWORKS[key].skip, NETWORKS[key].released_too
    ours = survey(model, example, skip)
    theirs = survey(model, example, skip, also)
    table: Metrics = {"weights": ours.weights, "macs": ours.macs, "pruned_layers": len(ours.layers)}
    for n in SIZES:
        for p in RATES:
            table |= _cell(ours, theirs, n, p)
        crossed = [straddling(layer.weight.shape, n) for layer, _ in ours.layers.values()]
        table[f"straddling_blocks_n{n}"] = sum(crossed)
        table[f"straddling_layers_n{n}"] = sum(blocks > 0 for blocks in crossed)
    return table


def _cell(ours: Survey, theirs: Survey, n: int, p: float) -> Metrics:
    kept, released, cell = count(ours, n, p), count(theirs, n, p, released=True), _name(n, p)
    table: Metrics = {}
    for name in ("weights", "macs"):
        low, high = getattr(kept, f"kept_{name}")
        table[f"{name}_{cell}"] = high
        if low != high:
            table[f"{name}_low_{cell}"] = low
        table[f"released_{name}_{cell}"] = getattr(released, f"kept_{name}")[0]
    return table


def _name(n: int, p: float) -> str:
    return f"n{n}_p{100 * p:.0f}"


def _on_meta(key: str) -> tuple[nn.Module, torch.Tensor]:
    with torch.device("meta"):
        return build(key).eval(), torch.zeros(1, 3, 224, 224)


def storage() -> Metrics:
    """Bytes of a packed 512 x 512 layer over those of the dense one, and in compressed rows."""
    weight = torch.randn(512, 512, 1, 1, generator=torch.Generator().manual_seed(0))
    table: Metrics = {}
    for p in (0.5, 0.75, 0.9):
        for n in (1, *SIZES):
            packed = Storage.of(pack_weight(weight, block_mask(weight, n, p), n))
            cell = _name(n, p)
            table[f"packed_over_dense_{cell}"] = packed.packed / packed.dense
            table[f"csr_over_dense_{cell}"] = packed.csr / packed.dense
    return table


def with_replacement() -> Metrics:
    """Share of blocks that the released random baseline removes when it is asked for a half.

    It draws ``int(p * blocks)`` block numbers, each from all of them (1xN spec A7.6). Drawn here
    for every pruned layer of MobileNet-V2 at ``n = 4``.
    """
    chosen, _ = eligible(_on_meta("mobilenet_v2")[0])
    generator = torch.Generator().manual_seed(0)
    blocks = [released_blocks(layer.weight.shape, 4) for layer in chosen.values()]
    gone = [len(torch.randint(b, (b // 2,), generator=generator).unique()) for b in blocks]
    return {
        "asked_percent": {"value": 50, "unit": "%"},
        "removed_percent": {"value": 100 * sum(gone) / sum(blocks), "unit": "%"},
    }


def _alone(exhibit: Callable[[], Metrics]) -> tuple[Metrics, list[dict[str, Any]]]:
    """An exhibit that uses no data."""
    return exhibit(), []


#: Records without training or data, by name: metrics and the data used.
EXACT: dict[str, Callable[[], tuple[Metrics, list[dict[str, Any]]]]] = {
    **{f"exact-{key}": partial(_alone, partial(network, key)) for key in NETWORKS},
    "exact-storage": partial(_alone, storage),
    "exact-random": partial(_alone, with_replacement),
}
