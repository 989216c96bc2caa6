"""The wave encoder against the original's numbers, and the fusion of sound and words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lithe.syntalker.speech_encoder import SpeechEncoder
from lithe.syntalker.wave_encoder import WaveEncoder


def test_wave_encoder_is_golden(golden: Path):
    with np.load(golden / "syntalker_modules.npz") as file:
        prefix = "wav_encoder_out8/w/feat_extractor."
        weights = {
            "blocks." + key.removeprefix(prefix): torch.tensor(file[key])
            for key in file.files
            if key.startswith(prefix)
        }
        sound, expected = (torch.tensor(file[f"wav_encoder_out8/{k}"]) for k in ("in", "out"))
    encoder = WaveEncoder(8).eval()
    encoder.load_state_dict(weights)
    with torch.no_grad():
        torch.testing.assert_close(encoder(sound), expected, atol=1e-5, rtol=0)


def test_wave_encoder_has_the_size_and_frames_of_the_original():
    assert sum(p.numel() for p in WaveEncoder().parameters()) == pytest.approx(3.33e6, rel=1e-3)
    encoder = WaveEncoder(8).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 68_266, 2)).shape == (1, 128, 8)
        assert encoder(torch.zeros(1, 34_133, 2)).shape == (1, 64, 8)


def test_wave_encoder_sees_what_the_spec_says():
    """Total stride 540 and 19,475 samples: a pulse moves exactly the frames that see it."""
    encoder = WaveEncoder(4).eval().double()  # the outermost taps are lost to rounding in float32
    sound = torch.zeros(1, 60_000, 2).double()
    with torch.no_grad():
        still = encoder(sound)
        sound[0, 30_000] = 50.0
        moved = (encoder(sound) - still).abs().sum(2)[0].nonzero().flatten()
    assert len(moved) == pytest.approx(19_475 / 540, abs=1)
    assert float(moved.float().mean()) == pytest.approx((30_000 + 190) / 540, abs=0.6)


def test_speech_encoder_gives_one_vector_a_latent_frame():
    encoder = SpeechEncoder(vocabulary=10, width=8, word_width=6).eval()
    words = torch.arange(128)[None] % 10
    out = encoder(torch.zeros(1, 68_266, 2), words)
    assert out.shape == (1, 32, 8)
    with torch.no_grad():  # by hand
        a = encoder.wave(torch.zeros(1, 68_266, 2))
        w = encoder.word(encoder.embedding(words))
        fused = encoder.fuse(torch.cat([a, w], 2))
        torch.testing.assert_close(out, fused.view(1, 32, 4, 8).mean(2))


def test_speech_encoder_fits_lengths_at_which_the_stride_has_drifted():
    encoder = SpeechEncoder(vocabulary=10, width=4, word_width=3).eval()
    samples = int(400 / 30 * 16000)
    assert encoder.wave(torch.zeros(1, samples, 2)).shape[1] != 400
    assert encoder(torch.zeros(1, samples, 2), torch.zeros(1, 400).long()).shape == (1, 100, 4)
    sound, words = SpeechEncoder.silence(2, 64, 34_133)
    assert encoder(sound, words).shape == (2, 16, 4)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="width is 6"):
        WaveEncoder(6)
    with pytest.raises(ValueError, match=r"\(1, 100\)"):
        WaveEncoder(8)(torch.zeros(1, 100))
    encoder = SpeechEncoder(10, 4, 3)
    with pytest.raises(ValueError, match="multiple of 4"):
        encoder(torch.zeros(1, 4000, 2), torch.zeros(1, 6).long())
