"""Any convolutional network as a supernet: one set of weights, every subnet a slice of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lithe import channels
from lithe.modes import evaluating
from lithe.pssnet.elastic_space import ElasticSpace
from lithe.pssnet.sliced import Active, Switch, restore_, slice_
from lithe.pssnet.space import Subnet
from lithe.pssnet.widths import Width, free_widths, ratio_grid

__all__ = [
    "Elastic",
    "Elasticity",
    "Resized",
    "Statistics",
    "elastic",
    "supernet",
    "tracking_norms",
]

Statistics = Mapping[str, Tensor]
CACHED = 1024  # settings of subnets that are kept; each is a few kilobytes


@dataclass(frozen=True)
class Elasticity:
    """What :func:`elastic` found; on the module as ``.report``.

    Attributes:
        widths: the free widths.
        fixed: for layers whose width stays whole, the reason.
        resolutions: input sizes.
    """

    widths: tuple[Width, ...]
    fixed: Mapping[str, str]
    resolutions: tuple[int, ...]

    def __str__(self) -> str:
        sizes = ", ".join(map(str, self.resolutions))
        lines = [f"{len(self.widths)} free widths, {len(self.fixed)} fixed; input {sizes} pixels"]
        lines += [f"  elastic {width}" for width in self.widths]
        lines += [f"  fixed   {name}: {reason}" for name, reason in self.fixed.items()]
        return "\n".join(lines)


class Resized(nn.Module):
    """A network behind a bilinear resize of its input (corners aligned).

    Source: PSS-Net spec 2.1. At the size asked for the resize changes no bit.

    Args:
        net: what reads the resized input.
        size: height and width, pixels.
    """

    def __init__(self, net: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.size = net, tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w)`` of any height and width to the network's output."""
        return self.net(_resized(x, self.size))


