"""What a stranger or an enemy may bring: the answer is a picture or one clear sentence."""

import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import nn

from lithe.arm import EdgeTable, Mixed, Supernet
from lithe.arm.__main__ import main
from lithe.arm.branches import Interpolation
from lithe.arm.folder import upscale_folder
from lithe.arm.image_files import read
from lithe.arm.imresize import imresize
from lithe.arm.latencies import Latencies
from lithe.arm.photo import MAX_PIXELS, Photo
from lithe.arm.upscaler import Upscaler


def mirrored():
    """A network that pads by reflection, which an image of one pixel does not allow."""
    return nn.Sequential(
        nn.ReflectionPad2d(4), nn.Conv2d(3, 4, 5), nn.Conv2d(4, 12, 5), nn.PixelShuffle(2)
    )


def table(names=(), values=None):
    values = np.outer(np.arange(4.0), [1, 2]) if values is None else values
    return EdgeTable([0, 60, 120], values, [1, 1], names=names)


@pytest.fixture(scope="module")
def fsrcnn():
    return Supernet("fsrcnn", generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def doubler():
    return Upscaler(Mixed([Interpolation(2, "nearest")]))


def test_a_network_in_training_is_left_as_it_is():
    net = mirrored().train()
    up = Upscaler(Mixed([net]))
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    before = up.nets[0](torch.ones(1, 3, 8, 8))
    with torch.no_grad():
        net[1].weight.zero_()
    assert torch.equal(up.nets[0](torch.ones(1, 3, 8, 8)), before)


def test_what_a_network_cannot_take_does_not_stop_the_folder(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, size in (("a.png", (1, 1)), ("b.png", (9, 7))):
        Image.new("RGB", size).save(folder / name)
    first, second = upscale_folder(Upscaler(Mixed([mirrored()])), folder, tmp_path / "out")
    assert first.error.startswith("a.png cannot be enlarged: RuntimeError: ")
    assert "\n" not in first.error
    assert second.result.image.shape == (14, 18, 3)


def test_an_image_that_goes_away_does_not_stop_the_folder(doubler, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (4, 4)).save(folder / name)
    run = upscale_folder(doubler, folder, tmp_path / "out")
    next(run)
    (folder / "b.png").unlink()
    assert [bool(outcome.error) for outcome in run] == [True, False]


def test_an_output_that_cannot_be_written_is_said_before_any_work(doubler, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    out.write_text("a file")
    with pytest.raises(OSError, match="out cannot be written"):
        next(upscale_folder(doubler, folder, out))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"deadline_ms": float("inf")}, "deadline_ms is inf"),
        ({"ms": float("inf")}, "ms is inf"),
        ({"ms": 100, "released": True}, "knows eta only; ms was given"),
        ({"macs": 1e9, "released": True}, "knows eta only; macs was given"),
    ],
)
def test_budgets_that_cannot_be_kept_are_refused(fsrcnn, call, message):
    up = Upscaler(fsrcnn, table())
    with pytest.raises(ValueError, match=message):
        up(np.zeros((40, 40, 3), np.uint8), **call)


def test_a_table_of_other_branches_or_without_numbers_is_refused(fsrcnn):
    with pytest.raises(ValueError, match=r"the table is of .*carn-36"):
        Upscaler(fsrcnn, table(("bicubic", "carn-36", "carn-52", "carn-64")))
    with pytest.raises(ValueError, match="no bin with a number"):
        Upscaler(fsrcnn, table(values=np.full((4, 2), np.nan)))
    assert Upscaler(fsrcnn, table(("bilinear", *fsrcnn.names[1:]))).table is not None


def test_a_halo_below_zero_is_refused():
    net = mirrored()
    net.halo = -3
    with pytest.raises(ValueError, match="halo is -3; it is 0 or more"):
        Upscaler(Mixed([net]))


