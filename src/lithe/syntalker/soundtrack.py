"""Sound to go with a motion: as a file beside it, or small enough to lie inside a page."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

__all__ = ["compressed", "data_uri", "fitted", "one_channel", "write_wav"]

#: Bit rate and sample rate of compressed speech: 60 s are 300 kB.
BIT_RATE, RATE = "40k", 32000
#: Sample rate of the uncompressed fallback.
PLAIN_RATE = 16000


def one_channel(samples: np.ndarray) -> np.ndarray:
    """Samples ``(n,)`` from ``(n,)`` or ``(n, channels)``, clipped to -1..1."""
    samples = samples.mean(axis=1) if samples.ndim == 2 else samples
    return np.clip(samples, -1.0, 1.0)


def fitted(samples: np.ndarray, rate: int, seconds: float) -> np.ndarray:
    """Exactly ``seconds`` of sound: cut, or followed by silence."""
    count = round(seconds * rate)
    samples = samples[:count]
    return np.pad(samples, [(0, count - len(samples)), *[(0, 0)] * (samples.ndim - 1)])


def write_wav(path: str | Path, samples: np.ndarray, rate: int) -> None:
    """Write 16-bit PCM."""
    import soundfile

    soundfile.write(path, samples, rate, subtype="PCM_16", format="WAV")


def compressed(samples: np.ndarray, rate: int) -> bytes | None:
    """MP3 of one channel, the same bytes for the same sound; None where ffmpeg cannot.

    MP3 since every browser plays it; its header tells players the encoder's delay.
    """
    import imageio_ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        wav, mp3 = Path(folder, "sound.wav"), Path(folder, "sound.mp3")
        write_wav(wav, samples, rate)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(wav)]
        command += ["-ac", "1", "-ar", str(RATE), "-c:a", "libmp3lame", "-b:a", BIT_RATE]
        command += [
            "-map_metadata",
            "-1",
            "-fflags",
            "+bitexact",
            "-flags:a",
            "+bitexact",
            str(mp3),
        ]
        done = subprocess.run(command, capture_output=True, check=False)
        return mp3.read_bytes() if done.returncode == 0 and mp3.exists() else None


def data_uri(samples: np.ndarray, rate: int, seconds: float) -> str:
    """Sound of exactly ``seconds`` for the ``src`` of an audio element: MP3, or WAV without ffmpeg.

    Args:
        samples: ``(n,)`` or ``(n, channels)``.
        rate: samples a second.
        seconds: length of the motion.
    """
    samples = fitted(one_channel(samples), rate, seconds)
    try:
        sound = compressed(samples, rate)
    except (RuntimeError, OSError):  # no ffmpeg for this machine
        sound = None
    if sound is not None:
        return "data:audio/mpeg;base64," + base64.b64encode(sound).decode()
    return "data:audio/wav;base64," + base64.b64encode(_plain(samples, rate)).decode()


def _plain(samples: np.ndarray, rate: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "sound.wav")
        if rate > PLAIN_RATE:
            samples, rate = resample_poly(samples, PLAIN_RATE, rate), PLAIN_RATE
        write_wav(wav, np.clip(samples, -1.0, 1.0), rate)
        return wav.read_bytes()
