"""Bundles of first weights, for what needs the sizes and not the skill: speed, memory, tests."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator

from lithe.syntalker import h3d
from lithe.syntalker.bundle import Bundle
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.denoiser import DENOISER_FULL, DENOISER_SMALL
from lithe.syntalker.longform import neutral_seed
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.space import SPACE_FULL, SPACE_SMALL, AlignedSpace
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.text import HashingEncoder
from lithe.syntalker.vocabulary import SPECIAL, Vocabulary
from lithe.syntalker.vqvae import FULL, SMALL

__all__ = ["SIZES", "random_bundle"]

#: Codec, space, denoiser, words of the vocabulary, width of a word's vector, latents of a window.
SIZES = {
    "full": (FULL, SPACE_FULL, DENOISER_FULL, 11_195, 300, 32),
    "small": (SMALL, SPACE_SMALL, DENOISER_SMALL, 200, 32, 16),
}


def random_bundle(size: Literal["full", "small"], generator: Generator) -> Bundle:
    """Models of a size with first weights.

    Args:
        size: ``"full"``: the released sizes (SynTalker spec 1.4, 3, 5.1); ``"small"``.
        generator: of the weights.

    Raises:
        ValueError: another size.
    """
    if size not in SIZES:
        raise ValueError(f"no size {size!r}; there are: {', '.join(SIZES)}")
    coded, spaced, denoiser, words, word_width, latents = SIZES[size]
    rest = torch.zeros(623)
    normaliser = Normaliser(rest, torch.ones(623))
    codec = BodyCodec(h3d.PARTS, coded, normaliser=normaliser, generator=generator)
    for part in codec.models.values():
        book = part.quantizer.codebooks
        part.quantizer.set_codebooks(torch.randn(book.shape, generator=generator))
    text = HashingEncoder()
    space = AlignedSpace(623, text.width, spaced, normaliser=normaliser, generator=generator)
    vocabulary = Vocabulary(tuple(f"word{k}" for k in range(words - len(SPECIAL))))
    network = SpeechDenoiser(denoiser, words, word_width, generator=generator)
    seed = neutral_seed(codec.eval().encode, rest, denoiser.seed, latents * 4)
    return Bundle(codec, space, network, vocabulary, text, seed, latents, size)