@pytest.mark.parametrize(
    "change",
    [
        {"ms": {"32": [1.0]}},
        {"ms": {"32": [1.0, -1.0]}},
        {"ms": {"32": [1.0, float("nan")]}},
        {"ms": {}, "batches": {}},
        {"batches": {}},
        {"batches": {"32": [0, 0]}},
        {"executors": ["torch"]},
    ],
)
def test_damaged_latencies_are_refused_when_they_are_read(tmp_path, change):
    path = Latencies({32: (1.0, 2.0)}, {32: (1, 1)}, (2, 7), 1).save(tmp_path / "l.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"l\.json is not a table of latencies"):
        Latencies.load(path)


def test_latencies_must_know_every_side(doubler):
    known = Latencies({32: (1.0,), 128: (9.0,)}, {32: (1,), 128: (1,)}, (0,), 1)
    with pytest.raises(ValueError, match=r"tiles of \[32, 128\], not of 64"):
        Upscaler(doubler.branches, latencies=known)


def test_the_profile_of_inks_does_not_stay_with_their_colours(doubler, tmp_path):
    inks = Image.fromarray(np.full((4, 4, 4), (255, 0, 0, 0), np.uint8), "CMYK")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, content in (("garbage.tif", b"garbage"), ("other.tif", profile)):
        inks.save(tmp_path / name, icc_profile=content)
        with pytest.warns(UserWarning, match="CMYK profile cannot be used"):
            made = doubler(tmp_path / name)
        assert made.image[0, 0].tolist() == [0, 255, 255]
        assert "icc_profile" not in made.info


def test_damaged_exif_costs_no_more_than_the_exif(doubler, tmp_path):
    def chunk(name, data):
        end = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + end

    head = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"eXIf", b"no EXIF at all")]
    parts += [chunk(b"IDAT", zlib.compress(bytes(14))), chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    photo = read(tmp_path / "a.png", MAX_PIXELS)
    assert photo.size == (2, 2)
    assert "exif" not in photo.info


def test_arrays_of_the_other_byte_order_are_images():
    deep = np.arange(12, dtype=">u2").reshape(3, 4) * 1000
    np.testing.assert_array_equal(Photo.of(deep).colour[..., 0], deep)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_deadline_does_not_wait_for_the_exact_alpha(fsrcnn, monkeypatch, kind):
    top = 1.0 if kind is np.float32 else np.iinfo(kind).max
    image = np.zeros((40, 40, 4), kind)
    image[..., 3] = (np.linspace(0, 1, 40) * top).astype(kind)
    expected = Photo.of(image).enlarged_alpha(4)

    def slow(*_):
        raise AssertionError("the exact alpha takes seconds on a large image")

    monkeypatch.setattr("lithe.arm.photo.imresize", slow)
    made = Upscaler(fsrcnn, table())(image, deadline_ms=300).image[..., 3]
    assert made.dtype == kind
    np.testing.assert_allclose(made / top, expected / top, atol=3 / 255)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_alpha_is_enlarged_in_strips_without_seams(monkeypatch, scale, kind):
    plane = np.random.default_rng(0).integers(0, 256, (90, 7)).astype(kind)
    plane = plane if kind is np.uint8 else plane / np.float32(255)
    given = []
    monkeypatch.setattr("lithe.arm.photo.STRIP", 16)
    monkeypatch.setattr(
        "lithe.arm.photo.imresize", lambda part, s: (given.append(len(part)), imresize(part, s))[1]
    )
    made = Photo(plane[..., None], plane).enlarged_alpha(scale)
    expected = imresize(plane, scale)
    if kind is np.uint8:  # an exact half may round the other way
        assert np.abs(made.astype(int) - expected).max() <= 1
        assert (made == expected).mean() > 0.999
    else:
        np.testing.assert_allclose(made, expected.clip(0, 1), atol=1e-6)
    assert max(given) <= 16 + 2 * 3


def test_the_command_refuses_before_it_works(fsrcnn, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lithe.arm.__main__._upscaler", lambda _: Upscaler(fsrcnn, table()))
    monkeypatch.setattr(Upscaler, "tune", lambda _: pytest.fail("measured for nothing"))
    photo = tmp_path / "a.png"
    Image.new("RGB", (5, 5)).save(photo)
    before = photo.read_bytes()
    assert main(["upscale", str(photo), str(photo)]) == 2
    assert "is the image that is read" in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert main(["upscale", str(photo), str(tmp_path / "b.png"), "--ms", "-5"]) == 2
    assert "ms is -5.0; it must be a positive number" in capsys.readouterr().err
    assert main(["upscale", str(photo), str(tmp_path / "b.png"), "--max-megapixels", "nan"]) == 2
    assert "--max-megapixels is nan" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["upscale", str(photo), str(tmp_path / "b.png"), "--threads", "-1"])


@pytest.mark.parametrize("centres", [[3.0, 1.0, 2.0], [1.0, np.nan, 3.0]])
def test_a_table_with_unsorted_centres_is_refused(centres):
    table = EdgeTable.build(np.arange(6.0), np.arange(12.0).reshape(2, 6), 3)
    damaged = replace(table, centres=np.array(centres))
    branches = Mixed([Interpolation(2), Interpolation(2, "bilinear")])
    with pytest.raises(ValueError, match="centres do not rise"):
        Upscaler(branches, damaged)
