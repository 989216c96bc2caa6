"""The network of stage 3: a denoiser with the ears that are trained together with it."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.denoiser import DENOISER_FULL, Denoiser, DenoiserConfig
from lithe.syntalker.first_weights import seeded
from lithe.syntalker.sound import clip_samples
from lithe.syntalker.speech_encoder import SpeechEncoder

__all__ = ["SpeechDenoiser"]


class SpeechDenoiser(nn.Module):
    """Speech encoder and denoiser.

    Source: SynTalker spec 4.2-4.4, 5.5, 6.1. At the released sizes it has 30.0 million parameters
    with prompts and 29.6 million without (spec 1.4), 3.4 million of them word vectors.

    Args:
        config: size of the denoiser.
        vocabulary: number of word indices; 11,195 as released.
        word_width: of a word vector; 300 as released.
        generator: source of the first weights; torch's global one if none is given.
    """

    def __init__(
        self,
        config: DenoiserConfig = DENOISER_FULL,
        vocabulary: int = 11_195,
        word_width: int = 300,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        with seeded(generator):
            self.ears = SpeechEncoder(vocabulary, config.speech, word_width, pool=DOWN)
            self.denoiser = Denoiser(config)
        self.config = config

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        sound: Tensor,
        words: Tensor,
        seed: Tensor,
        prompt: Tensor | None = None,
        unprompted: Tensor | None = None,
    ) -> Tensor:
        """Estimate clean latents ``(n, f, latent)``; what training looks at.

        Args:
            x_t: noisy latents ``(n, f, latent)``.
            t: step of the training chain, int64 ``(n,)``.
            sound: ``(n, samples, 2)``.
            words: int64 ``(n, 4 f)``.
            seed: first latents, clean ``(n, seed, latent)``.
            prompt: embeddings ``(n, prompt)``, or ``None``.
            unprompted: mask ``(n,)`` of samples whose prompt is left out.
        """
        return self.denoiser(x_t, t, self.ears(sound, words), seed, prompt, unprompted)

    def listen(self, sound: Tensor, words: Tensor) -> Tensor:
        """Encoded speech ``(n, f, speech)`` of sound ``(n, samples, 2)``, words ``(n, 4 f)``."""
        return self.ears(sound, words)

    def silence(self, latents: int) -> Tensor:
        """Encoded silence ``(1, latents, speech)``: zero sound, padding words (spec 4.5)."""
        frames = latents * DOWN
        place = self.denoiser.table.device
        sound, words = SpeechEncoder.silence(1, frames, clip_samples(frames).stop)
        return self.ears(sound.to(place), words.to(place))
