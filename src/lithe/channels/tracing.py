"""From a module to a torch.fx graph that knows the source line of every operation."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from .errors import UntraceableError

__all__ = [
    "Outcome",
    "Shape",
    "is_stochastic_depth",
    "module_path",
    "outline",
    "record",
    "source_line",
    "symbolic",
]

_FRAME = re.compile(r'File "(.+?)", line (\d+)')
_OWN = tuple(str(Path(file).parent) + os.sep for file in (torch.__file__, __file__))
Outcome = Any  # a tensor's shape as `Shape`, a tuple of outcomes, or a plain Python value


class Shape(tuple):
    """The shape of a tensor: a type of its own, so that it is never taken for a value."""

    __slots__ = ()


class _Tracer(fx.Tracer):
    """Keeps StochasticDepth whole, so that its training behaviour survives the trace."""

    def __init__(self) -> None:
        super().__init__()
        self.record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_stochastic_depth(m) or super().is_leaf_module(m, module_qualified_name)


def is_stochastic_depth(module: nn.Module) -> bool:
    """Whether a module is torchvision's (recognised by name: it is not imported here)."""
    kind = type(module)
    return kind.__name__ == "StochasticDepth" and kind.__module__.startswith("torchvision.")


def symbolic(model: nn.Module) -> tuple[fx.Graph, dict[str, Tensor]]:
    """Trace ``model`` (eval mode) into a graph.

    Returns:
        The graph, and the tensor constants found in the code by the name the graph gives
        them (they are not left behind on the model).

    Raises:
        UntraceableError: the forward pass branches on data, or otherwise cannot be traced.
    """
    before = set(vars(model))
    try:
        graph = _Tracer().trace(model)
    except Exception as error:
        frames = [
            (frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
        ]
        raise UntraceableError("forward", "", _innermost(frames), str(error)) from error
    finally:
        constants = {name: model.__dict__[name] for name in set(vars(model)) - before}
    return graph, constants


def record(model: nn.Module, graph: fx.Graph, inputs: tuple[Tensor, ...]) -> dict[fx.Node, Outcome]:
    """Run ``graph`` once and note each node's outcome: shapes of tensors, other values as is."""
    outcomes: dict[fx.Node, Outcome] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            outcomes[n] = outline(result)
            return result

    Recorder(model, graph=graph).run(*inputs)
    return outcomes


def outline(result: Any) -> Outcome:
    """Replace every tensor in ``result`` by its :class:`Shape`."""
    if isinstance(result, Tensor):
        return Shape(result.shape)
    if isinstance(result, (tuple, list)) and not isinstance(result, torch.Size):
        return tuple(outline(item) for item in result)
    if isinstance(result, dict):
        return {key: outline(item) for key, item in result.items()}
    return result


def source_line(node: fx.Node) -> str:
    """``"folder/file.py:12"`` of the user's innermost frame that made ``node``."""
    return _innermost([(file, int(line)) for file, line in _FRAME.findall(node.stack_trace or "")])


def module_path(node: fx.Node) -> str:
    """Dotted path of the module in whose forward ``node`` was made."""
    stack = node.meta.get("nn_module_stack") or {}
    return next((path for path, _ in reversed(list(stack.values()))), "")


def _innermost(frames: list[tuple[str, int | None]]) -> str:
    for file, line in reversed(frames):
        if not file.startswith(_OWN) and not file.startswith("<"):
            return "/".join(Path(file).parts[-2:]) + f":{line}"
    return "?"