def _resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class Elastic(nn.Module):
    """A network that computes as whichever of its subnets is set.

    Made by :func:`elastic`. Weights are those of ``body``, an ordinary network by its names and
    shapes; a subnet reads slices of them, as views. Batch normalisation shares one set of
    statistics among all subnets while training, which is of no use for evaluation: see
    :func:`lithe.pssnet.recalibrate.recalibrate`.

    Attributes:
        body: the network.
        space: its subnets.
        subnet: the one that is set.
        report: what is elastic and what is not.
        statistics: recalibrated running statistics of subnets, by subnet.
    """

    def __init__(
        self, body: nn.Module, space: ElasticSpace, switch: Switch, report: Elasticity
    ) -> None:
        super().__init__()
        self.body, self.space, self.switch, self.report = body, space, switch, report
        self.statistics: dict[Subnet, Statistics] = {}
        self._settings: dict[Subnet, Mapping] = {}
        self.set(space.largest())

    def set(self, subnet: Subnet) -> Elastic:
        """Compute as ``subnet`` from now on.

        Raises:
            ValueError: it is not of this network's space.
        """
        setting = self._settings.get(subnet)
        if setting is None:
            setting = self.space.setting(self.space.check(subnet))
            if len(self._settings) >= CACHED:
                self._settings.pop(next(iter(self._settings)))
            self._settings[subnet] = setting
        self.subnet, self.switch.setting = subnet, setting
        return self

    @contextmanager
    def using(self, subnet: Subnet) -> Iterator[Elastic]:
        """Compute as ``subnet`` inside the block."""
        before = self.subnet
        self.set(subnet)
        try:
            yield self
        finally:
            self.set(before)

    @contextmanager
    def calibrated(self, subnet: Subnet) -> Iterator[Elastic]:
        """Compute as ``subnet`` inside the block, in eval mode, with its stored statistics.

        Raises:
            ValueError: the network has norms, and the subnet was not recalibrated.
        """
        if tracking_norms(self.body) and subnet not in self.statistics:
            raise ValueError(f"{subnet} has no statistics yet; recalibrate it first")
        with evaluating(self), self.using(subnet):
            self.switch.setting = self.prepared(subnet, self.statistics.get(subnet, {}))
            yield self

    def prepared(
        self, subnet: Subnet, statistics: Statistics, weights: bool = False
    ) -> dict[str, Active]:
        """The setting of a subnet with its own running statistics.

        Args:
            subnet: which one.
            statistics: by buffer name of ``body``; norms that it leaves out read slices of the
                shared ones.
            weights: slice all weights now: views of them, but for layers behind a
                concatenation, whose parts are gathered into one.
        """
        setting = dict(self.space.setting(self.space.check(subnet)))
        held: dict[str, dict[str, Tensor]] = {}
        for name, value in statistics.items():
            place, _, key = name.rpartition(".")
            held.setdefault(place, {})[key] = value
        for name in setting.keys() | held.keys():
            active = setting.get(name, Active(None))
            ready = held.get(name, {})
            if weights:
                ready = self._sliced(name, active) | ready
            setting[name] = replace(active, ready=ready)
        return setting

    def _sliced(self, name: str, active: Active) -> dict[str, Tensor]:
        """All tensors of a layer, as its active part reads them."""
        layer = self.body.get_submodule(name)
        before, self.switch.setting = self.switch.setting, {name: active}
        try:
            keys = [*layer._parameters, *layer._buffers]
            found = {key: getattr(layer, key) for key in keys if key != "num_batches_tracked"}
        finally:
            self.switch.setting = before
        return {key: value.detach() for key, value in found.items() if value is not None}

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w)`` to the network's output, the input resized to the subnet's size."""
        size = self.space.size(self.subnet.resolution)
        if len(size) == 2 and tuple(x.shape[2:]) != size:
            x = _resized(x, size)
        return self.body(x)

    def plain(self) -> nn.Module:
        """A copy of the whole network as it was before: ordinary layers, today's weights."""
        return restore_(copy.deepcopy(self.body))

    def extract(self, subnet: Subnet, statistics: Statistics | None = None) -> nn.Module:
        """The subnet as a physically small network of ordinary layers.

        Args:
            subnet: which one.
            statistics: running statistics for its norms, from
                :func:`lithe.pssnet.recalibrate.recalibrate`; those stored for this subnet if
                left out, and slices of the shared ones if there are none.

        Returns:
            A network that computes, in eval mode, what the sliced pass computes with these
            statistics. Where the subnet's resolution is not that of the example, it begins
            with a resize.
        """
        request = self.space.request(self.space.check(subnet))
        where, example = next(self.parameters()), self.space.example
        whole = self.plain().to(example)  # the graph is cut where it was traced
        small = channels.plan(self.space.graph, request).apply(whole).to(where)
        load_statistics(small, statistics or self.statistics.get(subnet, {}))
        size = self.space.size(subnet.resolution)
        return Resized(small, size) if size != self.space.native else small

    def twin(self) -> Elastic:
        """Another elastic network on the same weights, which can be set to another subnet."""
        memo = {id(t): t for t in (*self.parameters(), *self.buffers())}
        return copy.deepcopy(self, memo)


