"""Any image as planes a network can enlarge, and back to what it was."""

from __future__ import annotations

import io
import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms
from scipy.ndimage import distance_transform_edt

from lithe.arm.imresize import imresize

__all__ = ["MAX_PIXELS", "ImageError", "Photo"]

MAX_PIXELS = 2**26  # of the input: 8192 x 8192; enlarged 4 times that is 3 GB
KINDS = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))
STRIP, REACH = 256, 3  # rows enlarged at once, and those seen above and below
WIDE = {"I;16", "I;16B", "I;16L", "I;16N", "I"}

#: Tags that say how the pixels of one particular TIFF are stored; no other file wants them.
STRUCTURE = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 280, 281, 282, 283, 284, 296),
    *(317, 320, 322, 323, 324, 325, 330, 338, 339, 347, 529, 530, 531, 532, 34675),
}


_log = logging.getLogger(__name__)


class ImageError(ValueError):
    """Something that is not an image that can be enlarged; the message says what and why."""


@dataclass
class Photo:
    """An image taken apart.

    Attributes:
        colour: ``(h, w, 3)``, or ``(h, w, 1)`` if it is gray; uint8, uint16, or float32 in 0..1.
        alpha: ``(h, w)`` of the same type, or ``None``.
        flat: whether a gray image came without a channel axis.
        pillow: whether it came as a PIL image.
        info: what travels with the pixels: ``exif``, ``icc_profile``, ``dpi``.
    """

    colour: np.ndarray
    alpha: np.ndarray | None = None
    flat: bool = False
    pillow: bool = False
    info: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, image: Any, max_pixels: int = MAX_PIXELS) -> Photo:
        """Take an array, a PIL image or the path of a file apart.

        Args:
            image: ``(h, w)``, ``(h, w, 1)`` gray, ``(h, w, 2)`` gray and alpha, ``(h, w, 3)``
                RGB or ``(h, w, 4)`` RGBA, of uint8, uint16, bool, or floating point in 0..1;
                or a PIL image of any mode but ``F``; or a path.
            max_pixels: largest height times width.

        Raises:
            FileNotFoundError: no such file.
            ImageError: anything else that cannot be enlarged.
        """
        if isinstance(image, str | Path):
            from lithe.arm.image_files import read

            return read(Path(image), max_pixels)
        if isinstance(image, Image.Image):
            return cls.of_pillow(image, max_pixels)
        return cls.of_array(np.asarray(image), max_pixels)

    @classmethod
    def of_array(cls, array: np.ndarray, max_pixels: int = MAX_PIXELS) -> Photo:
        """See :meth:`of`."""
        if array.ndim not in (2, 3) or 0 in array.shape or array.shape[2:] > (4,):
            raise ImageError(
                f"the array is {array.shape}; give (h, w) or (h, w, 1 to 4), not empty"
            )
        check_size(array.shape[1], array.shape[0], max_pixels)
        planes = _known_type(array)
        flat = planes.ndim == 2
        planes = planes[..., None] if flat else planes
        colours = 3 if planes.shape[2] > 2 else 1
        alpha = planes[..., colours] if planes.shape[2] > colours else None
        return cls(np.ascontiguousarray(planes[..., :colours]), alpha, flat)

    @classmethod
    def of_pillow(cls, image: Image.Image, max_pixels: int = MAX_PIXELS) -> Photo:
        """See :meth:`of`; palette, CMYK and other modes become RGB, two colours become gray."""
        check_size(*image.size, max_pixels)
        image.load()  # Pillow turns a TIFF upright while it decodes, and takes the tag away
        info = travelling(image)
        if image.mode in WIDE:
            array = np.asarray(image)
            if array.min() < 0 or array.max() > 65535:
                raise ImageError(f"mode I with values {array.min()}..{array.max()}; 0..65535 fit")
            return cls(array.astype(np.uint16)[..., None], None, True, True, info)
        photo = cls.of_array(np.asarray(_plain_mode(image, info)), max_pixels)
        photo.pillow, photo.info = True, info
        return photo

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.colour.shape[:2]

    def seen(self) -> np.ndarray:
        """The colours with those that full transparency hides replaced by the nearest visible.

        What is hidden is often black; enlarging would smear it into the visible rim.
        """
        if self.alpha is None or self.alpha.all() or not self.alpha.any():
            return self.colour
        rows, columns = distance_transform_edt(
            self.alpha == 0, return_distances=False, return_indices=True
        )
        return self.colour[rows, columns]

    def enlarged_alpha(self, scale: int, quick: bool = False) -> np.ndarray | None:
        """The alpha plane, bicubic; quick: Pillow's, which differs at the border."""
        if self.alpha is None:
            return None
        if (self.alpha == self.alpha.flat[0]).all():
            return (
                self.alpha[:1, :1].repeat(scale * self.size[0], 0).repeat(scale * self.size[1], 1)
            )
        if quick:
            return _resized(self.alpha, scale)
        made = _in_strips(self.alpha, scale)
        return made.clip(0, 1) if made.dtype.kind == "f" else made

    def assemble(self, colour: np.ndarray, alpha: np.ndarray | None) -> np.ndarray | Image.Image:
        """An enlarged image of the same kind as the one that was taken apart.

        Args:
            colour: ``(h, w, 3 or 1)``.
            alpha: ``(h, w)`` or ``None``.

        Returns:
            An array of the layout that was given; for a PIL image a PIL image with what
            travelled along.
        """
        planes = colour if alpha is None else np.concatenate([colour, alpha[..., None]], -1)
        if planes.shape[2] == 1 and (self.flat or self.pillow):
            planes = planes[..., 0]
        if not self.pillow:
            return planes
        image = Image.fromarray(planes)
        image.info.update(self.info)
        return image


