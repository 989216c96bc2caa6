from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from lithe.training import CheckpointError, checkpoint


def _model(value: float) -> nn.Module:
    model = nn.Linear(2, 2)
    model.register_buffer("hidden", torch.full((3,), value), persistent=False)
    model.again = model.weight  # one tensor under two names
    nn.init.constant_(model.weight, value)
    return model


def _save(folder: Path, epoch: int, value: float) -> Path:
    return checkpoint.save(folder, epoch, 0, {"model": _model(value)}, {"value": value})


def test_a_checkpoint_brings_back_every_tensor_and_the_state(tmp_path):
    folder = _save(tmp_path, 3, 2.5)
    model = _model(0.0)
    checkpoint.load_tensors(folder, "model", model)
    assert model.weight.eq(2.5).all()
    assert model.again is model.weight
    assert model.hidden.eq(2.5).all()
    assert checkpoint.load_state(folder) == {"value": 2.5}


def test_only_the_newest_checkpoint_stays(tmp_path):
    for epoch in (1, 2, 10):
        _save(tmp_path, epoch, epoch)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000010-000000000"]
    assert checkpoint.latest(tmp_path).name == "checkpoint-000010-000000000"


def test_a_directory_without_checkpoints_has_no_latest(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "not yet") is None


@pytest.mark.parametrize("call", ["save_file", "torch.save", "rename", "fsync"])
def test_an_error_while_writing_leaves_the_checkpoint_before(call, tmp_path, monkeypatch):
    _save(tmp_path, 1, 1.0)

    def fail(*_, **__):
        raise OSError("no space left on device")

    if call == "rename":
        monkeypatch.setattr(Path, "rename", fail)
    elif call == "fsync":
        monkeypatch.setattr(checkpoint.os, "fsync", fail)
    elif call == "torch.save":
        monkeypatch.setattr(torch, "save", fail)
    else:
        monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match="no space"):
        _save(tmp_path, 2, 2.0)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000001-000000000"]
    assert checkpoint.load_state(checkpoint.latest(tmp_path)) == {"value": 1.0}


def test_what_a_killed_process_left_is_no_checkpoint_and_is_swept_up(tmp_path):
    left = tmp_path / f"{checkpoint.UNFINISHED}checkpoint-000009-000000000"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert checkpoint.latest(tmp_path) is None
    _save(tmp_path, 2, 2.0)
    assert not left.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "removed"])
def test_damaged_files_are_named(name, damage, tmp_path):
    folder = _save(tmp_path, 1, 1.0)
    file = folder / name
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: 40 if damage == "cut" else 0])
    load = {
        "state.pt": lambda: checkpoint.load_state(folder),
        "model.safetensors": lambda: checkpoint.load_tensors(folder, "model", _model(0.0)),
    }[name]
    with pytest.raises(CheckpointError, match=rf"(?s){name} cannot be read .* remove"):
        load()


def test_a_pickle_in_a_checkpoint_is_not_executed(tmp_path):
    folder = _save(tmp_path, 1, 1.0)
    marker = tmp_path / "executed"

    class Foreign:
        def __reduce__(self):
            return Path.touch, (marker,)

    torch.save({"value": Foreign()}, folder / "state.pt")
    with pytest.raises(CheckpointError, match=r"state\.pt cannot be read"):
        checkpoint.load_state(folder)
    (folder / "state.pt").write_bytes(pickle.dumps(Foreign(), protocol=2))
    with pytest.raises(CheckpointError, match=r"state\.pt cannot be read"):
        checkpoint.load_state(folder)
    assert not marker.exists()


@pytest.mark.parametrize("state", [{"epoch": 1}, [1, 2]])
def test_a_state_without_its_parts_is_refused(tmp_path, state):
    folder = _save(tmp_path, 1, 1.0)
    torch.save(state, folder / "state.pt")
    with pytest.raises(CheckpointError, match=r"it lacks .*rows"):
        checkpoint.load_state(folder, {"epoch", "rows"})
