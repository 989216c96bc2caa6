"""ONNX: the same model for other runtimes, and the proof that it is the same."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lithe.export.errors import ExportError
from lithe.files import write_with
from lithe.modes import evaluating

__all__ = ["check_onnx", "to_onnx"]

INPUT, OUTPUT = "input", "output"


def to_onnx(model: nn.Module, path: str | Path, example: Tensor) -> Path:
    """Write a model in eval mode as one ONNX file, weights inside, any batch size.

    Args:
        model: a module with one tensor in and one tensor out; not changed.
        path: the file to write; atomic.
        example: an input ``(n, c, h, w)``; the sizes after ``n`` become fixed.

    Returns:
        ``path``.

    Raises:
        ExportError: the exporter refuses the model. A forward that fixes ``n`` may pass here; it
            is :func:`check_onnx` that proves that every batch size runs.
        ImportError: the extra ``export`` (onnx, onnxscript) is not installed.
    """
    two = _batch(example, 2)  # torch.export takes a batch of 1 for a constant
    batch = torch.export.Dim("n", min=1)
    try:
        with evaluating(model), _quiet():
            program = torch.onnx.export(
                model,
                (two,),
                dynamo=True,
                dynamic_shapes=({0: batch},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
    except ImportError:
        raise
    except Exception as error:  # the exporter's own errors share no base class
        raise ExportError(f"{type(model).__name__} cannot be exported: {error}") from error
    return write_with(path, lambda temporary: program.save(temporary, external_data=False))


def check_onnx(
    path: str | Path, model: nn.Module, example: Tensor, tolerance: float = 1e-4
) -> float:
    """Run an ONNX file with onnxruntime on the CPU and compare it with the model.

    Both the example and a batch of three made from it are run, so a frozen batch size is found.

    Args:
        path: the ONNX file.
        model: what it was made from; compared in eval mode.
        example: an input ``(n, c, h, w)``.
        tolerance: largest allowed difference, relative to ``max(1, largest output)``.

    Returns:
        The largest such difference found.

    Raises:
        ExportError: the difference is above ``tolerance``, or the file does not run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        batches = [example, _batch(example, 3)]
        found = [_difference(session, model, batch) for batch in batches]
        worst = max(found, key=lambda value: (math.isnan(value), value))  # NaN is the worst
    except ExportError:
        raise
    except Exception as error:  # onnxruntime's errors share no base class
        raise ExportError(f"{Path(path).name} does not run at any batch size: {error}") from error
    if not worst <= tolerance:
        raise ExportError(f"{Path(path).name} differs by {worst:.3g}, allowed are {tolerance:.3g}")
    return worst


def _difference(session: Any, model: nn.Module, batch: Tensor) -> float:
    with evaluating(model), torch.no_grad():
        ours = model(batch).double().cpu()
    [theirs] = session.run(None, {session.get_inputs()[0].name: batch.cpu().numpy()})
    theirs = torch.from_numpy(theirs).double()
    if ours.shape != theirs.shape:
        raise ExportError(f"output {tuple(theirs.shape)} where the model has {tuple(ours.shape)}")
    return ((ours - theirs).abs().max() / ours.abs().max().clamp(min=1)).item()


def _batch(example: Tensor, size: int) -> Tensor:
    """Repeat the first sample, scaled a little so that no two are equal."""
    if not isinstance(example, Tensor) or example.dim() < 2 or not len(example):
        found = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise ExportError(f"example is {found}; it must be a tensor (n, ...) with n at least 1")
    scale = torch.linspace(1, 0.5, size, dtype=example.dtype, device=example.device)
    return example[:1] * scale.reshape(-1, *[1] * (example.dim() - 1))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about its own insides; all other warnings pass."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=r".*isinstance\(treespec, LeafSpec\)", category=FutureWarning
            )
            yield
    finally:
        logger.setLevel(level)
