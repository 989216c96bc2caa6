from __future__ import annotations

import pytest

from lithe.data import DataError, shared_folder


def test_an_explicit_folder_wins_over_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LITHE_SHARED", str(tmp_path / "elsewhere"))
    assert shared_folder(tmp_path) == tmp_path


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LITHE_SHARED", str(tmp_path))
    assert shared_folder() == tmp_path


def test_a_missing_folder_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("LITHE_SHARED", str(tmp_path / "gone"))
    with pytest.raises(DataError, match="set LITHE_SHARED"):
        shared_folder()
