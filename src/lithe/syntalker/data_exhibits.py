"""What the recording and the features show without training."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from lithe.data import shared_folder
from lithe.data.checksum import file_digest
from lithe.syntalker import h3d
from lithe.syntalker.amplitude import HOP, onset_frames
from lithe.syntalker.kinematics import fk
from lithe.syntalker.skeleton import BODY_HANDS
from lithe.syntalker.sound import RATE

__all__ = ["EXHIBITS", "features", "speech"]

Shown = tuple[dict[str, Any], dict[str, list[float]] | None, list[dict[str, Any]]]

FPS, CLIP, STRIDE = 30, 128, 20  # of the released training clips
FRAMES = 1906  # of the demo recording's motion
MINUTES = 10


def speech() -> Shown:
    """Where onset flags fall in the demo recording, and how far its speaker walks.

    The onsets of the whole recording are those that the released code found; of its first minute
    they are found again. Source: SynTalker spec 4.1, 9 and 11.6.
    """
    golden = np.load(shared_folder() / "golden/syntalker_audio_demo.npz")
    onsets = golden["onset_frames_hop512"]
    released, corrected = (_flags_per_clip(at) for at in (onsets, onsets * HOP))
    folder = shared_folder() / "data/motion/beat2"
    wave, motion = (folder / f"2_scott_0_1_1_60s.{kind}" for kind in ("flac", "npz"))
    found, length = _found_again(wave)
    common = onsets[onsets * HOP < length - RATE]
    with np.load(motion, allow_pickle=False) as arrays:
        trans = arrays["trans"].astype(np.float64)
    short, long = sorted(np.ptp(trans[:, [0, 2]], axis=0).tolist())
    metrics = {
        "clips": len(released),
        "onsets": len(onsets),
        "clips_with_onsets_released": int((released > 0).sum()),
        "onsets_per_clip_corrected": {"value": float(corrected.mean()), "n": len(corrected)},
        "last_flag_released_s": {"value": float(onsets.max() / RATE), "unit": "s"},
        "found_again": {
            "value": 100 * float(np.isin(common, found).mean()),
            "unit": "%",
            "n": len(common),
        },
        "root_range_short": {"value": short, "unit": "m"},
        "root_range_long": {"value": long, "unit": "m"},
        "height_low": {"value": float(trans[:, 1].min()), "unit": "m"},
        "height_high": {"value": float(trans[:, 1].max()), "unit": "m"},
    }
    curves = {"released": released.tolist(), "corrected": corrected.tolist()}
    used = [{"name": path.name, "sha256": file_digest(path)} for path in (wave, motion)]
    return metrics, curves, used


def _flags_per_clip(at: np.ndarray) -> np.ndarray:
    """Flags in every training clip of the recording, when they stand at these samples."""
    length = CLIP * RATE // FPS
    starts = [first * RATE // FPS for first in range(0, FRAMES - CLIP + 1, STRIDE)]
    return np.array([((at >= start) & (at < start + length)).sum() for start in starts], float)


def _found_again(path: Any) -> tuple[np.ndarray, int]:
    import soundfile

    wave, rate = soundfile.read(path, dtype="float32")
    return onset_frames(wave, rate), len(wave)


def features() -> Shown:
    """Encoding and recovering ten minutes of motion with hands: how exact, and how fast."""
    frames = MINUTES * 60 * FPS
    rng = np.random.default_rng(0)
    wander = rng.normal(size=(frames // 30 + 4, len(BODY_HANDS.names), 3)) * 0.2
    angles = _between(wander, frames)
    root = np.cumsum(_between(rng.normal(size=(frames // 30 + 4, 3)) * 0.01, frames), axis=0)
    root[:, 1] = 0.95
    positions = fk(_rotations(angles), root, BODY_HANDS).astype(np.float64)
    began = perf_counter()
    coded = h3d.encode(positions)
    back = h3d.recover(coded)
    took = perf_counter() - began
    aim = h3d.canonical(positions)[:-1]
    metrics = {
        "features_s": {"value": took, "unit": "s"},
        "minutes": MINUTES,
        "recovery_mm": {"value": 1000 * float(np.abs(back - aim).max()), "unit": "mm"},
        "listed": sum(len(part) for part in h3d.PARTS.values()),
        "distinct": len(np.unique(np.concatenate(list(h3d.PARTS.values())))),
        "channels": coded.shape[1],
    }
    return metrics, None, []


def _between(knots: np.ndarray, frames: int) -> np.ndarray:
    """Knots a second apart, joined by straight lines: ``(frames, ...)``."""
    at = np.arange(frames) / FPS
    low = at.astype(int)
    share = (at - low).reshape(-1, *[1] * (knots.ndim - 1))
    return (1 - share) * knots[low] + share * knots[low + 1]


def _rotations(angles: np.ndarray) -> np.ndarray:
    import roma
    import torch

    return roma.rotvec_to_rotmat(torch.from_numpy(angles)).numpy()


#: Records without training, by name.
EXHIBITS: dict[str, Callable[[], Shown]] = {"speech": speech, "features": features}
