"""The stream: the same motion as at once, in memory that does not grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker import h3d
from lithe.syntalker.autoencoder import Decoder as ConvDecoder
from lithe.syntalker.denoiser import DenoiserConfig
from lithe.syntalker.heard import Heard
from lithe.syntalker.longform import Generation, Roll, generate_features
from lithe.syntalker.sampler import Sampling
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.streaming import REACH, Stream
from lithe.syntalker.timeline import Timeline
from lithe.syntalker.tracking import Tracker
from lithe.syntalker.vocabulary import Vocabulary
from lithe.syntalker.words import Word

CONFIG = DenoiserConfig(
    latent=12, width=16, layers=1, heads=2, hidden=16, rotary=8, speech=4, prompt=6, seed=2
)
LAYOUT = {"upper": slice(0, 4), "hands": slice(4, 8), "lower": slice(8, 12)}
VOCABULARY = Vocabulary.build(["hello there", "hello"])
TIMELINE = Timeline.parse([(0.5, 4.0, "lower", "walk"), (3.0, 99.0, "upper", "wave")])


class Codec:
    """The real decoder, narrow: it reaches as far as the wide one."""

    channels = LAYOUT

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.decoder = ConvDecoder(7, width=6, latent=12).eval()
        self.longest = 0

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        self.longest = max(self.longest, latents.shape[1])
        return self.decoder(latents.transpose(1, 2)).transpose(1, 2)


@pytest.fixture(scope="module")
def network() -> SpeechDenoiser:
    return SpeechDenoiser(CONFIG, 9, 5, generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    """Eight seconds of bursts over noise, 16 kHz."""
    rng = np.random.default_rng(0)
    t = np.arange(8 * 16_000 + 123)
    bursts = np.exp(-(t % 7000) / 900) * np.sin(t * 0.09) * (1 + (t // 7000) % 3)
    return (0.2 * bursts + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


WORDS = (Word(0.2, 0.7, "hello"), Word(2.0, 2.6, "there"), Word(5.1, 5.4, "hello"))


def roll(network: SpeechDenoiser, latents: int = 12) -> Roll:
    return Roll(
        network,
        LAYOUT,
        torch.zeros(1, 2, 12),
        prompts=torch.randn(2, 6, generator=torch.Generator().manual_seed(2)),
        generation=Generation(sampling=Sampling(steps=2, spacing="trailing"), latents=latents),
        generator=torch.Generator().manual_seed(0),
    )


def plan(start: int, latents: int):
    return TIMELINE.plan(latents, start=start)


def at_once(network: SpeechDenoiser, wave: np.ndarray, words=()) -> torch.Tensor:
    heard = Heard(VOCABULARY)
    heard.append(wave, words)
    covered = roll(network).windowing.covered(roll(network).windowing.count(heard.frames))
    return generate_features(roll(network), Codec(), heard, heard.frames, plan(0, covered))[0]


@pytest.mark.parametrize("piece", [1_000, 16_000, 500_000])
def test_a_stream_makes_the_motion_that_is_made_at_once(network, wave, piece):
    stream = Stream(roll(network), Heard(VOCABULARY), Codec(), plan)
    pieces = [wave[k : k + piece] for k in range(0, len(wave), piece)]
    found = torch.cat(list(stream.run(pieces)))
    wanted = at_once(network, wave)
    assert found.shape == wanted.shape == (240, 7)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_words_may_arrive_with_the_sound(network, wave):
    stream = Stream(roll(network), Heard(VOCABULARY), Codec(), plan)
    found = []
    for second in range(9):
        said = [w for w in WORDS if second <= w.start < second + 1]
        found += stream.push(wave[second * 16_000 : (second + 1) * 16_000], said)
    found = torch.cat([*found, *stream.close()])
    torch.testing.assert_close(found, at_once(network, wave, WORDS), atol=1e-4, rtol=0)
    assert (found - at_once(network, wave)).abs().max() > 1e-4  # words count


@pytest.mark.parametrize("samples", [534, 5_000, 25_600, 25_600 + 1024, 70_000])
def test_streams_of_any_length_are_whole(network, wave, samples):
    stream = Stream(roll(network), Heard(VOCABULARY), Codec(), plan)
    found = torch.cat(list(stream.run([wave[:samples]])))
    assert len(found) == int(samples / 16_000 * 30)
    torch.testing.assert_close(found, at_once(network, wave[:samples]), atol=1e-4, rtol=0)


def test_motion_comes_before_the_speech_has_ended(network, wave):
    def first(ahead: int, latents: int) -> float:
        stream = Stream(roll(network, latents), Heard(VOCABULARY), Codec(), plan, ahead)
        for k in range(0, len(wave), 1600):
            if list(stream.push(wave[k : k + 1600])):
                return (k + 1600) / 16_000
        raise AssertionError("no motion while speech arrived")

    # A window of 12 latents needs 1.6 s and 64 ms to look ahead; one of 6 half of that.
    assert first(0, 12) == pytest.approx(1.7)
    assert first(0, 6) == pytest.approx(0.9)
    assert first(REACH, 12) > first(4, 12) > 1.7 - 1e-9


def test_less_lookahead_leaves_all_frames_and_changes_some(network, wave):
    stream = Stream(roll(network), Heard(VOCABULARY), Codec(), plan, ahead=2)
    found = torch.cat(list(stream.run(np.array_split(wave, 20))))
    wanted = at_once(network, wave)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() > 1e-4


def test_what_is_not_taken_comes_later(network, wave):
    stream = Stream(roll(network), Heard(VOCABULARY), Codec(), plan)
    for piece in np.array_split(wave, 5):
        stream.push(piece)
    found = torch.cat(list(stream.close()))
    torch.testing.assert_close(found, at_once(network, wave), atol=1e-4, rtol=0)


def test_memory_does_not_grow_with_the_speech(network, wave):
    def peak(seconds: int) -> tuple[int, int, int]:
        heard, codec = Heard(VOCABULARY), Codec()
        stream = Stream(roll(network), heard, codec, plan)
        samples = latents = 0
        for k in range(seconds):
            words = [Word(k + 0.1, k + 0.5, "hello")]
            for _ in stream.push(wave[:16_000], words):
                pass
            samples, latents = max(samples, heard.remembered), max(latents, stream.held)
        assert len(heard._words) < 10
        return samples, latents, codec.longest

    short, long = peak(12), peak(36)
    assert long == short
    assert short[0] < 5 * 16_000


def test_the_decoder_reaches_as_far_as_the_stream_assumes():
    """By gradients: which latents does a frame in the middle depend on?"""
    decoder = ConvDecoder(3, width=4, latent=5).eval()
    for parameter in decoder.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    latents = torch.ones(1, 5, 101, requires_grad=True)
    for frame in range(200, 204):  # the four frames of latent 50
        (gradient,) = torch.autograd.grad(decoder(latents)[0, :, frame].sum(), latents)
        reached = gradient.abs().sum(1)[0].nonzero().flatten() - 50
        assert int(reached.abs().max()) <= REACH
    ends = [
        torch.autograd.grad(decoder(latents)[0, :, f].sum(), latents)[0].abs().sum(1)[0].nonzero()
        for f in (200, 203)
    ]
    assert int(ends[0].min()) - 50 == -REACH
    assert int(ends[1].max()) - 50 == REACH


def test_streams_refuse_what_they_cannot_do(network, wave):
    with pytest.raises(ValueError, match="ahead is 23"):
        Stream(roll(network), Heard(VOCABULARY), Codec(), plan, ahead=23)
    used = Heard(VOCABULARY)
    used.append(wave)
    with pytest.raises(ValueError, match="nothing heard"):
        Stream(roll(network), used, Codec(), plan)
    stream = Stream(roll(network), Heard(VOCABULARY), Codec(), plan)
    with pytest.raises(ValueError, match="NaN"):
        list(stream.push(np.array([0.0, np.nan])))
    with pytest.raises(ValueError, match="0 frames"):
        stream.close()
    stream.push(wave[:16_000])
    assert sum(len(features) for features in stream.close()) == 30
    with pytest.raises(ValueError, match="closed"):
        stream.push(wave)
    assert list(stream.close()) == []


# ---- hearing ----------------------------------------------------------------------------------


def test_what_is_forgotten_changes_no_later_window(wave):
    all_, some = Heard(VOCABULARY), Heard(VOCABULARY)
    for heard in (all_, some):
        heard.append(wave[:60_000], WORDS[:2])
    some.forget(80)
    for heard in (all_, some):
        heard.append(wave[60_000:], WORDS[2:])
    assert some.remembered < all_.remembered
    assert some.samples == all_.samples == len(wave)
    for a, b in zip(all_.window(80, 64), some.window(80, 64)):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="are held"):
        some.window(0, 64)
    with pytest.raises(ValueError, match="are held"):
        all_.window(400, 64)


def test_a_window_is_ready_when_more_sound_changes_nothing(wave):
    heard, whole = Heard(VOCABULARY), Heard(VOCABULARY)
    whole.append(wave)
    heard.append(wave[: 25_600 + 1023])
    assert not heard.ready(0, 48)
    heard.append(wave[25_600 + 1023 : 25_600 + 1024])
    assert heard.ready(0, 48)
    assert torch.equal(heard.window(0, 48)[0], whole.window(0, 48)[0])


def test_silence_is_told_as_no_speech():
    heard = Heard(VOCABULARY)
    heard.append(np.zeros(32_000, np.float32))
    sound, words = heard.window(0, 48)
    assert not sound.any()
    assert not words.any()


# ---- tracking ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walk() -> np.ndarray:
    """Features of a body of 22 joints that turns as it goes."""
    rng = np.random.default_rng(1)
    features = 0.1 * rng.standard_normal((90, 12 * 22 - 1))
    at = h3d.channels(22)
    features[:, at["yaw"]] = 0.03 + 0.02 * rng.standard_normal((90, 1))
    features[:, at["root"]] = (0.01, 0.04)
    return features.astype(np.float32)


@given(cuts=st.lists(st.integers(1, 89), max_size=8, unique=True))
@settings(max_examples=25)
def test_pieces_are_where_the_whole_would_put_them(walk, cuts):
    track = Tracker()
    pieces = [track(piece) for piece in np.split(walk, sorted(cuts))]
    np.testing.assert_allclose(np.concatenate(pieces), h3d.recover(walk), atol=1e-5)


def test_tracking_refuses_no_frames():
    with pytest.raises(ValueError, match="at least one frame"):
        Tracker()(np.zeros((0, 263)))
