"""The pair of files: ``x.json``, the plan, and ``x.safetensors``, the weights it names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, fx, nn

from lithe.export.errors import ExportError
from lithe.export.plan import FORMAT, VERSION, Plan, make
from lithe.export.rebuild import build
from lithe.files import write_atomic, write_with
from lithe.modes import evaluating

__all__ = ["load", "save"]


def save(
    model: nn.Module,
    path: str | Path,
    example: Tensor | None = None,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write a model so that it can be loaded without its class and without pickle.

    The graph is that of eval mode. What is written has been rebuilt in memory first, so a file
    that cannot be loaded is never written. Both files are complete before either is renamed into
    place, and the plan holds the checksum of its weights.

    Args:
        model: a module that ``torch.fx`` can trace; not changed.
        path: ``"x"``, ``"x.json"`` or ``"x.safetensors"``, all of which mean the pair.
        example: an input ``(n, ...)``. If given, the rebuilt model has to give the same bits.
        extra: JSON values that the plan holds beside the model, under the name of a room.

    Returns:
        Path of the plan, ``x.json``.

    Raises:
        ExportError: the model cannot be traced, holds something a plan cannot (by name), has NaN
            or infinity in its weights, or does not compute the same when rebuilt.
    """
    plan, tensors = make(model)
    stored = {name: _stored(value) for name, value in tensors.items()}
    rebuilt = build(plan, stored)
    if example is not None:
        _require_equal(model, rebuilt, example)
    weights = safetensors.torch.save(stored)
    update = {"weights_sha256": hashlib.sha256(weights).hexdigest(), "extra": extra or {}}
    content = plan.model_copy(update=update).model_dump(exclude=None if extra else {"extra"})
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    plan_path, weights_path = _pair(path)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")
        write_atomic(weights_path, weights)

    return write_with(plan_path, write)


def load(path: str | Path) -> fx.GraphModule:
    """Load what :func:`save` wrote. The files need not be trusted: no code is read from them.

    Args:
        path: as for :func:`save`.

    Returns:
        The model in eval mode, on the CPU, its parameters trainable; ``.meta["extra"]`` is the
        ``extra`` of :func:`save`, which whoever wrote it has to check.

    Raises:
        ExportError: a file is missing, truncated or altered, or the plan is of another version,
            names an unknown operation or module, or does not fit its weights.
    """
    plan_path, weights_path = _pair(path)
    plan = _read_plan(plan_path)
    data = _bytes(weights_path)
    if hashlib.sha256(data).hexdigest() != plan.weights_sha256:
        raise ExportError(
            f"{weights_path.name} is not the file that {plan_path.name} was written with "
            "(its checksum differs): truncated, altered, or of another save"
        )
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ExportError(f"{weights_path.name} is not a safetensors file: {error}") from error
    model = build(plan, tensors)
    model.meta["extra"] = plan.extra
    return model


def _pair(path: str | Path) -> tuple[Path, Path]:
    path = Path(path)
    name = path.name
    for suffix in (".json", ".safetensors"):
        name = name.removesuffix(suffix)
    if not name:
        raise ExportError(f"{str(path)!r} names no file")
    return path.with_name(f"{name}.json"), path.with_name(f"{name}.safetensors")


def _read_plan(path: Path) -> Plan:
    text = _bytes(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path.name} is not JSON (truncated?): {error}") from error
    _refuse_other_formats(path, content)
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ExportError(f"{path.name}: {where}: {first['msg']}") from error


def _refuse_other_formats(path: Path, content: Any) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ExportError(f"{path.name} is not a plan of format {FORMAT!r}")
    if content.get("version") != VERSION:
        raise ExportError(
            f"{path.name} has version {content.get('version')!r}; this Lithe reads {VERSION}"
        )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error


def _stored(value: Tensor) -> Tensor:
    """A copy of its own: safetensors refuses views, and the model must not change under us."""
    return value.detach().to("cpu", copy=True).contiguous()


def _require_equal(model: nn.Module, rebuilt: nn.Module, example: Tensor) -> None:
    if not isinstance(example, Tensor):
        raise ExportError(f"example is a {type(example).__name__}, not a tensor (n, ...)")
    try:
        with evaluating(model), torch.no_grad():
            theirs = _leaves(model(example))
            ours = _leaves(rebuilt.to(example.device)(example))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shape = tuple(example.shape)
        raise ExportError(
            f"{type(model).__name__} does not run on an example of shape {shape}: {error}"
        ) from error
    same = len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs))
    if not same:
        raise ExportError(
            f"{type(model).__name__} computes something else when rebuilt: its forward depends on "
            "the values or the shape of its input"
        )


def _leaves(output: Any) -> list[Tensor]:
    """All tensors of an output, however nested."""
    return [x for x in torch.utils._pytree.tree_leaves(output) if isinstance(x, Tensor)]
