"""Frozen language models that turn captions into vectors: one of hashes, one of MiniLM."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Embedded", "HashingEncoder", "TextEncoder", "padded", "refuse_bad_captions"]

#: Words that say nothing about a motion.
ARTICLES = ("a", "an", "the", "is", "are", "and", "with", "to", "of", "in", "on")
STOP = {*ARTICLES, "their", "his", "her", "its", "person", "someone"}
STOP_WEIGHT = 0.1
GRAMS = (3, 4, 5)


class Embedded(NamedTuple):
    """Captions as vectors.

    Attributes:
        words: word (or word piece) vectors ``(n, s, width)``, 0 where a caption has no more.
        spoken: mask ``(n, s)`` of the words there are.
        sentences: one vector of length 1 for each whole caption ``(n, width)``.
    """

    words: Tensor
    spoken: Tensor
    sentences: Tensor

    def pick(self, index: Tensor) -> Embedded:
        """The captions of these numbers ``(m,)``, cut to the longest of them."""
        spoken = self.spoken[index]
        s = int(spoken.sum(1).max())
        return Embedded(self.words[index, :s], spoken[:, :s], self.sentences[index])

    def to(self, device: torch.device) -> Embedded:
        """The same on another device."""
        return Embedded(*(tensor.to(device) for tensor in self))


@runtime_checkable
class TextEncoder(Protocol):
    """What the aligned space asks of a language model.

    Attributes:
        width: of its vectors.
        fingerprint: names the model and its weights; part of the cache's keys and of records.
    """

    width: int
    fingerprint: str

    def __call__(self, captions: Sequence[str]) -> Embedded:
        """Vectors of captions; the same captions always get the same vectors."""
        ...


def refuse_bad_captions(captions: Sequence[str]) -> None:
    """Refuse what is no list of captions.

    Raises:
        TypeError: one string instead of several, or an entry that is no string.
        ValueError: no caption, or one without a word.
    """
    if isinstance(captions, str):
        raise TypeError(f"give several captions, not the one string {captions!r}")
    if not len(captions):
        raise ValueError("no caption to encode")
    for caption in captions:
        if not isinstance(caption, str):
            raise TypeError(f"a caption is a string, got {type(caption).__name__}")
        if not _spelt(caption):
            raise ValueError(f"the caption {caption!r} has no word")


class HashingEncoder:
    """Word vectors out of hashes of letters: no weights, no download, the same everywhere.

    A word is the mean of random vectors of its letter n-grams and of the whole word, so that
    *walk*, *walks* and *walking* lie close. It knows no synonyms: that is what a language model
    is for.

    Args:
        width: of the vectors.

    Raises:
        ValueError: ``width`` is below 8.
    """

    def __init__(self, width: int = 128) -> None:
        if width < 8:
            raise ValueError(f"width is {width}; below 8 all words look alike")
        self.width = width
        self.fingerprint = f"hashing-{width}-1"

    def __call__(self, captions: Sequence[str]) -> Embedded:
        """Vectors of captions; see :class:`TextEncoder`."""
        refuse_bad_captions(captions)
        spelt = [_spelt(caption) for caption in captions]
        rows = [torch.stack([_word(word, self.width) for word in words]) for words in spelt]
        weights = [torch.tensor([STOP_WEIGHT if w in STOP else 1.0 for w in ws]) for ws in spelt]
        sentences = torch.stack([weight @ row for weight, row in zip(weights, rows)])
        return padded(rows, F.normalize(sentences, dim=1))


def _spelt(caption: str) -> list[str]:
    """Lower-case words and numbers."""
    return re.findall(r"[^\W_]+", caption.lower())


@lru_cache(maxsize=4096)
def _word(word: str, width: int) -> Tensor:
    """The vector of a word, of length about 1."""
    marked = f"<{word}>"
    grams = {marked[k : k + n] for n in GRAMS for k in range(len(marked) - n + 1)} | {marked}
    total = np.sum([_random(gram, width) for gram in sorted(grams)], axis=0)
    return torch.from_numpy(total / np.linalg.norm(total)).float()


def _random(text: str, width: int) -> np.ndarray:
    """Numbers, uniform in -1..1, that depend on the text alone."""
    bits = np.frombuffer(hashlib.shake_256(text.encode()).digest(4 * width), dtype="<u4")
    return bits / 2.0**31 - 1.0


def padded(rows: Sequence[Tensor], sentences: Tensor) -> Embedded:
    """Captions of different lengths side by side.

    Args:
        rows: word vectors of each caption ``(s, width)``.
        sentences: vectors of the whole captions ``(n, width)``.
    """
    words = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return Embedded(words, torch.arange(words.shape[1]) < lengths[:, None], sentences)
