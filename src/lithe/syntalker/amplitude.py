"""How loud speech is and where it sets in: two numbers for every sample at 16 kHz."""

from __future__ import annotations

import numpy as np

from lithe.syntalker.sound import RATE, mono

__all__ = ["HOP", "WINDOW", "amplitude_onset", "forward_maximum", "onset_frames", "onset_times"]

#: Samples the amplitude looks ahead (64 ms), and samples of one onset frame (32 ms).
WINDOW, HOP = 1024, 512
#: librosa's analysis window; what is shorter is padded with silence.
ANALYSIS = 2048


def forward_maximum(wave: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Largest ``|x|`` of each sample and the ``window - 1`` after it.

    Source: SynTalker spec 4.1. The last ``window - 1`` samples, which have no whole window, repeat
    the value of the last that has one; a wave shorter than a window has one value throughout.

    Args:
        wave: ``(samples,)``, at least one.
        window: samples.

    Returns:
        Of the shape and type of ``wave``, at least 0.
    """
    from numpy.lib.stride_tricks import sliding_window_view

    loud = np.abs(wave)
    whole = min(window, len(loud))
    block = _running_maximum(loud, whole) if whole > 64 else sliding_window_view(loud, whole).max(1)
    return np.concatenate([block, np.full(len(loud) - len(block), block[-1], block.dtype)])


def _running_maximum(x: np.ndarray, window: int) -> np.ndarray:
    """Maximum of every whole window, doubling its width: 10 passes instead of 1,024."""
    width, best = 1, x
    while 2 * width <= window:
        best = np.maximum(best[:-width], best[width:])
        width *= 2
    rest = window - width
    return np.maximum(best[: len(x) - window + 1], best[rest : len(x) - window + 1 + rest])


def onset_frames(wave: np.ndarray, sr: int = RATE) -> np.ndarray:
    """Frames of 512 samples at 16 kHz in which something sets in, by librosa's onset detector.

    Args:
        wave: audio as :func:`lithe.syntalker.sound.mono` takes it.
        sr: its sampling rate.

    Returns:
        int64, rising; empty for silence.
    """
    return _frames(mono(wave, sr))


def _frames(wave: np.ndarray) -> np.ndarray:
    if not wave.any():
        return np.zeros(0, np.int64)  # the detector normalises by the loudest onset; there is none
    import librosa

    padded = np.pad(wave, (0, max(0, ANALYSIS - len(wave))))
    frames = librosa.onset.onset_detect(y=padded, sr=RATE, hop_length=HOP)
    return frames[frames * HOP < len(wave)].astype(np.int64)


def onset_times(wave: np.ndarray, sr: int = RATE) -> np.ndarray:
    """Onsets in seconds: what beat consistency takes for the beats of speech."""
    return onset_frames(wave, sr) * HOP / RATE


def amplitude_onset(wave: np.ndarray, sr: int = RATE, released: bool = False) -> np.ndarray:
    """Amplitude envelope and onset flags: the audio the wave encoder hears.

    Source: SynTalker spec 4.1. ``released`` writes the flags at the onsets' *frame numbers*, so
    that all of a recording's flags crowd into its first tenth of a second (G1).

    Args:
        wave: ``(samples,)``, or with channels, which are averaged; float or integer PCM.
        sr: its sampling rate in Hz; anything but 16,000 is resampled first.
        released: put the flags where the authors' code does.

    Returns:
        float32 ``(samples at 16 kHz, 2)``: amplitude, and 1 where an onset is.

    Raises:
        ValueError: no samples, NaN or infinity, or a rate that is none.
    """
    x = mono(wave, sr)
    frames = _frames(x)
    flags = np.zeros(len(x), np.float32)
    flags[frames if released else frames * HOP] = 1
    return np.stack([forward_maximum(x), flags], axis=1)
