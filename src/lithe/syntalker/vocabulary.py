"""Words as numbers: a fixed list of known words, and one number for every frame of motion."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lithe.files import write_json
from lithe.syntalker.words import Word, tokens

__all__ = ["PAD", "SPECIAL", "UNKNOWN", "Vocabulary", "frame_words"]

#: Indices 0 to 3, as released; a frame outside of all words is "unknown", one of silence padding.
SPECIAL = ("<pad>", "<sos>", "<eos>", "<unk>")
PAD, UNKNOWN = 0, 3


@dataclass(frozen=True)
class Vocabulary:
    """Known words in order; word ``k`` has index ``k + 4``. Source: SynTalker spec 4.3."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        twice = [word for word, n in Counter(self.words).items() if n > 1]
        if twice:
            raise ValueError(f"words occur twice: {twice[:5]}")

    @classmethod
    def build(cls, texts: Iterable[str], at_least: int = 1) -> Vocabulary:
        """Words of texts that occur ``at_least`` times, most frequent first, then by letter."""
        counts = Counter(word for text in texts for word in tokens(text))
        kept = [word for word, n in counts.items() if n >= at_least]
        return cls(tuple(sorted(kept, key=lambda word: (-counts[word], word))))

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: k + len(SPECIAL) for k, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words) + len(SPECIAL)

    def __getitem__(self, text: str) -> int:
        """Index of a word: 0 for a blank, 3 for what is not known."""
        if not text.strip():
            return PAD
        found = tokens(text)
        return self._index.get(found[0] if len(found) == 1 else text.lower(), UNKNOWN)

    def save(self, path: str | Path) -> None:
        """Write the words as JSON."""
        write_json(Path(path), {"words": list(self.words)})

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what :meth:`save` wrote."""
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        words = data.get("words") if isinstance(data, dict) else None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{Path(path).name} holds no list of words")
        return cls(tuple(words))


def frame_words(
    words: Sequence[Word], vocabulary: Vocabulary, frames: int, fps: float = 30.0, start: int = 0
) -> np.ndarray:
    """Index of the word that is being said in every frame of motion.

    Source: SynTalker spec 4.3: frame ``t`` takes the word whose interval holds ``t / fps``
    seconds; between words it is 3 (unknown).

    Args:
        words: in order of time.
        vocabulary: gives the indices.
        frames: how many.
        fps: frames a second.
        start: first frame.

    Returns:
        int64 ``(frames,)``.
    """
    times = (start + np.arange(frames)) / fps
    result = np.full(frames, UNKNOWN, np.int64)
    for word in words:
        result[(times >= word.start) & (times < word.end)] = vocabulary[word.text]
    return result
