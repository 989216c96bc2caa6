"""Motions as npz: everything that a motion holds, and nothing that would have to be unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from lithe.files import write_with
from lithe.syntalker import smplx
from lithe.syntalker.motion import Motion, Prompt
from lithe.syntalker.skeleton import Skeleton

__all__ = ["load", "save"]


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

    Raises:
        ValueError: no npz, or one without the arrays of either kind.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, ValueError, EOFError, AttributeError) as error:
        raise ValueError(f"{path.name} is no npz of plain arrays: {error}") from error
    if "poses" in arrays:
        return smplx.motion(arrays, path.name)
    missing = {"positions", "fps", "names", "parents", "offsets"} - arrays.keys()
    if missing:
        raise ValueError(f"{path.name} has no {', '.join(sorted(missing))}: not a motion")
    return _motion(arrays)


def _motion(arrays: dict[str, np.ndarray]) -> Motion:
    tips = zip(arrays.get("end_joints", ()), arrays.get("end_offsets", ()))
    skeleton = Skeleton(
        tuple(arrays["names"].tolist()),
        tuple(arrays["parents"].tolist()),
        arrays["offsets"],
        tuple((int(joint), tuple(tip.tolist())) for joint, tip in tips),
    )
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
