"""What a packed network accepts, said before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

__all__ = ["Shapes", "check_example", "check_inputs", "check_kinds", "is_plain"]

Shapes = tuple[tuple[int, ...], ...]


def check_example(example: Any) -> tuple[Tensor, ...]:
    """The example as a tuple of tensors.

    Raises:
        TypeError: it holds something else, or not float32 on the CPU.
        ValueError: a tensor is empty or has no batch axis.
    """
    inputs = tuple(example) if isinstance(example, tuple | list) else (example,)
    if not inputs:
        raise ValueError("example is empty; give one input, or a tuple of inputs")
    check_kinds(inputs)
    for x in inputs:
        if x.ndim < 2 or not x.numel():
            raise ValueError(
                f"example has shape {tuple(x.shape)}; it must be (batch, channels, ...)"
            )
    return inputs


def check_kinds(inputs: Sequence[Any]) -> None:
    """Refuse all but float32 tensors on the CPU.

    Raises:
        TypeError: saying what is wrong and what would be right.
    """
    for x in inputs:
        if not isinstance(x, Tensor):
            raise TypeError(f"input is a {type(x).__name__}, not a torch.Tensor")
        if x.dtype is not torch.float32:
            raise TypeError(
                f"input is {x.dtype}; packed networks compute in torch.float32: pass x.float()"
            )
        if x.device.type != "cpu":
            raise TypeError(f"input is on {x.device}; packed networks run on the CPU")
        if x.layout is not torch.strided:
            raise TypeError(f"input is {x.layout}; pass an ordinary tensor")
        if forward_ad._current_level >= 0 and forward_ad.unpack_dual(x).tangent is not None:
            raise TypeError("input has a tangent; packed networks are differentiated backward only")


def check_inputs(inputs: Sequence[Tensor], example: Shapes) -> None:
    """Refuse inputs that no network packed with such an example can take.

    Raises:
        TypeError: another number of inputs.
        ValueError: another number of axes or channels, an empty tensor.
    """
    if len(inputs) != len(example):
        raise TypeError(f"{len(inputs)} inputs given; the network takes {len(example)}")
    for x, shape in zip(inputs, example):
        wanted = ("batch", shape[1], *("any" for _ in shape[2:]))
        if x.ndim != len(shape) or (x.ndim != 3 and x.shape[1] != shape[1]):
            raise ValueError(f"input has shape {tuple(x.shape)}; it must be {_shown(wanted)}")
        if not x.numel():
            raise ValueError(f"input has shape {tuple(x.shape)}, which holds nothing")


def is_plain(x: Any) -> bool:
    """A tensor with values, as opposed to one that only stands for values while tracing."""
    if type(x) not in (Tensor, nn.Parameter) or x.device.type == "meta":
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(x)  # of vmap, jvp and their like


def _shown(shape: Sequence[Any]) -> str:
    return f"({', '.join(map(str, shape))})"
