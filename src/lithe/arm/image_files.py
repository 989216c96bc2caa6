"""Read and write image files, 16 bits per channel included, with what travels along."""

from __future__ import annotations

import struct
import subprocess
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from lithe.arm.photo import ImageError, Photo, check_size, resized_exif, travelling
from lithe.files import write_with

__all__ = ["SUFFIXES", "WRITABLE", "read", "save"]

WRITABLE = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
SUFFIXES = WRITABLE | {".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".tga"}
OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
    ".tif": {"compression": "tiff_adobe_deflate"},
    ".tiff": {"compression": "tiff_adobe_deflate"},
}
TRANSPARENT = {".png", ".webp", ".tif", ".tiff"}
DEEP = {".png", ".tif", ".tiff"}
_TIFF = {b"II*\0", b"MM\0*"}
_PNG = b"\x89PNG\r\n\x1a\n"
_LAYOUT = {2: ("rgb48le", 3), 4: ("ya16le", 2), 6: ("rgba64le", 4)}  # by PNG colour type


def read(path: Path, max_pixels: int) -> Photo:
    """Read a file; its size is checked before any pixel is decoded.

    Args:
        path: of the file.
        max_pixels: largest height times width.

    Raises:
        FileNotFoundError: no such file.
        ImageError: empty, damaged, too large, animated, or no image at all.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.stat().st_size:
        raise ImageError(f"{path.name} is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels rules
            with Image.open(path) as image:
                check_size(*image.size, max_pixels)
                _refuse_animation(image)
                return _decode(path, image, max_pixels)
    except UnidentifiedImageError as error:
        if path.read_bytes()[:4] in _TIFF:
            return _deep_tiff(path, max_pixels)
        raise ImageError(f"{path.name} holds no image of a known format") from error
    except ImageError as error:
        raise ImageError(f"{path.name}: {error}") from error
    except Image.DecompressionBombError as error:  # Pillow's own limit, where it is lower
        raise ImageError(f"{path.name} is above the limit: {error}") from error
    except FileNotFoundError:
        raise
    except Exception as error:  # decoders raise what they please on damaged files
        raise ImageError(f"{path.name} cannot be decoded: {error}") from error


def _decode(path: Path, image: Image.Image, max_pixels: int) -> Photo:
    if image.format == "PNG" and _png_layout(path):
        photo = Photo.of_array(_deep_png(path, *image.size), max_pixels)
        photo.info = travelling(image)
    elif image.format == "TIFF" and image.mode[0] != "I" and 16 in image.tag_v2.get(258, ()):
        photo = _deep_tiff(path, max_pixels)
        photo.info |= travelling(image)
    else:  # this takes along what travels, but for a profile of inks, which it uses up
        photo = Photo.of_pillow(image, max_pixels)
    photo.pillow = False
    photo.flat = photo.colour.shape[2] == 1 and photo.alpha is None
    return photo


def _deep_tiff(path: Path, max_pixels: int) -> Photo:
    """A TIFF of 16 bits and several channels, which Pillow cuts to 8 or does not know."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            check_size(page.imagewidth, page.imagelength, max_pixels)
            photo = Photo.of_array(page.asarray(), max_pixels)
            profile = page.tags[34675].value if 34675 in page.tags else None
    except ImageError as error:
        raise ImageError(f"{path.name}: {error}") from error
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ImageError(f"{path.name} cannot be decoded: {error}") from error
    photo.info = {"icc_profile": bytes(profile)} if profile is not None else {}
    return photo


