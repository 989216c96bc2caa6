"""Motions as npz: everything that a motion holds, and nothing that would have to be unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from lithe.files import write_with
from lithe.syntalker import smplx
from lithe.syntalker.motion import Motion, Prompt
from lithe.syntalker.skeleton import Skeleton

__all__ = ["load", "save"]

#: Arrays that AMASS files have and BEAT2 files have not; in AMASS z points up.
AMASS = {"dmpls", "mocap_time_length", "pose_body"}
#: What numpy and zipfile raise on a file that is cut short, altered, or of another kind.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError),
    *(ValueError, TypeError, EOFError, AttributeError),
)
_NEEDED = {"positions", "fps", "names", "parents", "offsets"}


def save(motion: Motion, path: str | Path) -> Path:
    """Write a motion with skeleton, rotations, sound and prompts.

    Returns:
        The path.
    """
    skeleton = motion.skeleton
    arrays = {
        "positions": motion.positions,
        "fps": np.float64(motion.fps),
        "names": np.array(skeleton.names),
        "parents": np.array(skeleton.parents),
        "offsets": skeleton.offsets,
        "end_joints": np.array([joint for joint, _ in skeleton.ends], dtype=np.int64),
        "end_offsets": np.array([tip for _, tip in skeleton.ends], dtype=np.float64).reshape(-1, 3),
    }
    if motion.rotations is not None:
        arrays["rotations"] = motion.rotations
    if motion.audio is not None:
        arrays["audio"], arrays["audio_rate"] = motion.audio[0], np.int64(motion.audio[1])
    if motion.prompts:
        arrays["prompt_times"] = np.array([(p.start, p.end) for p in motion.prompts])
        arrays["prompt_words"] = np.array([(p.text, p.part) for p in motion.prompts])
    return write_with(path, lambda temporary: np.savez_compressed(temporary, **arrays))


def load(path: str | Path) -> Motion:
    """Read a motion that :func:`save` wrote, or one of SMPL-X (see :mod:`lithe.syntalker.smplx`).

    SMPL-X poses are taken as y up, as in BEAT2; those of AMASS, told by its other arrays, as z up.

    Raises:
        ValueError: no npz, or one without the arrays of either kind.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    try:
        # opened here: of a file that is cut short numpy would leave its handle open
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        raise ValueError(f"{path.name} is no npz of plain arrays: {error}") from error
    arrays = {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
    if "poses" in arrays:
        return _poses(arrays, path.name)
    missing = _NEEDED - arrays.keys()
    if missing:
        raise ValueError(f"{path.name} has no {', '.join(sorted(missing))}: not a motion")
    try:
        return _motion(arrays)
    except (TypeError, KeyError, IndexError, ValueError, OverflowError) as error:
        raise ValueError(f"{path.name} is not a motion: {error}") from error


def _poses(arrays: dict[str, np.ndarray], name: str) -> Motion:
    """SMPL-X arrays; some files hold the frame rate as an array of one number."""
    if not arrays["poses"].size:
        raise ValueError(f"{name}: poses {arrays['poses'].shape} hold no frame")
    rates = {
        key: array.reshape(())
        for key, array in arrays.items()
        if key.startswith("mocap_frame") and array.size == 1
    }
    return smplx.motion(arrays | rates, name, "z" if AMASS & arrays.keys() else "y")


def _motion(arrays: dict[str, np.ndarray]) -> Motion:
    tips = zip(arrays.get("end_joints", ()), arrays.get("end_offsets", ()))
    skeleton = Skeleton(
        tuple(arrays["names"].tolist()),
        tuple(arrays["parents"].tolist()),
        arrays["offsets"],
        tuple((int(joint), tuple(tip.tolist())) for joint, tip in tips),
    )
    if not all(0 <= joint < len(skeleton) and len(tip) == 3 for joint, tip in skeleton.ends):
        raise ValueError(f"ends {skeleton.ends} are not (joint, (x, y, z))")
    audio = (arrays["audio"], int(arrays["audio_rate"])) if "audio" in arrays else None
    times = arrays.get("prompt_times", np.empty((0, 2))).tolist()
    words = arrays.get("prompt_words", np.empty((0, 2), dtype=str)).tolist()
    prompts = [Prompt(start, end, text, part) for (start, end), (text, part) in zip(times, words)]
    return Motion(
        arrays["positions"],
        float(arrays["fps"]),
        skeleton,
        arrays.get("rotations"),
        audio,
        prompts,
    )
