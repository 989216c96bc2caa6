"""A motion as an mp4 film, with its sound."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from lithe.files import write_with
from lithe.syntalker.drawing import Camera, draw, followed
from lithe.syntalker.motion import Motion
from lithe.syntalker.soundtrack import fitted, write_wav

__all__ = ["save"]


def save(
    motion: Motion,
    path: str | Path,
    size: tuple[int, int] = (640, 480),
    camera: Camera | None = None,
) -> Path:
    """Write H.264 video and AAC sound; the sound is cut, or filled with silence, to the motion.

    Args:
        motion: what to film.
        path: ends in ``.mp4``.
        size: width and height in pixels, multiples of 16.
        camera: see :func:`lithe.syntalker.drawing.draw`.

    Returns:
        The path.

    Raises:
        ValueError: a size that is no multiple of 16, which video blocks need.
    """
    if any(side <= 0 or side % 16 for side in size):
        raise ValueError(f"size {size}: width and height must be multiples of 16")
    with tempfile.TemporaryDirectory() as folder:
        sound = None
        if motion.audio is not None and len(motion.audio[0]):
            samples, rate = motion.audio
            sound = Path(folder, "sound.wav")
            write_wav(sound, np.clip(fitted(samples, rate, motion.seconds), -1, 1), rate)
        return write_with(path, lambda temporary: _film(motion, temporary, size, camera, sound))


def _film(
    motion: Motion,
    path: Path,
    size: tuple[int, int],
    camera: Camera | None,
    sound: Path | None,
) -> None:
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(
        path,
        size,
        fps=motion.fps,
        codec="libx264",
        quality=6,
        ffmpeg_log_level="error",
        audio_path=sound and str(sound),
        audio_codec="aac" if sound else None,
    )
    centres = followed(motion)
    writer.send(None)
    try:
        for frame, centre in enumerate(centres):
            writer.send(np.asarray(draw(motion, frame, size, camera, centre)))
    finally:
        writer.close()
