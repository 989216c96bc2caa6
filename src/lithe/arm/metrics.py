"""How close an enlarged image is to the true one, by the conventions of the field."""

from __future__ import annotations

import numpy as np

__all__ = ["CAP_DB", "luma", "mse", "psnr", "psnr_of", "ssim"]

CAP_DB = 80.0  # of equal images (ARM spec 5.5)
LUMA = (65.481, 128.553, 24.966)  # BT.601, 16..235


def luma(image: np.ndarray) -> np.ndarray:
    """Y of BT.601, 16 to 235, not rounded.

    Source: ARM spec 5.5.

    Args:
        image: RGB ``(..., 3)`` in 0..255.

    Returns:
        float64 ``(...)``.
    """
    return 16 + np.asarray(image, np.float64) @ np.array(LUMA) / 255


def mse(a: np.ndarray, b: np.ndarray, border: int = 0, channel: str = "rgb") -> float:
    """Mean squared error of two images in 0..255, all channels together.

    Args:
        a: ``(h, w)`` or ``(h, w, 3)``, uint8 or float, RGB.
        b: of the same shape.
        border: pixels left out on every side.
        channel: ``"rgb"``, or ``"y"`` for the luma alone.

    Raises:
        ValueError: shapes differ, or nothing is left inside the border.
    """
    a, b = _compared(a, b, border, channel)
    return float(np.mean((a - b) ** 2))


def psnr_of(error: np.ndarray | float) -> np.ndarray | float:
    """PSNR in dB of a mean squared error in 0..255 ** 2; 80 dB where there is none."""
    error = np.asarray(error, np.float64)
    value = np.where(error > 0, 20 * np.log10(255 / np.sqrt(np.where(error > 0, error, 1))), CAP_DB)
    return float(value) if value.ndim == 0 else value


def psnr(a: np.ndarray, b: np.ndarray, border: int = 0, channel: str = "rgb") -> float:
    """Peak signal-to-noise ratio in dB; equal images have 80 dB.

    Source: ARM spec 5.5. The paper reports RGB with ``border=4``. Arguments as :func:`mse`.
    """
    return float(psnr_of(mse(a, b, border, channel)))


def ssim(a: np.ndarray, b: np.ndarray, border: int = 0, channel: str = "rgb") -> float:
    """Structural similarity: 11 x 11 Gaussian of sigma 1.5, valid region, mean over channels.

    Source: ARM spec 5.5, through scikit-image. Arguments as :func:`mse`; at least 11 x 11 pixels
    must be left.
    """
    from skimage.metrics import structural_similarity

    a, b = _compared(a, b, border, channel)
    if min(a.shape[:2]) < 11:
        raise ValueError(f"{a.shape[0]} x {a.shape[1]} pixels are left; SSIM needs 11 x 11")
    return float(
        structural_similarity(
            a,
            b,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2 if a.ndim == 3 else None,
        )
    )


def _compared(
    a: np.ndarray, b: np.ndarray, border: int, channel: str
) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim not in (2, 3):
        raise ValueError(f"images are {a.shape} and {b.shape}; give two of one shape, (h, w[, 3])")
    if channel not in ("rgb", "y"):
        raise ValueError(f"channel is {channel!r}; known are 'rgb' and 'y'")
    if border < 0 or 2 * border >= min(a.shape[:2]):
        raise ValueError(f"a border of {border} leaves nothing of {a.shape[0]} x {a.shape[1]}")
    inside = slice(border, -border or None)
    pair = (a[inside, inside].astype(np.float64), b[inside, inside].astype(np.float64))
    return tuple(map(luma, pair)) if channel == "y" and a.ndim == 3 else pair
