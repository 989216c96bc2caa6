"""Data preparation: what is made, resumed, checked and refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lithe import arm
from lithe.arm import prepare as preparing
from lithe.arm.prepare import main, prepare, prepared
from lithe.data import DataError
from lithe.data.checksum import file_digest


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, side in (("a", 176), ("b", 150)):
        image = rng.integers(0, 256, (side, side + 20, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


def test_pairs_of_all_scales_are_written_and_mapped_back(source, tmp_path):
    prepare(source, tmp_path / "out", scales=(1.0, 0.8))
    pairs = prepared(tmp_path / "out", size=24, verify=True)
    sharp = np.array(Image.open(source / "a.png"))
    expected = []
    for name in ("a", "b"):
        sharp = np.array(Image.open(source / f"{name}.png"))
        expected += [arm.degrade(sharp), arm.degrade(arm.imresize(sharp, 0.8))]
    found = {large.shape: (large, small) for large, small in pairs.images}
    assert len(found) == 4
    for large, small in expected:
        assert np.array_equal(found[large.shape][0], large)
        assert np.array_equal(found[large.shape][1], small)
    x, y = pairs.batch(torch.tensor([0, len(pairs) - 1]))
    assert x.shape == (2, 3, 24, 24)
    assert y.shape == (2, 3, 96, 96)


def test_a_stopped_preparation_goes_on_where_it_was(source, tmp_path, monkeypatch):
    whole = json.loads(prepare(source, tmp_path / "whole").read_text())
    calls = []

    def counted(image, *rest, write=preparing._write_pairs):
        calls.append(image.name)
        if calls == ["a.png", "b.png"]:
            raise KeyboardInterrupt
        return write(image, *rest)

    monkeypatch.setattr(preparing, "_write_pairs", counted)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out")
    done = json.loads(prepare(source, tmp_path / "out").read_text())
    assert calls == ["a.png", "b.png", "b.png"]
    assert done == whole
    prepare(source, tmp_path / "out")
    assert len(calls) == 3  # nothing is made twice


def test_changed_images_and_missing_files_are_made_again(source, tmp_path):
    prepare(source, tmp_path / "out", scales=(1.0,))
    before = prepared(tmp_path / "out").fingerprint
    (tmp_path / "out" / "b_s1000_lr.npy").unlink()
    with pytest.raises(DataError, match="lacks files"):
        prepared(tmp_path / "out")
    prepare(source, tmp_path / "out", scales=(1.0,))
    assert prepared(tmp_path / "out").fingerprint == before
    Image.fromarray(np.zeros((160, 160, 3), np.uint8)).save(source / "a.png")
    prepare(source, tmp_path / "out", scales=(1.0,))
    assert prepared(tmp_path / "out").fingerprint != before
    (source / "b.png").unlink()
    prepare(source, tmp_path / "out", scales=(1.0,))
    assert len(prepared(tmp_path / "out").images) == 1


def test_damage_is_noticed(source, tmp_path):
    prepare(source, tmp_path / "out", scales=(1.0,))
    path = tmp_path / "out" / "a_s1000_hr.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="a_s1000_hr"):
        prepared(tmp_path / "out", verify=True)
    (tmp_path / "out" / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        prepared(tmp_path / "out")


def test_a_checksum_list_of_the_source_is_believed_over_its_files(source, tmp_path):
    lines = [f"{file_digest(p)}  {p.name}" for p in sorted(source.iterdir())]
    (source / "MANIFEST.sha256").write_text("\n".join(lines))
    prepare(source, tmp_path / "out", scales=(1.0,))
    Image.fromarray(np.zeros((160, 160, 3), np.uint8)).save(source / "a.png")
    with pytest.raises(DataError, match=r"a\.png is damaged"):
        prepare(source, tmp_path / "out", scales=(1.0,))


def test_bad_folders_and_settings_are_refused(source, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        prepare(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="no images"):
        prepare(tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="is not prepared"):
        prepared(tmp_path)
    with pytest.raises(ValueError, match="different factors"):
        prepare(source, tmp_path / "out", scales=(1.0, 1.0))
    with pytest.raises(ValueError, match="different factors"):
        prepare(source, tmp_path / "out", scales=(1.5,))
    prepare(source, tmp_path / "out", scales=(1.0,))
    with pytest.raises(DataError, match="was prepared with"):
        prepare(source, tmp_path / "out", scales=(0.9,))
    (source / "c.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"c\.png is no readable image"):
        prepare(source, tmp_path / "out", scales=(1.0,))
    (source / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="several images named a"):
        prepare(source, tmp_path / "out", scales=(1.0,))


def test_the_command_line(source, tmp_path, capsys):
    assert main([str(source), str(tmp_path / "out")]) == 0
    assert "pairs of patches" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        main([str(tmp_path / "none"), str(tmp_path / "out")])
    assert "no folder of images" in capsys.readouterr().err
