"""What tests of figures share: a book of their own to put records into."""

from __future__ import annotations

import pytest

from lithe import ledger


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty book; ``shelf(experiment, seed, metrics, curves)`` puts a record into it."""
    import matplotlib.pyplot as plt

    (tmp_path / "book" / "claims").mkdir(parents=True)
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path / "book"))

    def put(experiment, seed, metrics, curves=None):
        args = ("syntalker", experiment, "small", seed, {}, metrics)
        ledger.record(*args, sources=("lithe.files",), curves=curves)

    yield put
    plt.close("all")
