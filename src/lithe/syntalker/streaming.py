"""Motion while the speech is still arriving, with memory that does not grow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.heard import Heard
from lithe.syntalker.longform import Decoder, Roll
from lithe.syntalker.timeline import Plan
from lithe.syntalker.words import Word

__all__ = ["REACH", "Stream"]

#: Latents on either side that a decoded frame depends on: the dilations 9, 3 and 1 reach 13 latents
#: before the first doubling and 6.5 after it, and the plain convolutions reach the rest.
REACH = 22


class Stream:
    """Turns speech that arrives in pieces into motion that leaves in pieces.

    A window of motion is made as soon as its sound is there. Decoding waits for ``ahead`` more
    latents, repeats what lies before, and keeps only what both sides have settled: with the whole
    :data:`REACH` the motion is that of :func:`lithe.syntalker.longform.generate_features` on the
    same :class:`Heard`; with less it comes earlier and differs where it leaves off.

    Args:
        roll: fresh, of one sample.
        heard: empty; hears what is pushed.
        codec: decodes.
        plan: from number of the first latent and number of latents to their plan, such as
            ``lambda start, n: timeline.plan(n, start=start)``.
        ahead: latents that decoding waits for, 0..:data:`REACH`.

    Raises:
        ValueError: ``ahead`` out of range, several samples at once, or a roll that has begun.
    """

    def __init__(
        self,
        roll: Roll,
        heard: Heard,
        codec: Decoder,
        plan: Callable[[int, int], Plan],
        ahead: int = REACH,
    ) -> None:
        if not 0 <= ahead <= REACH:
            raise ValueError(f"ahead is {ahead}; decoding looks at 0..{REACH} latents")
        if len(roll.seed) != 1 or roll.made or heard.samples:
            raise ValueError("a stream begins with one fresh sample and with nothing heard")
        self.roll, self.heard, self.codec, self.plan, self.ahead = roll, heard, codec, plan, ahead
        self._latents = roll.seed.new_zeros(1, 0, roll.network.config.latent)
        self._first = self._sent = 0
        self._closed = False

    @property
    def held(self) -> int:
        """Latents in memory."""
        return self._latents.shape[1]

    def push(self, wave: np.ndarray, words: Iterable[Word] = ()) -> Iterator[Tensor]:
        """Hear more, and give what motion is ready.

        Args:
            wave: the next samples at 16 kHz.
            words: that were said in them, with times from the very beginning.

        Returns:
            Pieces of features ``(t, d)``, made as they are iterated over; what is not taken comes
            with the next push.

        Raises:
            ValueError: the stream is closed, or samples that are no sound.
        """
        if self._closed:
            raise ValueError("the stream is closed; begin a new one")
        self.heard.append(wave, words)
        return self._ready()

    def _ready(self) -> Iterator[Tensor]:
        """Make and decode all windows whose sound is there."""
        windowing = self.roll.windowing
        while self.heard.ready(self.roll.start * DOWN, windowing.latents * DOWN):
            self._make()
            yield from self._decoded(self._made - self.ahead)

    def close(self) -> Iterator[Tensor]:
        """The rest of the motion, once all sound has arrived; returns as :meth:`push`.

        Raises:
            ValueError: nothing was heard, or less than a frame.
        """
        if self._closed:
            return iter(())
        windows = self.roll.windowing.count(self.heard.frames)
        self._closed = True
        return self._rest(windows)

    def _rest(self, windows: int) -> Iterator[Tensor]:
        """Make and decode what is left up to the last frame heard."""
        yield from self._ready()
        frames = self.heard.frames
        while self.roll.made < windows:
            self._make()
        already = self._sent * DOWN
        for features in self._decoded(-(-frames // DOWN)):
            yield features[: frames - already]

    def run(self, pieces: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Push all pieces, then close; yields as :meth:`push`."""
        for piece in pieces:
            yield from self.push(piece)
        yield from self.close()

    @property
    def _made(self) -> int:
        return self._first + self.held

    def _make(self) -> None:
        window = self.plan(self.roll.start, self.roll.windowing.latents)
        self._latents = torch.cat([self._latents, self.roll.next(self.heard, window)], 1)
        self.heard.forget(self.roll.start * DOWN)

    def _decoded(self, until: int) -> Iterator[Tensor]:
        """Features up to latent ``until``, if there are new ones; forgets what is settled."""
        if until <= self._sent:
            return
        last = min(self._made, until + REACH)
        low = max(0, self._sent - REACH)
        features = self.codec.decode(self._latents[:, low - self._first : last - self._first])
        yield features[0, (self._sent - low) * DOWN : (until - low) * DOWN]
        self._sent = until
        low = max(0, until - REACH)
        self._latents = self._latents[:, low - self._first :].clone()
        self._first = low
