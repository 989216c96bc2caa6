"""Masked layers stored packed, and batch norms folded into the layers before them."""

from __future__ import annotations

import copy
from functools import cache

import torch
from torch import Tensor, fx, nn

from lithe.onexn.engine.graph import leaf, outcomes
from lithe.onexn.masked import MaskedConv2d, masked_layers
from lithe.onexn.packed import PackedWeight
from lithe.onexn.packed_layers import PackedConv2d, PackedLinear, keep_hooks

__all__ = ["affine", "dense_layer", "fold", "pack_masked"]

_LAYERS = (nn.Conv2d, nn.Linear, PackedConv2d, PackedLinear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def pack_masked(network: fx.GraphModule) -> None:
    """Put packed layers in place of masked ones, wherever the mask is made of blocks.

    A mask of other blocks than the layer's own is looked at as blocks of one filter; one that is
    made of no blocks at all (single weights of a 3x3 kernel) leaves an ordinary layer. So does a
    layer inside one that torch computes as a whole and that may read the weight itself.

    Raises:
        ValueError: a kept weight is NaN or infinite; the layer is named.
    """
    called = {node.target for node in network.graph.nodes if node.op == "call_module"}
    for name, layer in masked_layers(network).items():
        if not bool(layer.masked_weight.isfinite().all()):
            raise ValueError(f"{name}: kept weights hold NaN or infinity")
        stand_in = _packed(layer) if name in called else layer.plain()
        network.set_submodule(name, keep_hooks(layer, stand_in.eval()))


def _packed(layer: nn.Module) -> nn.Module:
    for n, order in ((layer.n, layer.order), (layer.n, None), (1, None)):
        try:
            if isinstance(layer, MaskedConv2d):
                moves = (layer.stride, layer.padding, layer.dilation, layer.groups)
                if layer.padding_mode != "zeros":
                    break
                return PackedConv2d(layer.weight, layer.bias, layer.mask, n, *moves, order)
            return PackedLinear(layer.weight, layer.bias, layer.mask, n, order)
        except ValueError:
            continue
    return layer.plain()


def fold(network: fx.GraphModule, inputs: tuple[Tensor, ...]) -> None:
    """Fold each batch norm into the convolution or linear layer that alone feeds it.

    Where one layer is called twice, or its weight is read elsewhere too, each call gets a folded
    copy of its own.

    Args:
        network: followed and plain; changed.
        inputs: that it runs on; they tell whether a linear layer has one axis of features only.
    """
    calls = _calls(network)
    ranks = cache(lambda: _ranks(network, inputs))
    for node in list(network.graph.nodes):
        norm = leaf(network, node)
        before = node.args[0] if node.args else None
        if not _is_norm(norm) or not isinstance(before, fx.Node) or len(before.users) > 1:
            continue
        layer = leaf(network, before)
        if type(layer) not in _LAYERS or not _fits(layer, norm):
            continue
        if isinstance(layer, nn.Linear | PackedLinear) and ranks().get(before) != 2:
            continue
        if calls[before.target] > 1:
            calls[before.target] -= 1
            before.target = _new_place(network, before.target)
        network.set_submodule(before.target, folded(layer, *affine(norm)))
        node.replace_all_uses_with(before)
        network.graph.erase_node(node)
    network.delete_all_unused_submodules()
    network.recompile()


def _calls(network: fx.GraphModule) -> dict[str, int]:
    """How many nodes use each layer: calls of it, and reads of its tensors."""
    calls: dict[str, int] = {}
    for node in network.graph.nodes:
        place = {"call_module": node.target, "get_attr": str(node.target).rpartition(".")[0]}
        if node.op in place:
            calls[place[node.op]] = calls.get(place[node.op], 0) + 1
    return calls


def _ranks(network: fx.GraphModule, inputs: tuple[Tensor, ...]) -> dict[fx.Node, int]:
    """Axes of every tensor; empty where they cannot be told, so that nothing is folded."""
    try:
        found = outcomes(network, inputs)
    except ValueError:
        return {}
    return {node: x.ndim for node, x in found.items() if isinstance(x, Tensor)}


def _is_norm(module: nn.Module | None) -> bool:
    return type(module) in _NORMS and module.running_mean is not None


def _fits(layer: nn.Module, norm: nn.Module) -> bool:
    """Whether the norm's channels may be the layer's outputs."""
    image = isinstance(layer, nn.Conv2d | PackedConv2d)
    weight = layer.shape if isinstance(layer, PackedConv2d | PackedLinear) else layer.weight.shape
    return image == isinstance(norm, nn.BatchNorm2d) and weight[0] == norm.num_features


def _new_place(network: fx.GraphModule, place: str) -> str:
    number = 2
    while _exists(network, f"{place}_{number}"):
        number += 1
    network.add_submodule(f"{place}_{number}", nn.Identity())
    return f"{place}_{number}"


def _exists(network: fx.GraphModule, place: str) -> bool:
    try:
        network.get_submodule(place)
    except AttributeError:
        return False
    return True


def affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm in eval mode, ``(c,)`` each."""
    root = (norm.running_var.double() + norm.eps).sqrt()
    gain = torch.ones_like(root) if norm.weight is None else norm.weight.double()
    shift = torch.zeros_like(root) if norm.bias is None else norm.bias.double()
    scale = gain / root
    return scale.float(), (shift - norm.running_mean.double() * scale).float()


def folded(layer: nn.Module, scale: Tensor, shift: Tensor) -> nn.Module:
    """A copy of a layer whose output is scaled and shifted, ``(o,)`` each."""
    layer = copy.deepcopy(layer)
    bias = shift if layer.bias is None else layer.bias * scale + shift
    if isinstance(layer, PackedConv2d | PackedLinear):
        layer.values = _scaled(layer.packed, scale)
        layer.bias = bias.clone()
        return layer
    weight = layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


def _scaled(packed: PackedWeight, scale: Tensor) -> Tensor:
    grid = packed.grid
    starts = grid.sizes.cumsum(0) - grid.sizes
    table = scale.new_zeros(len(grid.sizes), packed.n)
    rank = torch.arange(len(grid.order)) - starts[grid.place]
    table[grid.place, rank] = scale[grid.order]
    owner = torch.arange(len(grid.sizes)).repeat_interleave(packed.pointers.long().diff())
    factor = table[owner]
    return packed.values * factor.reshape(*factor.shape, *[1] * (packed.values.ndim - 2))


def dense_layer(layer: PackedConv2d | PackedLinear) -> nn.Conv2d | nn.Linear:
    """An ordinary layer that computes the same, zeros written out."""
    has_bias = layer.bias is not None
    with torch.device("meta"):
        if isinstance(layer, PackedConv2d):
            o, i, *kernel = layer.shape
            sizes = (i * layer.groups, o, tuple(kernel), layer.stride, layer.padding)
            plain = nn.Conv2d(*sizes, layer.dilation, layer.groups, bias=has_bias)
        else:
            plain = nn.Linear(layer.shape[1], layer.shape[0], bias=has_bias)
    plain.weight = nn.Parameter(layer.packed.unpack(), requires_grad=False)
    if has_bias:
        plain.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
    return plain.eval()
