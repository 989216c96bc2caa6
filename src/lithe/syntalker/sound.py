"""Audio in one form: float32, one channel, 16 kHz. Everything else is brought to it, or refused."""

from __future__ import annotations

from math import gcd
from pathlib import Path

import numpy as np

__all__ = ["RATE", "clip_samples", "load", "mono", "save", "scaled"]

#: Samples a second that all of the speech code works at.
RATE = 16_000
#: More channels than this are no channels but samples lying on the wrong axis.
CHANNELS = 32


def mono(wave: np.ndarray, sr: int = RATE) -> np.ndarray:
    """Audio as float32 ``(samples,)`` at 16 kHz.

    Args:
        wave: ``(samples,)``, ``(samples, channels)`` or ``(channels, samples)``; float in -1..1,
            or integer PCM, which is scaled by its type's range. Channels are averaged.
        sr: sampling rate in Hz.

    Raises:
        ValueError: no samples, more than two dimensions, NaN or infinity, or ``sr`` not positive.
    """
    x = np.asarray(wave)
    if not (np.isfinite(sr) and sr > 0):
        raise ValueError(f"sr is {sr}; a sampling rate is a positive number of Hz")
    if x.size == 0:
        raise ValueError("the audio has no samples; give at least one")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"audio of type {x.dtype} is no sound; float or integer PCM is")
    x = _averaged(scaled(x))
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        raise ValueError(f"{bad} of {len(x)} audio samples are NaN or infinite; repair them first")
    return np.ascontiguousarray(_resampled(x, sr), np.float32)


def scaled(x: np.ndarray) -> np.ndarray:
    """Integer PCM scaled to -1..1 by its type's range; float as it is."""
    if x.dtype.kind == "f":
        return x
    if x.dtype == np.uint8:  # 8-bit PCM lies around 128
        return (x.astype(np.float32) - 128) / 128
    return x.astype(np.float64) / (np.iinfo(x.dtype).max + 1.0 if x.dtype.kind in "iu" else 1.0)


def _averaged(x: np.ndarray) -> np.ndarray:
    if x.ndim == 1:
        return x
    if x.ndim != 2 or min(x.shape) > CHANNELS:
        raise ValueError(f"audio of shape {x.shape}; (samples,) or (samples, channels) is needed")
    return x.mean(int(np.argmin(x.shape)))


def _resampled(x: np.ndarray, sr: float) -> np.ndarray:
    if sr == RATE:
        return x
    from scipy.signal import resample_poly

    if sr == int(sr):
        common = gcd(int(sr), RATE)
        return resample_poly(x.astype(np.float64), RATE // common, int(sr) // common)
    import librosa

    return librosa.resample(x.astype(np.float32), orig_sr=sr, target_sr=RATE)


def load(path: str | Path) -> np.ndarray:
    """Audio of a WAV, FLAC, OGG or MP3 file as float32 ``(samples,)`` at 16 kHz.

    Raises:
        ValueError: the file is missing, is no audio, or is refused by :func:`mono`.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no audio file at {path}")
    try:
        wave, sr = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path.name} is no audio that can be read: {error}") from error
    return mono(wave.mean(1) if len(wave) else wave, sr)


def save(path: str | Path, wave: np.ndarray, sr: int = RATE) -> None:
    """Write audio as 16-bit WAV or FLAC, by the suffix, in one piece or not at all."""
    import soundfile

    from lithe.files import write_with

    path = Path(path)
    if path.suffix.lower() not in (".wav", ".flac"):
        raise ValueError(f"suffix {path.suffix!r}; audio is written as .wav or .flac")
    kind = path.suffix[1:].upper()
    write_with(
        path,
        lambda part: soundfile.write(part, mono(wave, sr), RATE, format=kind, subtype="PCM_16"),
    )


def clip_samples(frames: int, fps: float = 30.0, start: int = 0) -> slice:
    """Samples that belong to ``frames`` frames of motion from frame ``start`` on.

    Source: SynTalker spec 4.1: ``floor(128 / 30 · 16000)`` = 68,266 for a clip of 128.
    """
    first = int(start * RATE / fps)
    return slice(first, first + int(frames / fps * RATE))
