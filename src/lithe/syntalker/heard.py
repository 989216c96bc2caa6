"""Speech on its way into the network, a window of motion at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lithe.syntalker.amplitude import WINDOW, amplitude_onset
from lithe.syntalker.sound import RATE, clip_samples, mono
from lithe.syntalker.vocabulary import PAD, UNKNOWN, Vocabulary, frame_words
from lithe.syntalker.words import Word

__all__ = ["Heard", "SpeechWindows", "WholeSpeech"]

#: Samples a frame in the released slicing; exact would be 533.33.
RELEASED_SAMPLES = 533


class SpeechWindows(Protocol):
    """What a sampler asks of speech."""

    def window(self, start: int, frames: int) -> tuple[Tensor, Tensor]:
        """Sound ``(n, samples, 2)`` and words ``(n, frames)`` from frame ``start`` on."""
        ...


class WholeSpeech:
    """Speech whose features were computed over the whole recording, as in training.

    Source: SynTalker spec 7.5, step 3.

    Args:
        sound: ``(n, samples, 2)``, from :func:`lithe.syntalker.speech.speech_features`.
        words: int64 ``(n, t)``.
        fps: frames a second.
        released: cut at 533 samples a frame, by which sound slips 2.3 ms a window.

    Raises:
        ValueError: the batches differ, or there is no frame.
    """

    def __init__(
        self, sound: Tensor, words: Tensor, fps: float = 30.0, released: bool = False
    ) -> None:
        if sound.ndim != 3 or words.ndim != 2 or len(sound) != len(words) or not words.numel():
            raise ValueError(
                f"sound (n, samples, 2) and words (n, t) are needed, got {tuple(sound.shape)} and "
                f"{tuple(words.shape)}"
            )
        self.sound, self.words, self.fps, self.released = sound, words, fps, released

    def window(self, start: int, frames: int) -> tuple[Tensor, Tensor]:
        """See :class:`SpeechWindows`; past the end there is silence."""
        if self.released:
            first, count = start * RELEASED_SAMPLES, frames * RELEASED_SAMPLES
        else:
            first = clip_samples(frames, self.fps, start).start
            count = clip_samples(frames, self.fps).stop
        sound = self.sound[:, first : first + count]
        words = self.words[:, start : start + frames]
        silent = (self.words == PAD).all(1, keepdim=True)
        rest = torch.where(silent, PAD, UNKNOWN).expand(-1, frames - words.shape[1])
        missing = sound.new_zeros(len(sound), count - sound.shape[1], 2)
        return torch.cat([sound, missing], 1), torch.cat([words, rest.to(words)], 1)


class Heard:
    """Speech as it arrives, with features computed window by window from what is near.

    Onset detection scales by the loudest onset it sees. Here that is the loudest in the window and
    the ``history`` before it instead of in the whole recording, so that what has arrived is enough
    and what is long past can be forgotten. A recording that arrived at once gives the same.

    Args:
        vocabulary: gives the word indices.
        fps: frames a second.
        history: seconds of sound before a window that its features look at.
    """

    def __init__(self, vocabulary: Vocabulary, fps: float = 30.0, history: float = 2.0) -> None:
        self.vocabulary, self.fps, self.history = vocabulary, fps, history
        self._wave, self._first = np.zeros(0, np.float32), 0
        self._words: list[Word] = []

    def append(self, wave: np.ndarray, words: Iterable[Word] = ()) -> None:
        """Hear more.

        Args:
            wave: samples ``(s,)`` at 16 kHz that follow those heard so far.
            words: in order, with times from the very beginning; none before those heard so far.

        Raises:
            ValueError: samples that are not finite, or no row of samples.
        """
        if len(wave):
            self._wave = np.concatenate([self._wave, mono(wave)])
        self._words.extend(words)

    @property
    def samples(self) -> int:
        """Heard so far, forgotten or not."""
        return self._first + len(self._wave)

    @property
    def frames(self) -> int:
        """Whole frames of motion that fit what was heard."""
        return int(self.samples / RATE * self.fps + 1e-6)

    @property
    def remembered(self) -> int:
        """Samples that are still held."""
        return len(self._wave)

    def ready(self, start: int, frames: int) -> bool:
        """Whether more sound would change nothing about this window."""
        return self.samples >= self._span(start, frames)[2]

    def window(self, start: int, frames: int) -> tuple[Tensor, Tensor]:
        """See :class:`SpeechWindows`; what is not there yet is silence.

        Raises:
            ValueError: the window begins in what is forgotten, or after what was heard.
        """
        begin, first, end = self._span(start, frames)
        if not self._first <= begin or first >= self.samples:
            raise ValueError(
                f"frames from {start} on need samples {begin} to {end}; those from {self._first} "
                f"to {self.samples} are held"
            )
        wave = self._wave[begin - self._first : end - self._first]
        count = clip_samples(frames, self.fps).stop
        sound = amplitude_onset(wave)[first - begin :][:count]
        sound = np.pad(sound, ((0, count - len(sound)), (0, 0)))
        words = frame_words(self._words, self.vocabulary, frames, self.fps, start)
        if not wave.any():
            words[:] = PAD
        return torch.from_numpy(sound)[None], torch.from_numpy(words)[None]

    def forget(self, frame: int) -> None:
        """Drop what windows that start at ``frame`` or later do not look at."""
        begin = min(max(self._span(frame, 1)[0], self._first), self.samples)
        self._wave, self._first = self._wave[begin - self._first :].copy(), begin
        self._words = [word for word in self._words if word.end * RATE > begin]

    def _span(self, start: int, frames: int) -> tuple[int, int, int]:
        """First sample looked at, first sample of the window, and where looking ends."""
        first = clip_samples(frames, self.fps, start).start
        end = first + clip_samples(frames, self.fps).stop + WINDOW
        return max(0, first - int(self.history * RATE)), first, end
