"""Real motion beside the free world's, as clips of the same kind: CMU with captions, BEAT2."""

from __future__ import annotations

import csv
from pathlib import Path

from lithe.data import DataError, shared_folder
from lithe.syntalker.motion import Motion
from lithe.syntalker.retarget import retarget
from lithe.syntalker.skeleton import BODY
from lithe.syntalker.sound import RATE
from lithe.syntalker.speech import Speech
from lithe.syntalker.world import Clip

__all__ = ["beat2", "cmu", "speech_alone"]

#: The one recording of BEAT2 that has both motion and sound here.
RECORDING = "2_scott_0_1_1_60s"


def cmu(folder: str | Path | None = None, limit: int | None = None) -> list[Clip]:
    """Motion capture with captions and without a sound: the movers of the real world.

    Args:
        folder: the shared folder; see :func:`lithe.data.shared_folder`.
        limit: at most so many clips, in the order of the list.

    Returns:
        Clips of 22 joints at 30 fps; captions are ours and the recording's own description.

    Raises:
        lithe.data.DataError: the list or a recording is missing.
    """
    place = _motion_folder(folder)
    listing = _present(place / "captions.csv")
    with listing.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])[:limit]
    clips = []
    for row in rows:
        motion = retarget(Motion.load(_present(place / row["file"])), BODY)
        captions = tuple(dict.fromkeys((row["caption"], row["raw_description"])))
        clips.append(Clip(row["clip"], "cmu", motion, None, captions))
    return clips


def beat2(folder: str | Path | None = None, seconds: float = 10.0) -> list[Clip]:
    """A minute of one person who talks, standing, cut into clips: the talkers of the real world.

    Args:
        folder: the shared folder.
        seconds: of a clip; a rest at the end is left out.

    Returns:
        Clips of 52 joints at 30 fps with sound and timed words, without captions.

    Raises:
        lithe.data.DataError: a file is missing.
        ValueError: ``seconds`` is not between 1 and the recording's 60.
    """
    place = _motion_folder(folder) / "beat2"
    motion = Motion.load(_present(place / f"{RECORDING}.npz"))
    speech = Speech.load(
        _present(place / f"{RECORDING}.flac"), _present(place / f"{RECORDING}_words.tsv")
    )
    if not 1 <= seconds <= motion.seconds:
        raise ValueError(f"seconds is {seconds}; 1 to {motion.seconds:g} fit the recording")
    frames = round(seconds * motion.fps)
    clips = []
    for start in range(0, len(motion) - frames + 1, frames):
        part = speech.cut(start / motion.fps, (start + frames) / motion.fps)
        body = motion.cut(start, start + frames)
        sounding = Motion(
            body.positions, body.fps, body.skeleton, body.rotations, (part.wave, RATE)
        )
        clips.append(Clip(f"{RECORDING}@{start}", "beat2", sounding, part))
    return clips


def speech_alone(folder: str | Path | None = None) -> dict[str, Speech]:
    """Utterances of several people without motion, by file name, with words where a text is known.

    The words of a plain transcript are spread over the sound.

    Raises:
        lithe.data.DataError: the list or a recording is missing.
    """
    place = shared_folder(folder) / "data" / "speech"
    with _present(place / "transcripts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["file"]: Speech.load(_present(place / row["file"]), row["transcript"] or None)
        for row in rows
    }


def _motion_folder(folder: str | Path | None) -> Path:
    return shared_folder(folder) / "data" / "motion"


def _present(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path.name} is missing from {path.parent.name}; restore the shared data")
    return path
