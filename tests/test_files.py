"""Atomic writes: the old file or the new one, never a part of either."""

from __future__ import annotations

import json

import pytest

from lithe.files import write_atomic, write_json, write_with


def test_writes_text_and_bytes_and_makes_parents(tmp_path):
    path = write_atomic(tmp_path / "a" / "b.txt", "naïve")
    assert path.read_bytes() == "naïve".encode()
    assert write_atomic(path, b"\x00").read_bytes() == b"\x00"


def test_a_failing_writer_leaves_the_old_file_and_no_litter(tmp_path):
    path = write_atomic(tmp_path / "kept.txt", "old")

    def broken(temporary):
        temporary.write_text("half")
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError, match="disk gone"):
        write_with(path, broken)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_refuses_what_json_cannot_carry(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()
    assert json.loads(write_json(tmp_path / "x.json", {"b": 1, "a": "é"}).read_text()) == {
        "a": "é",
        "b": 1,
    }
