"""The folded network as torch runs it: what packed kernels have to beat."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from lithe.onexn.engine.folding import dense_layer
from lithe.onexn.packed_layers import packed_layers

__all__ = ["DenseNetwork", "dense_twin"]


class DenseNetwork:
    """Calls a network of ordinary layers in one memory format, without gradient.

    Args:
        network: of ordinary layers.
        memory_format: ``torch.channels_last`` copies the layers into that layout.
    """

    def __init__(
        self,
        network: Callable[..., Any],
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.memory_format = memory_format
        if memory_format is torch.channels_last:
            network = copy.deepcopy(network).to(memory_format=memory_format)
        self.network = network

    @torch.inference_mode()
    def _run(self, inputs: tuple[Tensor, ...]) -> Any:
        images = (
            x.contiguous(memory_format=self.memory_format) if x.ndim == 4 else x for x in inputs
        )
        return self.network(*images)

    def __call__(self, inputs: tuple[Tensor, ...]) -> Any:
        """What the network returns, as ordinary tensors that share memory with nothing."""
        result = self._run(inputs)
        # tensors of inference mode cannot be trained on; a copy of the outputs costs little
        return torch.utils._pytree.tree_map(
            lambda x: x.clone() if isinstance(x, Tensor) else x, result
        )


def dense_twin(network: fx.GraphModule) -> fx.GraphModule:
    """The network with ordinary layers in place of packed ones; all else is shared."""
    packed = packed_layers(network)
    memo = {id(layer): dense_layer(layer) for layer in packed.values()}
    for name, module in network.named_modules():
        whole = not any(other.startswith(f"{name}.") for other in packed)
        if name and id(module) not in memo and whole:
            memo[id(module)] = module
    for tensor in (*network._parameters.values(), *network._buffers.values()):
        memo[id(tensor)] = tensor
    return copy.deepcopy(network, memo)
