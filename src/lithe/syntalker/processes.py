"""Several processes that train one model: what they must agree on."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

__all__ = ["of_the_first", "summed"]


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, in all of them; with one process the tensor itself."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def of_the_first(tensor: Tensor) -> Tensor:
    """The first process's tensor, in all of them; with one process the tensor itself."""
    if dist.is_available() and dist.is_initialized():
        tensor = tensor.contiguous()
        dist.broadcast(tensor, 0)
    return tensor
