"""Checkpoints that are whole or not there, and load without pickle."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Set
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lithe.files import write_with
from lithe.training.errors import CheckpointError

__all__ = ["drop_all", "latest", "load_state", "load_tensors", "refuse_other_run", "save"]

PREFIX = "checkpoint-"
UNFINISHED = ".unfinished-"
STATE = "state.pt"


def save(
    directory: Path, epoch: int, step: int, models: dict[str, nn.Module], state: dict[str, Any]
) -> Path:
    """Write a checkpoint folder, then drop the older ones.

    The folder is filled under another name, flushed to the disk and renamed, so a process that
    is killed at any moment leaves the previous checkpoint or this one.

    Args:
        directory: of the run; made if missing.
        epoch: finished epochs.
        step: finished steps of the next epoch.
        models: written to ``<name>.safetensors`` with all parameters and buffers.
        state: numbers, strings, lists, dicts and tensors.

    Returns:
        The folder.
    """
    directory.mkdir(parents=True, exist_ok=True)
    folder = directory / f"{PREFIX}{epoch:06d}-{step:09d}"
    if folder.exists():
        return folder  # a run reaches each moment once, always with the same bits
    unfinished = Path(tempfile.mkdtemp(dir=directory, prefix=UNFINISHED))
    try:
        for name, model in models.items():
            tensors = {key: _own(tensor) for key, tensor in _tensors(model).items()}
            write_with(unfinished / f"{name}.safetensors", lambda p, t=tensors: save_file(t, p))
        write_with(unfinished / STATE, lambda p: torch.save(state, p))
        _flush(unfinished)
        unfinished.rename(folder)
        _flush(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    drop_all(directory, but=folder)
    return folder


def latest(directory: Path) -> Path | None:
    """The newest whole checkpoint folder of a run, or ``None``."""
    return max(directory.glob(f"{PREFIX}*-*"), default=None)


def drop_all(directory: Path, but: Path | None = None) -> None:
    """Remove the checkpoints of a run and what interrupted writes left, except ``but``."""
    for folder in directory.glob(f"{UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in directory.glob(f"{PREFIX}*-*"):
        if folder != but:
            # renamed first: a removal that is cut short must not look like a checkpoint
            doomed = folder.rename(folder.with_name(UNFINISHED + folder.name))
            shutil.rmtree(doomed, ignore_errors=True)


def load_state(folder: Path, needed: Set[str] = frozenset()) -> dict[str, Any]:
    """Read the state of a checkpoint; nothing in it is executed.

    Args:
        folder: of the checkpoint.
        needed: keys that it must have.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes can fail in any way
        raise _damaged(folder / STATE, error) from error
    missing = needed - set(state if isinstance(state, dict) else ())
    if missing:
        raise _damaged(folder / STATE, f"it lacks {', '.join(sorted(missing))}")
    return state


def load_tensors(folder: Path, name: str, model: nn.Module) -> None:
    """Copy ``<name>.safetensors`` into a model's parameters and buffers, in place.

    Raises:
        CheckpointError: the file is damaged, or its names, shapes or dtypes are not the model's.
    """
    path = folder / f"{name}.safetensors"
    try:
        stored = load_file(path)
    except Exception as error:  # as above
        raise _damaged(path, error) from error
    own = _tensors(model)
    refuse_other_model(path, stored, own)
    # through load_state_dict, so that a module which mirrors its buffers learns of the change
    model.load_state_dict(stored, strict=False)
    with torch.no_grad():
        for key in own.keys() - model.state_dict().keys():  # buffers that are not persistent
            own[key].copy_(stored[key])


def refuse_other_model(path: Path, stored: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Compare names, shapes and dtypes.

    Raises:
        CheckpointError: one differs; the message lists the first three.
    """
    sides = [{k: f"{t.dtype} {tuple(t.shape)}" for k, t in side.items()} for side in (stored, own)]
    differing = [
        f"{key} is {sides[0].get(key, 'absent')} there and {sides[1].get(key, 'absent')} here"
        for key in sorted(sides[0].keys() | sides[1].keys())
        if sides[0].get(key) != sides[1].get(key)
    ]
    if differing:
        raise CheckpointError(
            f"{path} belongs to another model ({len(differing)} tensors differ): "
            f"{'; '.join(differing[:3])}. Use the same model, another directory, or resume=False"
        )


def refuse_other_run(folder: Path, stored: dict[str, Any], own: dict[str, Any]) -> None:
    """Compare what identifies a run: config, data, loss, callbacks.

    Raises:
        CheckpointError: something differs; the message names it.
    """
    differing = [
        f"{key}={stored.get(key)!r} there, {own.get(key)!r} here"
        for key in sorted(stored.keys() | own.keys())
        if stored.get(key) != own.get(key)
    ]
    if differing:
        raise CheckpointError(
            f"{folder} was made by another run: {'; '.join(differing)}. Use the same settings "
            "and data, another directory, or resume=False to start anew there"
        )


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, the non-persistent buffers too."""
    named = [*model.named_parameters(remove_duplicate=False)]
    return dict([*named, *model.named_buffers(remove_duplicate=False)])


def _own(tensor: Tensor) -> Tensor:
    """A contiguous CPU copy: safetensors takes no memory that two names share."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _damaged(path: Path, error: Exception | str) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read ({error}); remove {path.parent} to start the run anew"
    )


def _flush(folder: Path) -> None:
    """Put a folder's entries on the disk, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