def _refuse_animation(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # an MPO is a still and its companions
        raise ImageError(f"it has {frames} frames; only still images can be enlarged")


def _png_layout(path: Path) -> tuple[str, int] | None:
    """How ffmpeg calls a PNG of 16 bits and several channels, which Pillow would cut to 8."""
    with path.open("rb") as file:
        head = file.read(26)
    return _LAYOUT.get(head[25]) if head[:8] == _PNG and head[24] == 16 else None


def _deep_png(path: Path, width: int, height: int) -> np.ndarray:
    import imageio_ffmpeg

    layout, channels = _png_layout(path)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-xerror", "-f", "png_pipe"]
    command += ["-i", f"file:{path}", "-f", "rawvideo", "-pix_fmt", layout, "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or len(done.stdout) != 2 * width * height * channels:
        raise OSError(done.stderr.decode(errors="replace").strip() or "the data end too early")
    return np.frombuffer(done.stdout, "<u2").reshape(height, width, channels).astype(np.uint16)


def save(path: Path, planes: np.ndarray, info: dict[str, Any]) -> Path:
    """Write an image atomically, in the format of the suffix.

    Args:
        path: one of :data:`WRITABLE`.
        planes: ``(h, w)`` or ``(h, w, 2 to 4)``, uint8, uint16, or float32 in 0..1 (written
            as 8 bits).
        info: ``exif``, ``icc_profile`` and ``dpi``, as :attr:`Photo.info` has them.

    Raises:
        ImageError: the format cannot hold the image.
    """
    suffix = path.suffix.lower()
    planes = planes[..., 0] if planes.shape[2:] == (1,) else planes
    planes = (planes * 255).round().astype(np.uint8) if planes.dtype.kind == "f" else planes
    _refuse_misfit(path, suffix, planes)
    info = dict(info)
    if "exif" in info:
        info["exif"] = resized_exif(info["exif"], planes.shape[1], planes.shape[0])
    if planes.dtype == np.uint16 and suffix == ".png":
        return write_with(path, lambda file: file.write_bytes(_png_bytes(planes, info)) and None)
    if planes.dtype == np.uint16:
        return write_with(path, lambda file: _write_deep_tiff(file, planes, info))
    options = OPTIONS.get(suffix, {}) | ({} if suffix == ".bmp" else info)
    if suffix in (".tif", ".tiff") and "exif" in info:
        del options["compression"]  # Pillow's compressing writer knows no EXIF
    try:
        return write_with(path, lambda file: Image.fromarray(planes).save(file, **options))
    except (OSError, ValueError) as error:
        raise ImageError(f"{path.name} cannot be written: {error}") from error


def _refuse_misfit(path: Path, suffix: str, planes: np.ndarray) -> None:
    if suffix not in WRITABLE:
        known = ", ".join(sorted(WRITABLE))
        raise ImageError(f"{path.name}: images are written as {known}")
    if planes.shape[2:] in ((2,), (4,)) and suffix not in TRANSPARENT:
        raise ImageError(f"{path.name}: {suffix} has no transparency; .png, .webp or .tif has")
    if planes.dtype == np.uint16 and suffix not in DEEP:
        raise ImageError(f"{path.name}: {suffix} has no 16 bits a channel; .png or .tif has")
    if suffix == ".webp" and max(planes.shape[:2]) > 16383:
        raise ImageError(f"{path.name}: webp ends at 16383 pixels a side; write .png or .tif")
    if suffix in (".jpg", ".jpeg") and max(planes.shape[:2]) > 65500:
        raise ImageError(f"{path.name}: JPEG ends at 65500 pixels a side; write .png or .tif")


def _write_deep_tiff(file: Path, planes: np.ndarray, info: dict[str, Any]) -> None:
    import tifffile

    colours = 3 if planes.ndim == 3 and planes.shape[2] > 2 else 1
    more = (
        {"extrasamples": ["unassalpha"]} if planes.ndim == 3 and planes.shape[2] > colours else {}
    )
    extra = []
    if "exif" in info and (turn := _orientation(info["exif"])):
        extra.append((274, "H", 1, turn, True))
    tifffile.imwrite(
        file,
        planes,
        photometric="rgb" if colours == 3 else "minisblack",
        planarconfig="contig" if planes.ndim == 3 else None,
        compression="zlib",
        iccprofile=info.get("icc_profile"),
        extratags=extra,
        metadata=None,
        **more,
    )


def _orientation(exif: bytes) -> int | None:
    tags = Image.Exif()
    tags.load(exif)
    return tags.get(274)


def _png_bytes(planes: np.ndarray, info: dict[str, Any]) -> bytes:
    """A PNG of 16 bits a channel, which Pillow writes for gray images only."""
    height, width = planes.shape[:2]
    channels = planes.shape[2] if planes.ndim == 3 else 1
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if info.get("icc_profile"):
        chunks.append(_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(info["icc_profile"])))
    if info.get("dpi"):
        x, y = (round(float(value) / 0.0254) for value in info["dpi"])
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if info.get("exif"):
        chunks.append(_chunk(b"eXIf", info["exif"].removeprefix(b"Exif\0\0")))
    chunks += _rows(planes.reshape(height, -1))
    return b"".join([_PNG, *chunks, _chunk(b"IEND", b"")])


def _rows(rows: np.ndarray) -> list[bytes]:
    """The pixels, each row as its difference from the one above, compressed in strips."""
    squeeze, chunks = zlib.compressobj(6), []
    above = np.zeros((1, 2 * rows.shape[1]), np.uint8)
    for first in range(0, len(rows), 256):
        raw = np.ascontiguousarray(rows[first : first + 256], dtype=">u2").view(np.uint8)
        up = raw - np.concatenate([above, raw[:-1]])  # filter 2, modulo 256
        marked = np.concatenate([np.full((len(raw), 1), 2, np.uint8), up], 1)
        above = raw[-1:]
        chunks.append(_chunk(b"IDAT", squeeze.compress(marked.tobytes())))
    return [*chunks, _chunk(b"IDAT", squeeze.flush())]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
