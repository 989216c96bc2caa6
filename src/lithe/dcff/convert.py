"""Making any convolutional network a fused one: few channels exposed, all filters trained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import torch
from torch import Tensor, nn

from lithe import channels, cost
from lithe.channels import ChannelGraph
from lithe.dcff.coupling import Coupling, class_scores
from lithe.dcff.fusable import Coupled, Unit, fusable
from lithe.dcff.fused import FusedConv2d
from lithe.dcff.proxy import log_proxy, pairwise_distance
from lithe.dcff.refresh import fused_layers, refresh
from lithe.dcff.score import kl_scores
from lithe.dcff.select import select

__all__ = ["Conversion", "Converted", "convert"]

#: Width of the interval of rates at which the search for a target stops.
PRECISION = 1e-3


@dataclass(frozen=True)
class Converted:
    """One fused convolution: its name, filters, exposed channels, and whom it selects with."""

    name: str
    filters: int
    kept: int
    together_with: tuple[str, ...]


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` did; found on the converted module as ``.conversion``.

    Attributes:
        fused: the fused convolutions in the network's order.
        skipped: every other convolution with the reason.
        rate: the common rate, where one was given or found for a target.
    """

    fused: tuple[Converted, ...]
    skipped: Mapping[str, str]
    rate: float | None

    def __str__(self) -> str:
        lines = [f"{len(self.fused)} convolutions fused, {len(self.skipped)} left as they are"]
        for row in self.fused:
            company = f", with {', '.join(row.together_with)}" if row.together_with else ""
            lines.append(f"  fused {row.name}: {row.kept} of {row.filters} filters{company}")
        lines += [f"  left  {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


def convert(
    model: nn.Module,
    rates: float | Mapping[str, float] | None,
    example: Tensor,
    *,
    coupled: Coupled = "shared",
    init: Literal["sliced", "fresh"] = "sliced",
    multiple_of: int | None = None,
    skip: Collection[str] = (),
    target: Mapping[str, float] | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """A copy of any CNN in which convolutions expose few fused filters and train all.

    What may be narrowed follows from the channel graph (:mod:`lithe.channels`). Convolutions whose
    outputs meet in a sum share one width and one joint selection: the sum of their scores, each
    layer's at mean 1. The result runs at once, its rows those of epoch 0 (``T = 1``); call
    :func:`lithe.dcff.refresh` before every epoch.

    Args:
        model: left as it is.
        rates: one pruning rate for every convolution that can be narrowed, or a rate by name (then
            only these and those that share their width are fused); None with ``target``.
        example: input ``(1, c, h, w)``.
        coupled: ``"shared"`` or ``"skip"`` convolutions that share a width.
        init: ``"sliced"`` keeps the weights, of inputs that remain; ``"fresh"`` draws those of
            fused convolutions anew at the compact fan-in, as torch does.
        multiple_of: round widths to multiples of this.
        skip: names of convolutions to leave as they are.
        target: instead of ``rates``, one of ``{"macs": share}``, ``{"params": share}`` (of the
            compact network; above 1 an absolute count) or ``{"ms": time}`` (median of
            :func:`lithe.cost.latency` on ``example``); the least common rate that meets it.
        generator: of fresh weights; torch's global one if none is given.

    Returns:
        The converted module; ``.conversion`` is a :class:`Conversion` that prints as a report.

    Raises:
        ValueError: a rate is out of range, names no convolution or one that cannot be narrowed,
            or the target cannot be met.
        lithe.channels.UntraceableError: the model's data flow cannot be followed.
    """
    if init not in ("sliced", "fresh"):
        raise ValueError(f"init is {init!r}; known are 'sliced' and 'fresh'")
    _check_request(rates, target)
    if fused_layers(model):
        raise ValueError("the network holds fused layers already; convert an ordinary one")
    graph = channels.trace(model, example)
    units, reasons = fusable(graph, coupled, skip)
    if not units:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ValueError(f"no convolution of this network can be fused ({listed or 'none found'})")
    shape = _Shaper(graph, units, multiple_of)
    if target is not None:
        rates = shape.rate_for(target, example)
    common = None if isinstance(rates, Mapping) else float(rates)
    by_name = _by_name(rates, units, reasons)
    chosen = [unit for unit in units if set(unit.classes) & set(by_name)]
    reasons |= {n: "no rate given" for u in units if u not in chosen for n in u.classes}
    kept = shape.kept(chosen, by_name, at_least_one=target is not None)
    converted = _fused_network(graph, chosen, kept, init, generator)
    converted.conversion = _conversion(graph, chosen, kept, reasons, common)
    return converted


def _check_request(rates: object, target: object) -> None:
    if (rates is None) == (target is None):
        raise ValueError("give either rates or a target, and not both")
    name, given = ("rates", rates) if target is None else ("target", target)
    numbers = list(given.values()) if isinstance(given, Mapping) else [given]
    shaped = isinstance(given, Mapping) or target is None
    if not (shaped and numbers and all(isinstance(number, Real) for number in numbers)):
        ways = "a number or {convolution: number}" if target is None else "{'macs': 0.5}"
        raise ValueError(f"{name} is {given!r}; give {ways}")


def _by_name(
    rates: float | Mapping[str, float], units: list[Unit], reasons: Mapping[str, str]
) -> dict[str, float]:
    names = [name for unit in units for name in unit.classes]
    if not isinstance(rates, Mapping):
        rates = dict.fromkeys(names, float(rates))
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{name}: rate is {rate!r}; it must be in [0, 1)")
        if name in reasons:
            raise ValueError(f"{name} cannot be fused: {reasons[name]}")
        if name not in names:
            raise ValueError(
                f"rates name {name!r}; convolutions to fuse are {', '.join(map(repr, names))}"
            )
    return dict(rates)


def _couplings(unit: Unit) -> dict[str, Coupling]:
    return {name: Coupling(unit.name, own, unit.pools) for name, own in unit.classes.items()}


def _plan(graph: ChannelGraph, kept: Mapping[str, Tensor]) -> channels.Plan:
    request = {n: index for n, index in kept.items() if len(index) < len(graph.layer(n).outs)}
    return channels.plan(graph, request)


def _fused_network(
    graph: ChannelGraph,
    units: list[Unit],
    kept: Mapping[str, Tensor],
    init: str,
    generator: torch.Generator | None,
) -> nn.Module:
    """The compact network with its chosen convolutions replaced by fused ones."""
    plan = _plan(graph, kept)
    network = plan.apply()
    for unit in units:
        for name, coupling in _couplings(unit).items():
            original = graph.model.get_submodule(name)
            layer = _fused(original, plan.inputs.get(name), kept[name])
            if len(unit.classes) > 1 or len(unit.pools.unique()) > 1:
                layer.coupling = coupling
            if init == "fresh":
                layer.reset_parameters(generator)
            _expose(layer, kept[name])
            network = _swap(network, network.get_submodule(name), layer)
    if init == "fresh":
        refresh(network, 0, 1)
    return network


def _fused(conv: nn.Conv2d, inputs: Tensor | None, kept: Tensor) -> FusedConv2d:
    """A fused layer with all filters of ``conv``, reading the inputs that remain."""
    weight = conv.weight.detach()
    if inputs is not None:
        weight = weight.index_select(1, inputs.to(weight.device))
    layer = FusedConv2d(
        weight.shape[1],
        len(weight),
        len(kept),
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.bias is not None,
    ).to(weight)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if conv.bias is not None:
            layer.bias.copy_(conv.bias)
    layer.weight.requires_grad_(conv.weight.requires_grad)
    return layer.train(conv.training)


@torch.no_grad()
def _expose(layer: FusedConv2d, kept: Tensor) -> None:
    """Rows of epoch 0 for the filters that hold the slots."""
    logarithms = log_proxy(pairwise_distance(layer.weight), 1.0)
    kept = kept.to(logarithms.device)
    layer.set_rows(logarithms[kept].exp(), kept, kl_scores(logarithms))


def _swap(network: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """Put ``new`` under every name of ``old``; returns the network, which may be ``new`` itself."""
    if network is old:
        return new
    for module in network.modules():
        for name, child in module._modules.items():
            if child is old:
                module._modules[name] = new
    return network


class _Shaper:
    """Which filters hold the slots at given rates; scores are computed once.

    Args:
        graph: of the network.
        units: all that can be fused.
        multiple_of: see :func:`convert`.
    """

    def __init__(self, graph: ChannelGraph, units: list[Unit], multiple_of: int | None) -> None:
        self.graph, self.units, self.multiple_of = graph, units, multiple_of
        self.totals = {unit.name: self._total(unit) for unit in units}

    def _total(self, unit: Unit) -> Tensor:
        weights = [self.graph.layer(name).weight for name in unit.classes]
        try:
            scores = [kl_scores(log_proxy(pairwise_distance(weight), 1.0)) for weight in weights]
        except ValueError as error:
            raise ValueError(f"{', '.join(unit.classes)}: {error}") from None
        return class_scores(list(_couplings(unit).values()), scores)

    def kept(
        self, units: list[Unit], rates: Mapping[str, float], at_least_one: bool = False
    ) -> dict[str, Tensor]:
        """Filters that hold the slots, ascending, by convolution."""
        kept = {}
        for unit in units:
            total = self.totals[unit.name]
            stays = torch.zeros(len(total), dtype=torch.bool)
            quotas = unit.quotas(rates, self.multiple_of, at_least_one)
            for pool, quota in enumerate(quotas.tolist()):
                members = (unit.pools == pool).nonzero()[:, 0]
                stays[members[select(total[members], quota)]] = True
            kept |= {name: stays[own].nonzero()[:, 0] for name, own in unit.classes.items()}
        return kept

    def rate_for(self, target: Mapping[str, float], example: Tensor) -> float:
        """The least common rate whose compact network meets the target, by bisection."""
        measure, limit = _measure(target, self.graph, example)

        def size(rate: float) -> float:
            rates = {name: rate for unit in self.units for name in unit.classes}
            return measure(_plan(self.graph, self.kept(self.units, rates, True)).apply())

        low, high = 0.0, 1 - PRECISION
        if (whole := size(low)) <= limit:
            return low
        if (least := size(high)) > limit:
            (name, asked), *_ = target.items()
            least = least / whole if asked <= 1 and name != "ms" else least
            raise ValueError(f"target {dict(target)} cannot be met: the least is {least:.6g}")
        while high - low > PRECISION:
            middle = (low + high) / 2
            low, high = (low, middle) if size(middle) <= limit else (middle, high)
        return high


def _measure(
    target: Mapping[str, float], graph: ChannelGraph, example: Tensor
) -> tuple[Callable[[nn.Module], float], float]:
    """What to measure on a compact network, and the most it may be."""
    known = ("macs", "params", "ms")
    if len(target) != 1 or next(iter(target)) not in known:
        raise ValueError(f"target is {dict(target)}; give one of {', '.join(known)}")
    (name, limit), *_ = target.items()
    if not limit > 0:
        raise ValueError(f"target {name} is {limit!r}; it must be positive")
    if name == "ms":
        return lambda network: _milliseconds(network, example), limit

    def measure(network: nn.Module) -> float:
        return getattr(cost.count(network, example), name)

    return measure, limit * measure(graph.model) if limit <= 1 else limit


def _milliseconds(network: nn.Module, example: Tensor) -> float:
    network.eval()
    with torch.no_grad():
        return cost.latency(lambda: network(example), repeats=11, warmup=2).median_ms


def _conversion(
    graph: ChannelGraph,
    units: list[Unit],
    kept: Mapping[str, Tensor],
    reasons: Mapping[str, str],
    rate: float | None,
) -> Conversion:
    partners = {
        name: tuple(other for other in unit.classes if other != name)
        for unit in units
        for name in unit.classes
    }
    rows = tuple(
        Converted(name, len(graph.layer(name).outs), len(kept[name]), partners[name])
        for name in graph.flow.layers
        if name in partners
    )
    return Conversion(rows, dict(reasons), rate)
