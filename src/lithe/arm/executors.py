"""Who runs a branch: torch, or a runtime that fuses and lays out the network beforehand.

Deep networks spend a good part of their time in torch on memory: every layer's output is fresh
pages of it, and activations and sums pass over it again. onnxruntime (optional; the extra
``export`` installs it) keeps its memory from call to call and does them with the convolution.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from lithe.arm.subpixel import without_transposed

__all__ = [
    "EXACT",
    "KINDS",
    "OnnxExecutor",
    "Run",
    "TorchExecutor",
    "executor",
    "fastest",
    "kind_of",
    "layout_of",
    "learned",
]

KINDS = ("torch", "onnx")
EXACT = 1e-5  # of the largest output, or of 1: an executor that is further off is not used
Run = Callable[[Tensor], Tensor]


class TorchExecutor:
    """A branch in torch, channels last, without transposed convolutions.

    Args:
        net: from ``(n, 3, h, w)`` to an enlarged image; its weights are copied.
    """

    kind, layout = "torch", torch.channels_last

    def __init__(self, net: nn.Module) -> None:
        net = without_transposed(net).eval().requires_grad_(False)
        self.net = net.to(memory_format=torch.channels_last)
        self.device = next(net.parameters()).device

    def __call__(self, x: Tensor) -> Tensor:
        """Enlarge ``(n, 3, h, w)``, wherever the network is; the result is in main memory."""
        return self.net(x.to(self.device)).cpu()


class OnnxExecutor:
    """A branch in onnxruntime, for any batch and size, on the CPU.

    Args:
        net: as for :class:`TorchExecutor`.
        threads: of the runtime; as many as torch uses now by default.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
        Exception: of the exporter's own, where it cannot export the network.
    """

    kind, layout = "onnx", torch.contiguous_format

    def __init__(self, net: nn.Module, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.inter_op_num_threads = 1
        # waiting threads that spin would take the processor from the routing between two tiles
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # windows come in many sizes
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            _exported(net), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def __call__(self, x: Tensor) -> Tensor:
        """Enlarge ``(n, 3, h, w)``."""
        given = np.ascontiguousarray(x.cpu().numpy())
        return torch.from_numpy(self._session.run(None, {self._input: given})[0])


def _exported(net: nn.Module) -> bytes:
    """The network as an ONNX model whose batch, height and width are free."""
    size = torch.export.Dim
    free = {0: size("n", min=1), 2: size("h", min=1), 3: size("w", min=1)}
    with _quiet():
        program = torch.onnx.export(
            net.eval(),
            (torch.zeros(2, 3, 24, 20),),
            dynamo=True,
            dynamic_shapes=(free,),
            verbose=False,
        )
    return program.model_proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def executor(net: nn.Module, kind: str) -> Run:
    """A branch in the executor of that name; what has no weights stays as it is.

    Raises:
        ValueError: there is no executor of that name.
        ImportError: its runtime is not installed.
    """
    if kind not in KINDS:
        raise ValueError(f"executor is {kind!r}; known are {', '.join(map(repr, KINDS))}")
    if not learned(net):
        return net
    return TorchExecutor(net) if kind == "torch" else OnnxExecutor(net)


def fastest(net: nn.Module, size: int, rounds: int = 3) -> Run:
    """The executor that enlarges a square of noise soonest, of those that agree with torch.

    Args:
        net: as for :class:`TorchExecutor`.
        size: side of the square, input pixels.
        rounds: timed turns of each, at least 1.
    """
    own = executor(net, "torch")
    if not learned(net):
        return own
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    other = _agreeing(net, noise)
    if other is None:
        return own
    times: dict[str, list[float]] = {run.kind: [] for run in (own, other)}
    with torch.inference_mode():
        for _ in range(rounds + 1):  # the first one warms up
            for run in (own, other):
                x = noise.contiguous(memory_format=run.layout)
                start = perf_counter()
                run(x)
                times[run.kind].append(perf_counter() - start)
    return min((own, other), key=lambda run: median(times[run.kind][1:]))


def _agreeing(net: nn.Module, noise: Tensor) -> OnnxExecutor | None:
    """The network in onnxruntime, if that is installed, can hold it, and gives the same."""
    if not all(importlib.util.find_spec(n) for n in ("onnx", "onnxscript", "onnxruntime")):
        return None
    try:
        run = OnnxExecutor(net)
        made = run(noise)
    except Exception as error:  # the exporter's and the runtime's errors share no base class
        logging.getLogger(__name__).info("%s stays in torch: %s", type(net).__name__, error)
        return None
    with torch.inference_mode():
        expected = net(noise)
    off = float((made - expected).abs().max())
    return run if off <= EXACT * max(1.0, float(expected.abs().max())) else None


def learned(net: Run) -> bool:
    """Whether a branch has weights."""
    return isinstance(net, nn.Module) and next(net.parameters(), None) is not None


def kind_of(run: Run) -> str:
    """Name of what runs a branch; modules run in torch."""
    return getattr(run, "kind", "torch")


def layout_of(run: Run) -> torch.memory_format:
    """The layout that a branch is fastest on.

    Channels last suits convolutions in torch (ARM spec 8.6: time follows the layout); without
    weights the plain layout is faster.
    """
    if isinstance(run, nn.Module):
        return torch.channels_last if learned(run) else torch.contiguous_format
    return getattr(run, "layout", torch.contiguous_format)
