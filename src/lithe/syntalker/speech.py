"""Speech as one value: its sound and its words, cut and read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lithe.syntalker.amplitude import amplitude_onset
from lithe.syntalker.sound import RATE, clip_samples, load, mono
from lithe.syntalker.vocabulary import PAD, Vocabulary, frame_words
from lithe.syntalker.words import READERS, Word, read_words, spread

__all__ = ["Speech", "speech_features"]


@dataclass(frozen=True, eq=False)
class Speech:
    """What is said: ``wave`` float32 ``(samples,)`` at 16 kHz, and ``words`` in order of time.

    Without words only the sound drives the motion; :meth:`silence` is no speech at all.
    """

    wave: np.ndarray
    words: tuple[Word, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "wave", mono(self.wave))
        object.__setattr__(self, "words", tuple(self.words))

    @classmethod
    def load(cls, audio: str | Path, transcript: str | Path | None = None) -> Speech:
        """Read speech.

        Args:
            audio: a WAV, FLAC, OGG or MP3 file, any rate, any channels.
            transcript: a file of timed words (see :func:`lithe.syntalker.words.read_words`), a
                ``.txt`` file, or the text itself, whose words are then spread over the sound;
                ``None`` for sound alone.

        Raises:
            ValueError: a file is missing or of a kind that is not read.
        """
        wave = load(audio)
        return cls(wave, tuple(_words(transcript, wave)))

    @classmethod
    def silence(cls, seconds: float) -> Speech:
        """No speech: zeros, at least one sample."""
        return cls(np.zeros(max(1, round(seconds * RATE)), np.float32))

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return len(self.wave) / RATE

    @property
    def silent(self) -> bool:
        """Whether there is no sound at all; then there are no words either (spec 4.5)."""
        return not self.wave.any()

    def frames(self, fps: float = 30.0) -> int:
        """Whole frames of motion that fit the sound."""
        return int(self.seconds * fps + 1e-6)

    def cut(self, start: float, stop: float) -> Speech:
        """The part from ``start`` to ``stop`` seconds; words that reach in are kept and trimmed.

        Raises:
            ValueError: nothing of the sound lies there.
        """
        first, last = round(start * RATE), round(min(stop, self.seconds) * RATE)
        if not 0 <= first < last:
            raise ValueError(f"{start} to {stop} s holds nothing of {self.seconds:.2f} s of speech")
        end = (last - first) / RATE
        shifted = [(w.start - start, w.end - start, w.text) for w in self.words]
        words = [Word(max(0, a), min(end, b), text) for a, b, text in shifted if b > 0 and a < end]
        return Speech(self.wave[first:last], tuple(words))


def _words(transcript: str | Path | None, wave: np.ndarray) -> list[Word]:
    if transcript is None:
        return []
    suffix = Path(transcript).suffix.lower() if len(str(transcript)) < 250 else ""
    if suffix in READERS:
        return read_words(transcript)
    if suffix == ".txt":
        if not Path(transcript).is_file():
            raise ValueError(f"no transcript at {transcript}")
        transcript = _read_text(Path(transcript))
    elif isinstance(transcript, Path) or (suffix and Path(transcript).is_file()):
        raise ValueError(f"{Path(transcript).name}: a transcript is .txt, {', '.join(READERS)}")
    return spread(transcript, wave)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is no text in UTF-8; save it as that") from error


def speech_features(
    speech: Speech,
    vocabulary: Vocabulary,
    frames: int,
    fps: float = 30.0,
    released: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The two conditions of speech for ``frames`` frames of motion.

    Source: SynTalker spec 4.1, 4.3, 4.5. Sound that ends before the motion is followed by zeros;
    frames of silent speech carry the padding word.

    Args:
        speech: what is said.
        vocabulary: gives the word indices.
        frames: frames of motion.
        fps: frames a second.
        released: onset flags as the authors' code places them (G1).

    Returns:
        float32 ``(floor(frames / fps · 16000), 2)`` and int64 ``(frames,)``.
    """
    count = clip_samples(frames, fps).stop
    if count < 1:
        raise ValueError(f"{frames} frames at {fps} fps hold no sound; give at least one frame")
    sound = amplitude_onset(speech.wave, released=released)[:count]
    sound = np.pad(sound, ((0, count - len(sound)), (0, 0)))
    if speech.silent:
        return sound, np.full(frames, PAD, np.int64)
    words: Sequence[Word] = speech.words
    return sound, frame_words(words, vocabulary, frames, fps)
