"""Motion of any length: bookkeeping of windows, their seeds, their speech and their joins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.denoiser import DenoiserConfig
from lithe.syntalker.edit import keep
from lithe.syntalker.guidance import MIXTURES
from lithe.syntalker.heard import WholeSpeech
from lithe.syntalker.longform import (
    Generation,
    Roll,
    Windowing,
    generate_features,
    generate_latents,
    joins,
    neutral_seed,
)
from lithe.syntalker.sampler import Sampling
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.timeline import Timeline
from lithe.syntalker.vqvae import CodecConfig

CONFIG = DenoiserConfig(
    latent=12, width=16, layers=1, heads=2, hidden=16, rotary=8, speech=4, prompt=6, seed=2
)
LAYOUT = {"upper": slice(0, 4), "hands": slice(4, 8), "lower": slice(8, 12)}
QUICK = Generation(sampling=Sampling(steps=3, spacing="trailing"), latents=8)
FRAMES = 75  # 19 latents: windows of 8, then 6 and 6 new ones


@pytest.fixture(scope="module")
def network() -> SpeechDenoiser:
    return SpeechDenoiser(CONFIG, 9, 5, generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def speech() -> WholeSpeech:
    g = torch.Generator().manual_seed(1)
    return WholeSpeech(
        torch.rand(1, 43_000, 2, generator=g), torch.randint(3, 9, (1, 80), generator=g)
    )


def roll(network: SpeechDenoiser, n: int = 1, seed: int = 0, **changed) -> Roll:
    return Roll(
        network,
        LAYOUT,
        torch.zeros(n, 2, 12),
        prompts=torch.randn(2, 6, generator=torch.Generator().manual_seed(2)),
        generation=QUICK.model_copy(update=changed),
        generator=torch.Generator().manual_seed(seed),
    )


PLAN = Timeline.parse({"lower": "walk", "upper": "wave"}).plan(19)


# ---- bookkeeping ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "released", "made", "ours"),
    [(128, 1, 128, 1), (240, 2, 240, 2), (1906, 16, 1808, 17)],
)
def test_windows_of_the_released_code_and_ours(frames, released, made, ours):
    windowing = Windowing()
    assert windowing.released_count(frames) == released
    assert windowing.covered(released) * 4 == made
    assert windowing.count(frames) == ours
    assert windowing.covered(ours) * 4 >= frames


def test_the_released_code_makes_nothing_of_a_short_clip_and_we_do():
    with pytest.raises(ValueError, match="nothing of 127 frames; give at least 128"):
        Windowing().released_count(127)
    assert Windowing().count(1) == 1


@given(
    latents=st.integers(2, 40),
    overlap=st.integers(1, 39),
    frames=st.integers(1, 5000),
)
def test_windows_cover_all_frames_and_none_is_needless(latents, overlap, frames):
    if overlap >= latents:
        with pytest.raises(ValueError, match="an overlap"):
            Windowing(latents, overlap)
        return
    windowing = Windowing(latents, overlap)
    count = windowing.count(frames)
    assert windowing.covered(count) * 4 >= frames
    assert count == 1 or windowing.covered(count - 1) * 4 < frames
    edges = windowing.edges(frames)
    assert len(edges) == count - 1
    assert edges == [windowing.covered(k) * 4 for k in range(1, count)]


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="0 frames"):
        Windowing().count(0)


# ---- windows ----------------------------------------------------------------------------------


def test_windows_are_made_one_by_one_and_seeded_by_the_last(network, speech):
    whole = generate_latents(roll(network), speech, FRAMES, PLAN)
    assert whole.shape == (1, 20, 12)
    again = roll(network)
    first = again.next(speech, PLAN.window(0, 8))
    assert torch.equal(again.seed, first[:, -2:])
    second = again.next(speech, PLAN.window(6, 8))
    assert first.shape[1] == 8
    assert second.shape[1] == 6
    assert torch.equal(whole[:, :14], torch.cat([first, second], 1))


def test_the_seed_of_a_window_matters(network, speech):
    one = generate_latents(roll(network), speech, 20, PLAN)
    other = roll(network)
    other.seed = torch.ones(1, 2, 12)
    assert (one - generate_latents(other, speech, 20, PLAN)).abs().max() > 1e-4


def test_released_bookkeeping_drops_the_remainder(network, speech):
    dropped = generate_latents(roll(network), speech, FRAMES, PLAN, remainder="drop")
    kept = generate_latents(roll(network), speech, FRAMES, PLAN)
    assert dropped.shape[1] == 14
    assert torch.equal(dropped, kept[:, :14])


def test_the_same_seed_makes_the_same_motion(network, speech):
    one, same, other = (
        generate_latents(roll(network, seed=s), speech, FRAMES, PLAN) for s in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert (one - other).abs().max() > 1e-2


def test_later_speech_changes_no_earlier_window(network, speech):
    changed = WholeSpeech(speech.sound.clone(), speech.words.clone())
    changed.sound[:, 32 * 534 :] = 0
    changed.words[:, 32:] = 4
    one, two = (generate_latents(roll(network), s, FRAMES, PLAN) for s in (speech, changed))
    assert torch.equal(one[:, :8], two[:, :8])
    assert not torch.equal(one[:, 8:], two[:, 8:])


def test_speech_is_encoded_once_a_window_and_silence_once(network, speech, monkeypatch):
    heard = []
    ears = network.ears.forward

    def counted(sound, words):
        heard.append(bool(sound.any()))
        return ears(sound, words)

    monkeypatch.setattr(network.ears, "forward", counted)
    generate_latents(roll(network), speech, FRAMES, PLAN)
    assert heard == [False, True, True, True]


def test_a_clamped_seed_is_where_the_window_begins(network, speech):
    clamped = roll(network, clamp_seed=True)
    clamped.seed = torch.full((1, 2, 12), 0.7)
    found = generate_latents(clamped, speech, 20, PLAN)
    assert torch.equal(found[:, :2], torch.full((1, 2, 12), 0.7))
    free = roll(network)
    free.seed = torch.full((1, 2, 12), 0.7)
    assert not torch.equal(generate_latents(free, speech, 20, PLAN)[:, :2], found[:, :2])


@pytest.mark.parametrize("guidance", [*MIXTURES, "released"])
def test_every_guidance_makes_motion_at_its_price(network, speech, guidance):
    made = roll(network, guidance=guidance)
    found = generate_latents(made, speech, 20, PLAN)
    assert torch.isfinite(found).all()
    calls = {"separate": 4, "whole_body": 4, "prompt_only": 3, "audio_only": 1, "joint": 3}
    assert made.calls == 3 * (calls | {"released": 9})[guidance]


def test_released_and_separate_make_the_same_motion(network, speech):
    one, two = (
        generate_latents(roll(network, guidance=g), speech, FRAMES, PLAN)
        for g in ("released", "separate")
    )
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_strength_zero_with_speech_is_speech_alone_to_the_bit(network, speech):
    timeline = Timeline.parse({"lower": "walk", "upper": "wave"})
    plan = timeline.plan(19, strength=0.0, speaking=tuple(LAYOUT))
    separate = generate_latents(roll(network), speech, FRAMES, plan)
    alone = generate_latents(roll(network, guidance="audio_only"), speech, FRAMES, PLAN)
    assert torch.equal(separate, alone)


def test_a_prompt_is_heeded_from_its_window_on(network, speech):
    late = Timeline.parse([(2.0, 9.0, "lower", "walk")]).plan(19)
    never = Timeline.parse(None).plan(19)
    one, two = (generate_latents(roll(network), speech, FRAMES, p) for p in (late, never))
    assert torch.equal(one[:, :14], two[:, :14])  # the second window ends at 1.87 s
    assert not torch.equal(one[:, 14:], two[:, 14:])


def test_several_samples_share_speech_and_differ_in_noise(network, speech):
    found = generate_latents(roll(network, n=3), speech, 20, PLAN)
    assert found.shape == (3, 8, 12)
    assert (found[0] - found[1]).abs().max() > 1e-2


def test_editing_keeps_arms_over_all_windows_and_makes_new_legs(network, speech):
    first = generate_latents(roll(network), speech, FRAMES, PLAN)
    other = Timeline.parse({"lower": "wave"}).plan(19)
    kept = keep(first, LAYOUT, parts=("upper", "hands"))
    edited = generate_latents(roll(network), speech, FRAMES, other, kept=kept)
    assert torch.equal(edited[..., :8], first[..., :8])
    assert (edited[..., 8:] - first[..., 8:]).abs().amax((0, 2)).min() > 1e-4


def test_features_are_decoded_in_one_pass_and_cut_to_the_frames(network, speech):
    class Codec:
        channels, seen = LAYOUT, []

        def decode(self, latents):
            self.seen.append(latents.shape)
            return latents.repeat_interleave(4, 1)

    codec = Codec()
    found = generate_features(roll(network), codec, speech, FRAMES, PLAN)
    assert found.shape == (1, FRAMES, 12)
    assert codec.seen == [(1, 20, 12)]


def test_the_real_codec_takes_what_is_made(speech):
    sizes = CodecConfig(width=8, latent=4, layers=2, codes=8)
    body = {"upper": range(5), "hands": range(5, 7), "lower": range(7, 11)}
    codec = BodyCodec(body, sizes, generator=torch.Generator().manual_seed(0)).eval()
    for k, model in enumerate(codec.models.values()):
        codes = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(k))
        model.quantizer.set_codebooks(codes)
    network = SpeechDenoiser(CONFIG, 9, 5, generator=torch.Generator().manual_seed(0))
    seed = neutral_seed(codec.encode, codec.normaliser.mean, CONFIG.seed)
    made = Roll(network, codec.channels, seed, generation=QUICK)
    plan = Timeline.parse(None).plan(19)
    found = generate_features(made, codec, speech, FRAMES, plan)
    assert found.shape == (1, FRAMES, 11)
    assert torch.isfinite(found).all()


def test_training_mode_is_left_as_it_was(network, speech):
    network.train()
    made = generate_latents(roll(network), speech, 20, PLAN)
    assert network.training
    assert network.denoiser.blocks[0].training
    network.eval()
    assert torch.equal(made, generate_latents(roll(network), speech, 20, PLAN))


def test_what_does_not_fit_is_refused(network, speech):
    with pytest.raises(ValueError, match="of one size"):
        Roll(network, {"upper": slice(0, 6)}, torch.zeros(1, 2, 12))
    with pytest.raises(ValueError, match="the seed is"):
        Roll(network, LAYOUT, torch.zeros(1, 3, 12))
    with pytest.raises(ValueError, match="belong together"):
        Roll(network, LAYOUT, torch.zeros(1, 2, 12), prompts=torch.zeros(1, 7))
    with pytest.raises(ValueError, match="guidance"):
        Generation(guidance="strong")
    turned = Timeline.parse(None, parts=("lower", "hands", "upper")).plan(19)
    with pytest.raises(ValueError, match="parse the timeline with these parts"):
        generate_latents(roll(network), speech, 20, turned)
    used = roll(network)
    used.next(speech, PLAN.window(0, 8))
    with pytest.raises(ValueError, match="1 windows already"):
        generate_latents(used, speech, 20, PLAN)


# ---- speech -----------------------------------------------------------------------------------


def test_speech_is_cut_where_its_frames_are():
    sound = torch.arange(130_000.0)[None, :, None].expand(1, -1, 2)
    whole, words = WholeSpeech(sound, torch.arange(240)[None]), torch.arange(240)
    for start in (0, 112, 224):
        piece, said = whole.window(start, 128)
        assert piece.shape == (1, 68_266, 2)
        assert float(piece[0, 0, 0]) == int(start * 16_000 / 30)
        assert torch.equal(said[0, : 240 - start], words[start : start + 128])
    released = WholeSpeech(sound, torch.arange(240)[None], released=True).window(112, 128)[0]
    assert released.shape[1] == 128 * 533
    assert float(released[0, 0, 0]) == 112 * 533


def test_past_its_end_speech_is_silence():
    talk = WholeSpeech(torch.ones(1, 5333, 2), torch.full((1, 10), 7))
    sound, words = talk.window(8, 8)
    assert sound.shape == (1, 4266, 2)
    assert not sound[:, 5333 - 4266 :].any()
    assert words.tolist() == [[7, 7] + [3] * 6]
    silence = WholeSpeech(torch.zeros(1, 5333, 2), torch.zeros(1, 10, dtype=torch.long))
    assert silence.window(8, 8)[1].tolist() == [[0] * 8]


def test_speech_without_frames_is_refused():
    with pytest.raises(ValueError, match=r"sound .* and words"):
        WholeSpeech(torch.zeros(1, 5, 2), torch.zeros(1, 0, dtype=torch.long))


# ---- seeds and joins --------------------------------------------------------------------------


def test_the_neutral_seed_is_the_beginning_of_a_clip_of_standing():
    rest = torch.arange(5.0)
    seen = []

    def encode(features):
        seen.append(features)
        return features[:, ::4].cumsum(1)

    seed = neutral_seed(encode, rest, latents=3, frames=32)
    assert torch.equal(seen[0], rest.expand(1, 32, 5))
    assert torch.equal(seed[0], rest * torch.tensor([[1.0], [2.0], [3.0]]))


def test_joins_see_a_jump_at_an_edge():
    t = torch.arange(30.0)
    positions = (0.01 * t)[:, None, None].repeat(1, 2, 3)
    positions[20:] += torch.tensor([0.3, 0.0, 0.4])
    found = joins(positions, [10, 20])
    step = 0.01 * 3**0.5
    jump = float(torch.tensor([0.31, 0.01, 0.41]).norm())
    assert found.elsewhere == pytest.approx(step, rel=1e-4)
    assert found.at == pytest.approx((step + jump) / 2, rel=1e-4)
    assert found.worst == pytest.approx(jump, rel=1e-4)
    assert np.isclose(joins(positions, [10]).at, step)


@pytest.mark.parametrize("edges", [[], [0], [30], list(range(1, 30))])
def test_joins_refuse_edges_that_are_none(edges):
    with pytest.raises(ValueError, match="edges"):
        joins(torch.zeros(30, 2, 3), edges)
