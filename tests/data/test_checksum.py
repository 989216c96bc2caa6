from __future__ import annotations

import hashlib

import pytest
import torch

from lithe.data import DataError
from lithe.data.checksum import file_digest, tensor_digest, verify_file, verify_manifest


def test_file_digest_is_that_of_the_bytes(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"lithe" * 1000)
    assert file_digest(file) == hashlib.sha256(b"lithe" * 1000).hexdigest()
    assert file_digest(file, "md5") == hashlib.md5(b"lithe" * 1000).hexdigest()


def test_tensor_digest_sees_values_shape_dtype_and_order_but_not_layout():
    a, b = torch.arange(6).view(2, 3), torch.ones(2)
    assert tensor_digest(a) == tensor_digest(a.t().contiguous().t())
    digests = [
        tensor_digest(*tensors)
        for tensors in ((a,), (a.view(3, 2),), (a.int(),), (a + 1,), (a, b), (b, a))
    ]
    assert len(set(digests)) == len(digests)


def test_a_manifest_is_checked_file_by_file(tmp_path):
    (tmp_path / "one").write_text("1")
    (tmp_path / "MANIFEST.sha256").write_text(f"{hashlib.sha256(b'2').hexdigest()}  ./one\n")
    with pytest.raises(DataError, match="one is damaged"):
        verify_manifest(tmp_path, ["one"])
    good = f"{hashlib.sha256(b'1').hexdigest()} *one\n"
    (tmp_path / "MANIFEST.sha256").write_text(good)
    verify_manifest(tmp_path, ["one"])
    with pytest.raises(DataError, match="does not list two"):
        verify_manifest(tmp_path, ["two"])


@pytest.mark.parametrize("line", [b"abc", b"c4  one", b"\xff\xfe  one", b"one"])
def test_a_damaged_manifest_is_refused(tmp_path, line):
    (tmp_path / "one").write_text("1")
    (tmp_path / "MANIFEST.sha256").write_bytes(line + b"\n")
    with pytest.raises(DataError, match=r"MANIFEST\.sha256 is damaged"):
        verify_manifest(tmp_path, ["one"])


def test_a_digest_prefix_is_enough(tmp_path):
    (tmp_path / "a").write_text("x")
    verify_file(tmp_path / "a", hashlib.md5(b"x").hexdigest()[:8], "md5")
    with pytest.raises(DataError, match="not 00000000"):
        verify_file(tmp_path / "a", "00000000", "md5")
