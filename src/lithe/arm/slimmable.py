"""Bring your own network: any fully convolutional one, slimmed along its channel graph."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from lithe.arm.branches import Branches, Interpolation, images_checked
from lithe.channels import ChannelGraph, keep, trace

__all__ = ["Slimmable", "slimmable", "width_request"]


def slimmable(
    model: nn.Module,
    example: Tensor,
    widths: Sequence[float] = (0.25, 0.5, 1.0),
    *,
    interpolation: str | None = "bicubic",
) -> Slimmable:
    """Make a network run at several widths with one set of weights.

    Every group of channels that may change width keeps its first channels: which ones share a
    width, go in blocks before a pixel shuffle or in equal parts from every group of a grouped
    convolution is read from the channel graph, so that concatenations and groups stay aligned
    (the published supernets slice without looking: :class:`lithe.arm.Supernet`).

    Args:
        model: from ``(n, 3, h, w)`` to ``(n, 3, s h, s w)``, fully convolutional, traceable by
            torch.fx. It is used as it is, not copied: its weights stay the trained ones.
        example: example input ``(1, 3, h, w)``.
        widths: shares of the channels to keep, rising, the last one 1.
        interpolation: branch 0; ``None`` for none.

    Returns:
        The branches: interpolation, then one per width. With a network that was not trained at
        narrow widths, those are poor until :func:`lithe.arm.train` has trained them.

    Raises:
        ValueError: the widths do not rise to 1, nothing can change width, the network does not
            enlarge by a whole number, or it holds normalisation with running statistics, which
            differ from width to width: fold it into the convolutions first.
        UntraceableError: the pass cannot be traced.
    """
    shares = _checked_shares(widths)
    for name, module in model.named_modules():
        if isinstance(module, _NormBase) and module.track_running_stats:
            raise ValueError(
                f"`{name}` keeps running statistics, which differ from width to width; fold it "
                "into its convolution, or train a network without"
            )
    graph = trace(model, example)
    requests = [width_request(graph, share) for share in shares[:-1]]
    if shares[:-1] and not any(requests):
        raise ValueError(f"no channels of this {type(model).__name__} can be left out:\n{graph}")
    return Slimmable(model, example, shares, requests, _enlargement(model, example), interpolation)


def width_request(graph: ChannelGraph, share: float) -> dict[str, Tensor]:
    """For one layer of every width group, the first channels to keep.

    Args:
        graph: of the network.
        share: of the channels, above 0 and up to 1; rounded, at least one per group of a
            grouped convolution.

    Returns:
        What :func:`lithe.channels.keep` takes; groups that keep all are left out.
    """
    request: dict[str, Tensor] = {}
    for group in graph.groups():
        if not group.cuttable:
            continue
        name, width = next(iter(group.producers.items()))
        first = -torch.arange(width, dtype=torch.float64)  # the first channels score highest
        chosen = graph.select(name, first, max(1, round(share * width)))
        if len(chosen) < width:
            request[name] = chosen
    return request


class Slimmable(Branches):
    """Widths of a network of one's own; made by :func:`slimmable`.

    Attributes:
        full: the network, which holds all parameters.
        shares: share of the channels of every branch, 0 for interpolation.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Tensor,
        shares: Sequence[float],
        requests: Sequence[dict[str, Tensor]],
        scale: int,
        interpolation: str | None,
    ) -> None:
        base = () if interpolation is None else (Interpolation(scale, interpolation),)
        label = type(model).__name__.lower()
        super().__init__(scale, [*(b.mode for b in base), *(f"{label}-{s:g}" for s in shares)])
        self.shares = (0.0,) * len(base) + tuple(shares)
        self.full = model
        narrow = [_narrow(model, request, example) for request in requests]
        # tuples, so that none becomes a submodule: all parameters are those of `full`
        self._base = base
        self._shells: tuple[tuple[nn.Module, dict[str, Tensor]], ...] = tuple(narrow)

    def forward(self, x: Tensor, index: int) -> Tensor:
        """Enlarge ``(n, 3, h, w)`` with one branch; gradients reach the full weights."""
        place = self.checked(index) - len(self._base)
        images_checked(x)
        if place < 0:
            return self._base[0](x)
        if place == len(self._shells):
            return self.full(x)
        return functional_call(self._shells[place][0], self._tensors(place), (x,))

    def branch(self, index: int) -> nn.Module:
        """A width as a plain network with its own copy of the weights, in eval mode."""
        place = self.checked(index) - len(self._base)
        if place < 0:
            return copy.deepcopy(self._base[0])
        if place == len(self._shells):
            return copy.deepcopy(self.full).eval()
        net = copy.deepcopy(self._shells[place][0])
        own = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        with torch.no_grad():
            for name, tensor in self._tensors(place).items():
                own[name].copy_(tensor)
        return net.to(self.device).eval()

    def _tensors(self, place: int) -> dict[str, Tensor]:
        """Parameters and buffers of a narrow network, taken from the full one's elements."""
        shell, elements = self._shells[place]
        given = {**dict(self.full.named_parameters()), **dict(self.full.named_buffers())}
        device = self.device
        taken = {name: given[name].flatten()[index.to(device)] for name, index in elements.items()}
        extra = {n: b.to(device) for n, b in shell.named_buffers() if n not in elements}
        return {**taken, **extra}


def _narrow(
    model: nn.Module, request: dict[str, Tensor], example: Tensor
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A narrow network, and which element of the full tensor each of its elements is.

    The cut is made a second time on a copy whose weights are their own positions.
    """
    numbered = copy.deepcopy(model).double()  # exact for whole numbers to 2 ** 53
    held = {**dict(numbered.named_parameters()), **dict(numbered.named_buffers())}
    with torch.no_grad():
        for tensor in held.values():
            if tensor.is_floating_point():
                tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape))
    shell = keep(model, request, example)
    found = keep(numbered, request, example.double())
    cut = {**dict(found.named_parameters()), **dict(found.named_buffers())}
    elements = {name: cut[name].detach().long() for name in cut if name in held}
    return shell, elements


def _checked_shares(widths: Sequence[float]) -> tuple[float, ...]:
    shares = tuple(float(w) for w in widths)
    if not shares or list(shares) != sorted(set(shares)) or shares[0] <= 0 or shares[-1] != 1:
        raise ValueError(f"widths is {tuple(widths)}; give rising shares above 0, the last one 1")
    return shares


def _enlargement(model: nn.Module, example: Tensor) -> int:
    with torch.no_grad():
        out = tuple(model(example).shape)
    scale = out[-1] // example.shape[-1]
    if scale < 1 or out != (*example.shape[:2], *(scale * s for s in example.shape[2:])):
        raise ValueError(
            f"the network makes {out} of {tuple(example.shape)}; it must multiply both sides by "
            "one whole number and keep the channels"
        )
    return scale
