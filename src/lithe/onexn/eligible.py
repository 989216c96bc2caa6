"""Which layers of a network are pruned, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from torch import nn
from torch.nn.modules.conv import _ConvNd

from lithe.channels import ChannelGraph

__all__ = ["eligible"]

_WEIGHTED = (_ConvNd, nn.Linear)


def eligible(
    model: nn.Module,
    graph: ChannelGraph | None = None,
    skip: Collection[str] | None = None,
    ends: bool = False,
) -> tuple[dict[str, nn.Conv2d | nn.Linear], dict[str, str]]:
    """Sort the convolutions and linear layers of a network into those to prune and others.

    Left out by rule: depthwise convolutions, the first convolution, and the layer that comes last,
    which makes the network's output (1xN spec A3).

    Args:
        model: any module.
        graph: its channel graph; tells the order in which layers run. Without one that of
            ``model.named_modules()`` is taken.
        skip: names of layers to leave out besides.
        ends: do not leave out the first convolution and the last layer.

    Returns:
        Layers to prune in order, and for every other one the reason.

    Raises:
        ValueError: ``skip`` names what is no convolution or linear layer.
    """
    layers = _layers(model, graph)
    skip = (skip,) if isinstance(skip, str) else tuple(skip or ())
    unknown = sorted(set(skip) - set(layers))
    if unknown:
        raise ValueError(f"skip names {', '.join(unknown)}; layers are {', '.join(layers)}")
    held = Counter(id(p) for m in model.modules() for p in m._parameters.values())
    reasons = {} if ends else _ends(layers)
    for name, layer in layers.items():
        reason = "left out on request" if name in skip else _refusal(layer)
        own = () if reason else (layer.weight, layer.bias)
        if any(held[id(p)] > 1 for p in own if p is not None):
            reason = "its weight or bias is shared with another module"
        if reason is not None:
            reasons[name] = reason
    chosen = {name: layer for name, layer in layers.items() if name not in reasons}
    return chosen, {name: reasons[name] for name in layers if name in reasons}


def _layers(model: nn.Module, graph: ChannelGraph | None) -> dict[str, nn.Module]:
    found = {name: m for name, m in model.named_modules() if isinstance(m, _WEIGHTED)}
    run = [name for name in (graph.flow.layers if graph else ()) if name in found]
    return {name: found[name] for name in dict.fromkeys([*run, *found])}


def _ends(layers: dict[str, nn.Module]) -> dict[str, str]:
    reasons = {}
    for name in list(layers)[-1:]:
        reasons[name] = "the last layer: makes the network's output"
    for name in [name for name, layer in layers.items() if isinstance(layer, _ConvNd)][:1]:
        reasons[name] = "the first convolution"
    return reasons


def _refusal(layer: nn.Module) -> str | None:
    """Why a layer cannot be pruned wherever it stands."""
    if type(layer) not in (nn.Conv2d, nn.Linear):
        return f"{type(layer).__name__} is neither an ordinary Conv2d nor Linear"
    if layer._forward_hooks or layer._forward_pre_hooks:
        return "carries forward hooks, which a masked layer would lose"
    if isinstance(layer, nn.Linear):
        return None
    if layer.groups > 1 and layer.groups == layer.in_channels:
        return "depthwise: one input channel per filter"
    if layer.padding_mode != "zeros":
        return f"padding mode {layer.padding_mode!r}; blocks are stored for zero padding"
    return None
