"""Who the packed kernels are measured against, on one layer and on whole networks."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe import export
from lithe.onexn.speed.layers import Layer
from lithe.onexn.speed.timing import Way

__all__ = ["csr_layer", "dense_layer", "dense_networks", "runtimes"]


def dense_layer(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor) -> dict[str, Way]:
    """Torch's dense convolution (oneDNN) with bias, in both memory layouts."""

    def way(layout: torch.memory_format) -> Way:
        given, kernel = x.to(memory_format=layout), weight.to(memory_format=layout)
        return Way(lambda: convolve(layer, given, kernel, bias))

    return {
        "contiguous": way(torch.contiguous_format),
        "channels_last": way(torch.channels_last),
    }


@torch.inference_mode()
def convolve(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The layer as torch computes it."""
    return F.conv2d(x, weight, bias, layer.stride, layer.kernel // 2)


def csr_layer(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor) -> Way | None:
    """Torch's compressed sparse rows times the map as a matrix; None where that does not serve.

    Only 1x1 convolutions of stride 1 are such a product as they stand.
    """
    if layer.kernel > 1 or layer.stride > 1:
        return None
    with warnings.catch_warnings():  # torch says that its own sparse layout is in beta
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        rows = weight.reshape(layer.filters, layer.inputs).to_sparse_csr()
    pixels, offset = x.reshape(layer.inputs, -1), bias[:, None]

    @torch.inference_mode()
    def call() -> Tensor:
        return (rows @ pixels).add_(offset)

    return Way(call)


def dense_networks(model: nn.Module, example: Tensor, compiled: bool = False) -> dict[str, Way]:
    """Torch eager with batch norm folded, in both layouts; compiled too if asked for.

    Folding is torch's own, so that nothing of ours is in what we are compared with.

    Args:
        model: in eval mode; not changed.
        example: ``(1, c, h, w)``.
        compiled: ``torch.compile`` as well; needs a compiler on this machine and a minute.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates what it imports and calls here itself
        from torch.fx.experimental.optimization import fuse

        folded = fuse(model)
    ways = {
        "contiguous": _eager(folded, example, torch.contiguous_format),
        "channels_last": _eager(folded, example, torch.channels_last),
    }
    if compiled:
        ways["compiled"] = _compiled(folded, example)
    return ways


def _eager(model: nn.Module, example: Tensor, layout: torch.memory_format) -> Way:
    import copy

    own = copy.deepcopy(model).to(memory_format=layout)
    given = example.to(memory_format=layout)
    return Way(_inference(own, given))


def _compiled(model: nn.Module, example: Tensor) -> Way:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call = _inference(torch.compile(model, options={"freezing": True}), example)
        call()
    return Way(call)


def _inference(model: Callable[[Tensor], Any], x: Tensor) -> Callable[[], Any]:
    @torch.inference_mode()
    def call() -> Any:
        return model(x)

    return call


def runtimes(model: nn.Module, example: Tensor, threads: int) -> tuple[dict[str, Way], list[str]]:
    """The dense network in the inference runtimes that are installed.

    Args:
        model: in eval mode.
        example: ``(1, c, h, w)``.
        threads: given to each runtime.

    Returns:
        A way for each runtime, and a sentence about each one that is missing or refuses.
    """
    ways, absent = {}, []
    present = {name: find_spec(name) is not None for name in ("onnxruntime", "openvino")}
    absent += [f"{name} is not installed" for name, here in present.items() if not here]
    if not any(present.values()):
        return ways, absent
    try:
        file = _onnx(model, example)
    except (export.ExportError, ImportError) as error:
        return ways, [*absent, f"no ONNX file: {error}"]
    if present["onnxruntime"]:
        ways["onnxruntime"] = Way(_onnxruntime(file, example, threads), "onnxruntime")
    if present["openvino"]:
        ways["openvino"] = Way(_openvino(file, example, threads), "openvino")
    return ways, absent


def _onnx(model: nn.Module, example: Tensor) -> bytes:
    """The model as an ONNX file; kept for the next number of threads, for it takes seconds."""
    if model not in _FILES:
        with tempfile.TemporaryDirectory() as folder:
            path = export.to_onnx(model, Path(folder) / "model.onnx", example)
            _FILES[model] = path.read_bytes()
    return _FILES[model]


_FILES: WeakKeyDictionary[nn.Module, bytes] = WeakKeyDictionary()


def _onnxruntime(file: bytes, example: Tensor, threads: int) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: example.numpy()}
    return lambda: session.run(None, given)


def _openvino(file: bytes, example: Tensor, threads: int) -> Callable[[], Any]:
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    model.reshape(list(example.shape))
    hints = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    given = example.numpy()
    return lambda: request.infer([given])
