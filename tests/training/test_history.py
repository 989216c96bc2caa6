from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lithe.training import History


def test_columns_keep_their_place_where_an_epoch_lacks_a_value():
    history = History()
    history.add({"epoch": 0, "train_loss": 2.0})
    history.add({"epoch": 1, "train_loss": 1.0, "extra": "x"})
    assert history["train_loss"] == [2.0, 1.0]
    assert history.to_dict()["extra"] == [None, "x"]
    assert history.last["epoch"] == 1
    assert len(history) == 2
    with pytest.raises(KeyError, match="train_loss"):
        history["nothing"]


def test_tensors_and_numpy_scalars_become_plain_numbers():
    history = History()
    history.add({"a": torch.tensor(1.5), "b": np.float32(2.0), "c": np.arange(2), "d": None})
    assert history.last == {"a": 1.5, "b": 2.0, "c": [0, 1], "d": None}
    assert json.loads(json.dumps(history.to_dict())) == history.to_dict()


def test_what_json_cannot_carry_is_refused():
    with pytest.raises(TypeError, match="numbers, text, lists or dicts"):
        History().add({"a": object()})


def test_an_empty_history_has_no_last_row():
    assert History().last == {}
    assert History().to_dict() == {}
