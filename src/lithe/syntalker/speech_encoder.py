"""Sound and words of speech together: one vector for every latent frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.syntalker.vocabulary import PAD
from lithe.syntalker.wave_encoder import WaveEncoder

__all__ = ["SpeechEncoder"]


class SpeechEncoder(nn.Module):
    """Wave encoder and word vectors, fused and averaged over the frames of a latent.

    Source: SynTalker spec 4.3, 4.4. The original starts its word vectors from fastText and trains
    them; here they start random, and :attr:`embedding` can be filled from outside.

    Args:
        vocabulary: number of word indices.
        width: of each branch and of the result.
        word_width: of a word vector.
        pool: frames of motion a latent frame covers.
    """

    def __init__(
        self, vocabulary: int, width: int = 256, word_width: int = 300, pool: int = 4
    ) -> None:
        super().__init__()
        self.wave = WaveEncoder(width)
        self.embedding = nn.Embedding(vocabulary, word_width)
        self.word = nn.Linear(word_width, width)
        self.fuse = nn.Linear(2 * width, width)
        self.pool = pool

    def forward(self, sound: Tensor, words: Tensor) -> Tensor:
        """Encode speech.

        Args:
            sound: ``(n, samples, 2)`` from :func:`lithe.syntalker.speech.speech_features`.
            words: int64 ``(n, t)``, ``t`` a multiple of ``pool``.

        Returns:
            ``(n, t / pool, width)``.

        Raises:
            ValueError: ``t`` is no multiple of ``pool``, or batches differ.
        """
        n, t = words.shape
        if t % self.pool or len(sound) != n:
            raise ValueError(
                f"sound {tuple(sound.shape)} with words {(n, t)}: batches must agree and frames "
                f"be a multiple of {self.pool}"
            )
        a = _as_many(self.wave(sound), t)
        fused = self.fuse(torch.cat([a, self.word(self.embedding(words))], dim=2))
        return F.avg_pool1d(fused.transpose(1, 2), self.pool).transpose(1, 2)

    @staticmethod
    def silence(n: int, frames: int, samples: int) -> tuple[Tensor, Tensor]:
        """What "no speech" is to the encoder: zero sound, padding words (spec 4.5)."""
        return torch.zeros(n, samples, 2), torch.full((n, frames), PAD)


def _as_many(x: Tensor, frames: int) -> Tensor:
    """As many frames as the motion has: the encoder's stride drifts on clips longer than 128."""
    if x.shape[1] == frames:
        return x
    stretched = F.interpolate(x.transpose(1, 2), frames, mode="linear", align_corners=False)
    return stretched.transpose(1, 2)