def _in_strips(plane: np.ndarray, scale: int) -> np.ndarray:
    """The same as at once; its sums in float64 would take eight times the memory of the result."""
    height, made = len(plane), []
    for top in range(0, height, STRIP):
        bottom, first = min(top + STRIP, height), max(top - REACH, 0)
        part = imresize(plane[first : min(bottom + REACH, height)], scale)
        made.append(part[(top - first) * scale : (bottom - first) * scale])
    return np.concatenate(made)


def _resized(plane: np.ndarray, scale: int) -> np.ndarray:
    size = (scale * plane.shape[1], scale * plane.shape[0])
    eight = plane.dtype == np.uint8
    given = Image.fromarray(plane if eight else plane.astype(np.float32))
    made = np.asarray(given.resize(size, Image.Resampling.BICUBIC))
    if eight:
        return made
    whole = plane.dtype.kind != "f"
    made = made.clip(0, np.iinfo(plane.dtype).max if whole else 1)
    return made.round().astype(plane.dtype) if whole else made


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse images too large to hold.

    Raises:
        ImageError: more than ``max_pixels``.
    """
    if width * height > max_pixels:
        raise ImageError(
            f"{width} x {height} pixels are {width * height / 1e6:.0f} million, above the limit "
            f"of {max_pixels / 1e6:.0f} million; raise max_pixels if it is meant to be so large"
        )


def travelling(image: Image.Image) -> dict[str, Any]:
    """What belongs to an image beside its pixels: EXIF (orientation included), ICC, density."""
    kept = {key: image.info[key] for key in ("icc_profile", "dpi") if image.info.get(key)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of entries that end too early
            exif = image.getexif()
            for tag in STRUCTURE & set(exif):
                del exif[tag]
            if len(exif):
                kept["exif"] = exif.tobytes()
    except Exception as error:  # damaged EXIF is no reason to lose the picture
        _log.info("EXIF left out: %s", error)
    return kept


def resized_exif(exif: bytes, width: int, height: int) -> bytes:
    """EXIF with its size tags, where it has them, set to the enlarged image's."""
    tags = Image.Exif()
    tags.load(exif)
    inner = tags.get_ifd(ExifTags.IFD.Exif)
    for name, value in (
        (ExifTags.Base.ExifImageWidth, width),
        (ExifTags.Base.ExifImageHeight, height),
    ):
        if name in inner:
            inner[name] = value
    return tags.tobytes()


def _known_type(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ImageError(
                f"floating-point pixels span {array.min()}..{array.max()}; they must be finite "
                "and lie in 0..1"
            )
        return array.astype(np.float32)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in KINDS:
        raise ImageError(f"pixels are {array.dtype}; give uint8, uint16, bool or floating point")
    return array


def _plain_mode(image: Image.Image, info: dict[str, Any]) -> Image.Image:
    """The same picture as L, LA, RGB or RGBA."""
    if image.mode == "F":
        raise ImageError("mode F has no white; give an array of floating point in 0..1 instead")
    if image.mode == "CMYK":
        return _from_cmyk(image, info)
    clear = "transparency" in image.info
    if image.mode in ("1", "L"):
        return image.convert("LA" if clear else "L")
    if image.mode in ("RGB", "P"):
        return image.convert("RGBA" if clear else "RGB")
    if image.mode in ("PA", "RGBa", "La"):
        return image.convert("LA" if image.mode == "La" else "RGBA")
    return image if image.mode in ("LA", "RGBA") else image.convert("RGB")


def _from_cmyk(image: Image.Image, info: dict[str, Any]) -> Image.Image:
    """RGB of inks: through the profile that says which, if there is one; it then has served."""
    profile = info.pop("icc_profile", None)
    if profile is None:
        return image.convert("RGB")
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(
            image, inks, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError) as error:
        warnings.warn(f"the CMYK profile cannot be used: {error}", stacklevel=2)
        return image.convert("RGB")
