"""Real image files: every mode comes through, and what cannot is refused with the reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from lithe.arm import Mixed
from lithe.arm.branches import Interpolation
from lithe.arm.image_files import read, save
from lithe.arm.photo import MAX_PIXELS, ImageError, Photo
from lithe.arm.upscaler import Upscaler


@pytest.fixture(scope="module")
def doubler():
    return Upscaler(Mixed([Interpolation(2, "nearest")]))


def colours(h=6, w=9, channels=3, seed=0):
    shape = (h, w, channels) if channels > 1 else (h, w)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def doubled(array):
    return array.repeat(2, 0).repeat(2, 1)


def enlarge(doubler, image, tmp_path, name, **options):
    source, target = tmp_path / f"in-{name}", tmp_path / f"out-{name}"
    image.save(source, **options)
    doubler(source).save(target)
    with Image.open(target) as made:
        made.load()
        return made


@pytest.mark.parametrize(
    ("mode", "channels", "back"),
    [("L", 1, "L"), ("RGB", 3, "RGB"), ("RGBA", 4, "RGBA"), ("LA", 2, "LA")],
)
def test_modes_that_files_have(doubler, tmp_path, mode, channels, back):
    array = colours(channels=channels)
    if channels in (2, 4):
        array[..., -1] = 200
    made = enlarge(doubler, Image.fromarray(array, mode), tmp_path, "a.png")
    assert (made.mode, made.size) == (back, (18, 12))
    np.testing.assert_array_equal(np.asarray(made), doubled(array))


def test_two_colours_become_gray_and_a_palette_its_colours(doubler, tmp_path):
    bits = Image.fromarray(colours(channels=1) > 127)
    made = enlarge(doubler, bits, tmp_path, "bits.png")
    np.testing.assert_array_equal(np.asarray(made), doubled(np.asarray(bits.convert("L"))))
    palette = Image.fromarray(colours()).quantize(8)
    made = enlarge(doubler, palette, tmp_path, "palette.png")
    np.testing.assert_array_equal(np.asarray(made), doubled(np.asarray(palette.convert("RGB"))))
    made = enlarge(doubler, palette, tmp_path, "clear.png", transparency=2)
    assert made.mode == "RGBA"
    assert set(np.unique(np.asarray(made)[..., 3])) > {0, 255}


def test_inks_become_colours_through_their_profile(doubler, tmp_path):
    inks = Image.fromarray(np.full((4, 4, 4), (255, 0, 0, 0), np.uint8), "CMYK")
    made = enlarge(doubler, inks, tmp_path, "inks.tif")
    assert made.mode == "RGB"
    assert np.asarray(made)[0, 0].tolist() == [0, 255, 255]


def test_profile_orientation_and_density_travel(doubler, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    exif.get_ifd(0x8769)[0xA002] = 9
    image = Image.fromarray(colours(40, 56))
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        made = enlarge(
            doubler, image, tmp_path, name, exif=exif, icc_profile=profile, dpi=(300, 300)
        )
        turned = name == "a.tif"  # Pillow turns a TIFF upright when it is read
        assert made.size == ((80, 112) if turned else (112, 80)), name
        assert made.info["icc_profile"] == profile, name
        tags = made.getexif()
        assert (tags.get(0x0112), tags[0x010F]) == (None if turned else 6, "maker"), name
        if name != "a.webp":
            assert made.info["dpi"][0] == pytest.approx(300, abs=0.1), name
        if name == "a.jpg":
            assert tags.get_ifd(0x8769)[0xA002] == 112


def test_a_pillow_image_keeps_what_it_carries(doubler):
    image = Image.fromarray(colours())
    image.info["icc_profile"] = b"profile"
    made = doubler(image).image
    assert isinstance(made, Image.Image)
    assert made.info["icc_profile"] == b"profile"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_survive_the_file(doubler, tmp_path, channels, suffix):
    rng = np.random.default_rng(1)
    shape = (7, 5, channels) if channels > 1 else (7, 5)
    deep = rng.integers(0, 65536, shape).astype(np.uint16)
    if channels in (2, 4):
        deep[..., -1] = 51234
    info = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    source = save(tmp_path / f"deep.{suffix}", deep, info)
    made = doubler(source)
    np.testing.assert_array_equal(made.image, doubled(deep))
    again = read(made.save(tmp_path / f"out.{suffix}"), MAX_PIXELS)
    np.testing.assert_array_equal(again.assemble(again.colour, again.alpha), doubled(deep))
    assert again.info["icc_profile"] == info["icc_profile"]


def test_hidden_colours_do_not_reach_the_rim():
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, 8:] = (250, 250, 250, 255)
    made = Upscaler(Mixed([Interpolation(4)]))(pixels).image
    visible = made[..., 3] > 0
    assert made[visible][:, :3].min() == 250
    assert 0 < (made[..., 3] == 0).mean() < 0.6


def test_damaged_and_foreign_files_are_named(doubler, tmp_path):
    whole = io.BytesIO()
    Image.fromarray(colours(64, 64)).save(whole, "PNG")
    files = {
        "empty.png": (b"", r"empty\.png is empty"),
        "text.png": (b"not an image", r"text\.png holds no image"),
        "half.png": (whole.getvalue()[:3000], r"half\.png cannot be decoded"),
        "large.png": (_png_header(12000, 12000), r"large\.png: 12000 x 12000 .* above the limit"),
        "bomb.png": (_png_header(60000, 60000), r"bomb\.png is above the limit"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=message):
            doubler(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="nothing"):
        doubler(tmp_path / "nothing.png")


def test_a_damaged_deep_file_is_named(doubler, tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    path = save(tmp_path / "deep.png", deep, {})
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ImageError, match=r"deep\.png cannot be decoded"):
        doubler(path)


def test_moving_images_are_refused(doubler, tmp_path):
    frames = [Image.fromarray(colours(seed=k)) for k in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="3 frames; only still"):
        doubler(tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4)), r"\(0, 4\)"),
        (np.zeros((2, 2, 5), np.uint8), r"\(2, 2, 5\)"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        (np.full((2, 2), 3.0), "span 3.0..3.0; they must be finite and lie in 0..1"),
        (np.full((2, 2), np.nan), "finite"),
        (np.zeros((2, 2), np.int64), "int64"),
        (np.zeros((2, 2), complex), "complex"),
    ],
)
def test_arrays_that_are_no_images(array, message):
    with pytest.raises(ImageError, match=message):
        Photo.of(array)


def test_size_is_limited_before_any_work():
    with pytest.raises(ImageError, match="raise max_pixels"):
        Photo.of(np.broadcast_to(np.uint8(0), (5000, 5000)), max_pixels=10**7)


@pytest.mark.parametrize(
    ("name", "channels", "kind", "message"),
    [
        ("a.jpg", 4, np.uint8, "no transparency"),
        ("a.webp", 3, np.uint16, "no 16 bits"),
        ("a.xyz", 3, np.uint8, "written as"),
    ],
)
def test_formats_that_cannot_hold_the_image(tmp_path, name, channels, kind, message):
    with pytest.raises(ImageError, match=message):
        save(tmp_path / name, np.zeros((4, 4, channels), kind), {})
    assert not list(tmp_path.iterdir())


def _png_header(width, height):
    """A picture that claims to be enormous, in a few bytes."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