def tracking_norms(network: nn.Module) -> dict[str, nn.Module]:
    """Batch norms with running statistics, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
        and module.track_running_stats
    }


def load_statistics(network: nn.Module, statistics: Statistics) -> None:
    """Copy running statistics into a network of their size, in place.

    Raises:
        ValueError: one of them belongs to no norm of the network, or has another size.
    """
    buffers = dict(network.named_buffers())
    for name, value in statistics.items():
        if name not in buffers or buffers[name].shape != value.shape:
            found = tuple(buffers[name].shape) if name in buffers else "none"
            raise ValueError(f"statistics {name} {tuple(value.shape)} meet {found} in the network")
        buffers[name].copy_(value)


def elastic(
    model: nn.Module,
    example: Tensor,
    ratios: Sequence[float] = (0.75, 1.0),
    resolutions: Sequence[int] | None = None,
    divisor: int = 8,
    *,
    skip: Sequence[str] = (),
    ties: Sequence[Sequence[str]] = (),
) -> tuple[Elastic, ElasticSpace]:
    """Turn any CNN of the channel graph into a supernet by prefix slicing.

    A subnet uses the first so many channels of every width. Layers whose channels meet (in a
    sum, a depthwise convolution, an attention gate) follow each other; behind a concatenation
    the prefix of each part stays; grouped convolutions lose whole groups where they can. Source:
    PSS-Net spec 2.1, for any network.

    Args:
        model: left as it is.
        example: input ``(1, c, h, w)``; its height is the native resolution.
        ratios: smallest and largest share of every width; with more than two, just these.
        resolutions: input heights on offer (widths in proportion), pixels; only that of the
            example if left out.
        divisor: channel counts are multiples of this.
        skip: layers whose width stays whole, by name.
        ties: lists of layers that are to share one ratio though nothing forces them to; the
            first counts.

    Returns:
        The supernet, set to its largest subnet and with its own copy of the weights, and its
        space. ``supernet.report`` prints what is elastic and why the rest is not.

    Raises:
        TypeError: ``model`` is no module or ``example`` no tensor.
        ValueError: nothing can be made elastic (the message says why, layer by layer), the model
            does not run at a resolution, or an argument is out of range.
        lithe.channels.UntraceableError: the model's data flow cannot be followed, and where.
    """
    mass, span = ratio_grid(ratios)
    sizes = _resolutions(resolutions, example)
    if isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
        raise ValueError(f"divisor is {divisor!r}; it is a whole number, at least 1")
    if isinstance(skip, str):
        raise ValueError(f"skip is {skip!r}; give a list of names of layers")
    graph = _traced(model, example)
    widths, fixed = free_widths(graph, mass, divisor, skip, ties)
    if not widths and len(sizes) == 1:
        listed = "; ".join(f"{name}: {reason}" for name, reason in fixed.items())
        raise ValueError(f"no width of this network can be made elastic ({listed or 'none found'})")
    try:
        space = ElasticSpace(graph, widths, sizes, span, tuple(mass))
    except ValueError as error:
        raise ValueError(f"resolutions {sizes}: {error}") from error
    return supernet(space, Elasticity(tuple(widths), fixed, space.resolutions)), space


def supernet(space: ElasticSpace, report: Elasticity | None = None) -> Elastic:
    """An elastic network on a copy of the weights that its space was traced with.

    Args:
        space: of an elastic network.
        report: what to say about it; by default only its widths.
    """
    body = copy.deepcopy(space.graph.model)
    switch = slice_(body, space.elastic_layers | tracking_norms(body).keys())
    report = report or Elasticity(space.widths, {}, space.resolutions)
    return Elastic(body, space, switch, report)


def _resolutions(resolutions: Sequence[int] | None, example: Tensor) -> list[int]:
    if not isinstance(example, Tensor):
        raise TypeError(f"example is a {type(example).__name__}; give an input tensor (1, c, h, w)")
    if example.ndim != 4:
        if resolutions is not None:
            raise ValueError(f"resolutions are for images; the example is {tuple(example.shape)}")
        return [example.shape[-1]]
    if resolutions is None:
        return [example.shape[2]]
    sizes = sorted(set(resolutions))
    if not sizes or sizes[0] < 1:
        raise ValueError(f"resolutions is {tuple(resolutions)!r}; give pixels, at least one size")
    return sizes


def _traced(model: nn.Module, example: Tensor) -> channels.ChannelGraph:
    """The channel graph of a copy, without the parts that only run in training."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module")
    copied = copy.deepcopy(model)
    graph = channels.trace(copied, example)
    if not graph.unreached:
        return graph
    with evaluating(copied), torch.no_grad():
        reached = channels.plan(graph, {}).apply()
    for name in graph.unreached:
        _drop(reached, name)
    return channels.trace(reached, example)


def _drop(network: nn.Module, name: str) -> None:
    """Remove a module that the pass does not run: it would count as parameters."""
    path, _, leaf = name.rpartition(".")
    try:
        owner = network.get_submodule(path)
    except AttributeError:
        return  # its parent is gone already
    owner._modules.pop(leaf, None)
