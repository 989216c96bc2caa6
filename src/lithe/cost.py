"""What a model costs: multiply-accumulates and parameters, each under a stated convention.

``"macs"``
    Multiply-accumulates of convolutions and linear layers, whether modules or functional
    calls, as the operators run: convolution ``n·co·h_out·w_out·(ci/g)·kh·kw``, transposed
    convolution at its input size ``n·ci·h_in·w_in·(co/g)·kh·kw``, linear ``rows·in·out``. Bias,
    normalisation, activation and pooling are free. Products of two activations (attention) and
    what a layer spends on building its own weights are reported apart.
``"thop031"``
    The count behind the published DCFF table (thop 0.0.31; DCFF spec section 5): leaf modules
    only; a bias adds one operation an output, batch normalisation two an input element, average
    pooling one an output, adaptive average pooling window + 1 an output; functional calls,
    activations and max pooling are free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lithe.latency import Latency, compare, latency
from lithe.modes import evaluating

__all__ = ["Convention", "Cost", "Latency", "Row", "compare", "count", "latency"]

Convention = Literal["macs", "thop031"]
Example = Tensor | Sequence[Tensor] | Mapping[str, Tensor]

#: Operators that are a convolution or a linear layer; others in torch's registry multiply
#: activations with each other.
LAYER_OPERATORS = ("convolution", "_convolution", "mm", "addmm")


@dataclass(frozen=True)
class Row:
    """Cost of one module: its name in the model, its class, its multiply-accumulates."""

    name: str
    kind: str
    macs: int


@dataclass(frozen=True)
class Cost:
    """What one forward pass on the example costs.

    Attributes:
        macs: operations under ``convention``.
        params: elements of all parameters, buffers excluded, shared ones once.
        convention: ``"macs"`` or ``"thop031"``.
        rows: the same per module, in order of first call; they add up to ``macs``.
        products: multiply-accumulates between activations (attention), not in ``macs``.
        preparation: multiply-accumulates spent on building weights, not in ``macs``.
    """

    macs: int
    params: int
    convention: str
    rows: tuple[Row, ...] = field(repr=False)
    products: int = 0
    preparation: int = 0


def count(model: nn.Module, example: Example, convention: Convention = "macs") -> Cost:
    """Count operations and parameters of ``model`` on ``example``.

    The model runs once, in eval mode and without gradients; training flags are put back and no
    buffer changes. Model and example may live on the ``meta`` device.

    Args:
        model: any module.
        example: input tensor, or a sequence of positional or a mapping of keyword inputs. The
            batch size counts.
        convention: ``"macs"`` or ``"thop031"``; see the module's text.

    Returns:
        Integers: see :class:`Cost`.

    Raises:
        TypeError: ``model`` is not a module or ``example`` holds something else than tensors.
        ValueError: the convention is unknown, or the model does not run on the example.
    """
    counters: dict[str, Callable[[nn.Module, Example], Cost]] = {
        "macs": _count_macs,
        "thop031": _count_thop031,
    }
    if convention not in counters:
        raise ValueError(
            f"convention is {convention!r}; known are {', '.join(map(repr, counters))}"
        )
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module")
    _check_example(example)
    with _eval(model):
        return counters[convention](model, example)


def _count_macs(model: nn.Module, example: Example) -> Cost:
    with _named_hooks(model) as stack, _Operators(stack) as operators:
        _run(model, example)
    modules = dict(model.named_modules())
    layers: Counter[str] = Counter()
    products = preparation = 0
    for (name, operator), macs in operators.macs.items():
        if operator not in LAYER_OPERATORS:
            products += macs
        elif operator in getattr(modules[name], "preparation_operators", ()):
            preparation += macs
        else:
            layers[name] += macs
    return _cost("macs", modules, layers, _parameters(model), products, preparation)


def _count_thop031(model: nn.Module, example: Example) -> Cost:
    modules = dict(model.named_modules())
    layers: Counter[str] = Counter()

    def add(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
            if isinstance(output, Tensor):
                layers[name] += _thop_operations(module, inputs, output)

        return hook

    leaves = {name: module for name, module in modules.items() if not any(module.children())}
    with ExitStack() as hooks:
        for name, module in leaves.items():
            hooks.callback(module.register_forward_hook(add(name)).remove)
        _run(model, example)
    return _cost("thop031", modules, layers, _parameters(model))


def _thop_operations(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> int:
    """Operations of one leaf call under the convention of thop 0.0.31."""
    if _is_convolution(module):
        fan_in = module.in_channels // module.groups * prod(module.kernel_size)
        return output.numel() * (fan_in + int(module.bias is not None))
    if isinstance(module, _BatchNorm):
        return 2 * inputs[0].numel()
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
        return output.numel()
    if isinstance(module, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d):
        space = output.dim() - 2
        window = prod(
            size_in // size_out
            for size_in, size_out in zip(inputs[0].shape[-space:], output.shape[-space:])
        )
        return output.numel() * (window + 1)
    return 0


def _is_convolution(module: nn.Module) -> bool:
    """Torch's convolutions, and layers that declare the same geometry."""
    return all(hasattr(module, name) for name in ("in_channels", "kernel_size", "groups", "bias"))


class _Operators(TorchDispatchMode):
    """Counts multiply-accumulates of every operator that torch's FLOP registry knows."""

    def __init__(self, stack: list[str]) -> None:
        super().__init__()
        self.stack = stack
        self.macs: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:  # a composite operator shows its parts
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None:
            name = func._overloadpacket.__name__
            self.macs[self.stack[-1], name] += formula(*args, **kwargs, out_val=result) // 2
        return result


@contextmanager
def _named_hooks(model: nn.Module) -> Iterator[list[str]]:
    """A stack whose top is the name of the module that is running."""
    stack = [""]
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            enter = module.register_forward_pre_hook(lambda *_, name=name: stack.append(name))
            leave = module.register_forward_hook(lambda *_: stack.pop() and None)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        yield stack


def _cost(
    convention: str,
    modules: Mapping[str, nn.Module],
    layers: Mapping[str, int],
    params: int,
    products: int = 0,
    preparation: int = 0,
) -> Cost:
    rows = tuple(
        Row(name, type(modules[name]).__name__, macs) for name, macs in layers.items() if macs
    )
    return Cost(sum(layers.values()), params, convention, rows, products, preparation)


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _check_example(example: Example) -> None:
    tensors = example.values() if isinstance(example, Mapping) else example
    values = [example] if isinstance(example, Tensor) else tensors
    if not isinstance(values, Sequence | type({}.values())) or isinstance(values, str):
        raise TypeError(f"example is a {type(example).__name__}; give a tensor or tensors")
    for value in values:
        if not isinstance(value, Tensor):
            raise TypeError(f"example holds a {type(value).__name__}; give tensors only")


def _run(model: nn.Module, example: Example) -> None:
    args: Sequence[Tensor] = ()
    named: Mapping[str, Tensor] = {}
    if isinstance(example, Tensor):
        args = (example,)
    elif isinstance(example, Mapping):
        named = example
    else:
        args = example
    try:
        model(*args, **named)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = [tuple(value.shape) for value in (*args, *named.values())]
        raise ValueError(
            f"{type(model).__name__} does not run on inputs of shape {shapes}: {error}"
        ) from error


@contextmanager
def _eval(model: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, attention spelled out; every training flag is put back."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one opaque operator otherwise
    try:
        with evaluating(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
