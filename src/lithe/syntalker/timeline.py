"""Which prompt moves which part of the body when, and how strongly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.motion import Prompt

__all__ = ["BODY_PARTS", "SPEAKING", "STRENGTH", "Entry", "Plan", "Timeline"]

#: Parts in the order of the released latents.
BODY_PARTS = ("upper", "hands", "lower")
#: The released strength of a prompt (SynTalker spec 7.3).
STRENGTH = 4.0
#: Parts that go on listening to speech while they have a prompt, as released.
SPEAKING = ("upper",)
#: A prompt is a sentence.
LONGEST = 500
#: One latent frame at 30 frames a second, rounded up.
SHORTEST = 0.14


@dataclass(frozen=True)
class Entry:
    """One prompt on one part of the body.

    Attributes:
        start: seconds from the beginning.
        end: seconds; infinity for the end of the motion.
        part: of the body.
        text: the words.
        strength: how far beyond the unconditional motion it pushes; ``None`` for the default.
    """

    start: float
    end: float
    part: str
    text: str
    strength: float | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """A timeline on the grid of latent frames ``f`` and parts ``p``.

    Attributes:
        prompts: the different texts.
        index: number of the text, -1 for none, int64 ``(f, p)``.
        strength: of the prompt, 0 for none ``(f, p)``.
        speech: weight of speech ``(f, p)``.
        parts: names of the parts.
    """

    prompts: tuple[str, ...]
    index: Tensor
    strength: Tensor
    speech: Tensor
    parts: tuple[str, ...] = BODY_PARTS

    def __len__(self) -> int:
        return len(self.index)

    def window(self, start: int, length: int) -> Plan:
        """Latent frames from ``start`` on; past the end the last one goes on."""
        at = torch.arange(start, start + length).clamp_max(len(self) - 1)
        return Plan(self.prompts, self.index[at], self.strength[at], self.speech[at], self.parts)


@dataclass(frozen=True)
class Timeline:
    """Prompts over time, checked; build it with :meth:`parse`.

    Attributes:
        entries: in order of time; no two overlap on one part.
        parts: of the body that can have prompts.
    """

    entries: tuple[Entry, ...] = ()
    parts: tuple[str, ...] = BODY_PARTS

    @classmethod
    def parse(
        cls,
        prompts: Mapping[str, str] | Iterable[Sequence[Any]] | Timeline | None,
        seconds: float = math.inf,
        parts: Sequence[str] = BODY_PARTS,
    ) -> Timeline:
        """Read what a user asks for.

        Args:
            prompts: ``{"lower": "a person walks forward"}`` for all the time, or entries
                ``(start, end, part, text)`` in seconds, optionally with a strength as fifth;
                ``"body"`` stands for all parts at once. Entries that outlast the motion end
                with it.
            seconds: length of the motion.
            parts: of the body, in the order of its latents.

        Raises:
            TypeError: something that is neither.
            ValueError: an unknown part, times that do not fit, two prompts at once on one part,
                a text that is empty or too long, or a strength that is none.
        """
        if isinstance(prompts, Timeline):
            prompts = [(e.start, e.end, e.part, e.text, e.strength) for e in prompts.entries]
        if isinstance(prompts, str):
            raise TypeError(f"say which part does it, such as {{'lower': {prompts[:40]!r}}}")
        if isinstance(prompts, Mapping):
            prompts = [(0.0, math.inf, part, text) for part, text in prompts.items()]
        entries = [e for item in prompts or () for e in _entries(item, seconds, tuple(parts))]
        entries.sort(key=lambda e: (e.start, parts.index(e.part)))
        for part in parts:
            _refuse_overlap([e for e in entries if e.part == part])
        return cls(tuple(entries), tuple(parts))

    @property
    def texts(self) -> tuple[str, ...]:
        """The different texts, in order of first use."""
        return tuple(dict.fromkeys(e.text for e in self.entries))

    def captions(self, seconds: float) -> tuple[Prompt, ...]:
        """The entries as a :class:`lithe.syntalker.Motion` of that length carries them."""
        ends = [(e, min(e.end, seconds)) for e in self.entries]
        return tuple(Prompt(e.start, end, e.text, e.part) for e, end in ends if e.start < end)

    def plan(
        self,
        latents: int,
        *,
        strength: float = STRENGTH,
        speaking: Iterable[str] | Mapping[str, float] = SPEAKING,
        start: int = 0,
        fps: float = 30.0,
    ) -> Plan:
        """Put the timeline on latent frames; one has the prompt that its middle lies in.

        Source: SynTalker spec 7.3. A part without prompt listens to speech with weight 1.

        Args:
            latents: how many.
            strength: of entries that name none.
            speaking: parts that keep speech while they have a prompt, or the weight of speech
                for each. As released only the upper body keeps it (G20).
            start: number of the first latent.
            fps: frames a second.

        Raises:
            ValueError: an unknown part, or no latents.
        """
        if latents < 1:
            raise ValueError(f"{latents} latents; a motion has at least one")
        kept = _weights(speaking, self.parts)
        size = (latents, len(self.parts))
        index = torch.full(size, -1)
        strengths, speech = torch.zeros(size), torch.ones(size)
        middle = (torch.arange(start, start + latents, dtype=torch.float64) + 0.5) * DOWN / fps
        for entry in self.entries:
            at = (middle >= entry.start) & (middle < entry.end)
            part = self.parts.index(entry.part)
            index[at, part] = self.texts.index(entry.text)
            strengths[at, part] = strength if entry.strength is None else entry.strength
            speech[at, part] = kept[entry.part]
        return Plan(self.texts, index, strengths, speech, self.parts)


def _entries(item: Sequence[Any], seconds: float, parts: tuple[str, ...]) -> list[Entry]:
    """One checked entry for each part that an item names."""
    if isinstance(item, str) or not isinstance(item, Sequence) or len(item) not in (4, 5):
        raise TypeError(
            "an entry is (start, end, part, text), such as (0.0, 3.5, 'lower', 'a person walks'); "
            f"got {str(item)[:100]!r}"
        )
    start, end, part, text, strength = (*item, None)[:5]
    start, end = _times(start, end, seconds)
    if part != "body" and part not in parts:
        raise ValueError(f"there is no part {part!r}; the parts are {', '.join(parts)} and body")
    text = _text(text, part)
    if strength is not None and not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"the strength of {text!r} is {strength}; it is a number from 0 on")
    return [Entry(start, end, p, text, strength) for p in (parts if part == "body" else (part,))]


def _times(start: Any, end: Any, seconds: float) -> tuple[float, float]:
    try:
        start, end = float(start), math.inf if end is None else float(end)
    except (TypeError, ValueError):
        raise TypeError(f"times are seconds, got {start!r} and {end!r}") from None
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"a prompt starts at {start} s; times begin at 0")
    if not start < end:
        raise ValueError(f"a prompt runs from {start:g} to {end:g} s; it must end after it starts")
    if end - start < SHORTEST:
        raise ValueError(
            f"a prompt runs from {start:g} to {end:g} s; it must last at least {SHORTEST:.2f} s"
        )
    if start >= seconds:
        raise ValueError(f"a prompt starts at {start:g} s, but the motion lasts {seconds:.2f} s")
    return start, end if end < seconds else math.inf


def _text(text: Any, part: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"the prompt of {part} is text, got {type(text).__name__}")
    text = " ".join(text.split())
    if not any(letter.isalnum() for letter in text):
        raise ValueError(f"the prompt of {part} is empty; leave it out, or say what to do")
    if len(text) > LONGEST:
        raise ValueError(
            f"the prompt of {part} has {len(text)} characters; one sentence of at most {LONGEST} "
            "is read, and several go on a timeline"
        )
    return text


def _refuse_overlap(entries: list[Entry]) -> None:
    for one, two in pairwise(entries):
        if two.start < one.end:
            raise ValueError(
                f"{one.part} has two prompts at {two.start:g} s, {one.text!r} and {two.text!r}; "
                "end the first before the second starts"
            )


def _weights(
    speaking: Iterable[str] | Mapping[str, float], parts: tuple[str, ...]
) -> dict[str, float]:
    """The weight of speech for each part while it has a prompt."""
    if isinstance(speaking, str):
        speaking = (speaking,)
    given = speaking if isinstance(speaking, Mapping) else dict.fromkeys(speaking, 1.0)
    unknown = set(given) - set(parts) - set(BODY_PARTS)  # a body without hands has no use for them
    if unknown:
        raise ValueError(f"there is no part {min(unknown)!r}; the parts are {', '.join(parts)}")
    if not all(math.isfinite(weight) for weight in given.values()):
        raise ValueError(f"weights of speech are numbers, got {dict(given)}")
    return {part: float(given.get(part, 0.0)) for part in parts}
