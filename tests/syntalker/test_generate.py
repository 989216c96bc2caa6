"""From a voice and prompts to a motion, through tiny models with first weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lithe import syntalker
from lithe.syntalker import __main__ as command
from lithe.syntalker import h3d, pipeline
from lithe.syntalker.bundle import Bundle, BundleError
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.denoiser import DenoiserConfig
from lithe.syntalker.longform import neutral_seed
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.pipeline import Keep, generate, stream, take
from lithe.syntalker.sampler import Sampling
from lithe.syntalker.sound import save
from lithe.syntalker.space import AlignedSpace, SpaceConfig
from lithe.syntalker.speech import Speech
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.text import HashingEncoder
from lithe.syntalker.vocabulary import Vocabulary
from lithe.syntalker.vqvae import CodecConfig
from lithe.syntalker.world import talker

CODEC = CodecConfig(width=8, latent=8, layers=2, codes=8, temperature=0.01, dropout=0.0)
SPACE = SpaceConfig(width=16, layers=1, feedforward=16, dropout=0.0, unit=True)
NET = DenoiserConfig(
    latent=24, width=32, layers=1, heads=2, hidden=32, rotary=16, speech=8, prompt=16
)
WALK = "a person walks forward"


def fresh(**changed) -> Bundle:
    generator = torch.Generator().manual_seed(changed.pop("first", 0))
    norm = Normaliser(torch.full((623,), 0.1), torch.full((623,), 0.05))
    text = HashingEncoder(32)
    codec = BodyCodec(h3d.PARTS, CODEC, normaliser=norm, scale=1.0, generator=generator)
    for part in codec.models.values():  # as trained: without codes everything decodes alike
        part.quantizer.set_codebooks(torch.randn(2, 8, 8, generator=generator) / 4)
    space = AlignedSpace(623, 32, SPACE, normaliser=norm, generator=generator)
    vocabulary = Vocabulary(("big", "walk"))
    network = SpeechDenoiser(NET, len(vocabulary), 8, generator=generator)
    seed = neutral_seed(codec.eval().encode, norm.mean, 4, 64)
    parts = [codec, space, network, vocabulary, text, seed]
    given = dict(zip(("codec", "space", "network", "vocabulary", "text", "seed"), parts))
    return Bundle(**(given | {"latents": 16, "preset": "tiny"} | changed))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return fresh()


@pytest.fixture(scope="module")
def voice() -> Speech:
    return talker(3, 3.0).speech


def same(a, b) -> bool:
    return np.array_equal(a.positions, b.positions)


def test_a_motion_has_sound_prompts_and_the_length_of_the_voice(bundle, voice):
    motion = syntalker.generate(voice, None, {"lower": WALK}, 7, bundle=bundle, steps=2)
    assert motion.positions.shape == (90, 52, 3)
    assert motion.fps == 30
    assert [(p.part, p.text, p.start, p.end) for p in motion.prompts] == [("lower", WALK, 0, 3)]
    assert motion.audio[1] == 16000
    assert np.array_equal(motion.audio[0], voice.wave)


def test_the_seed_decides_and_nothing_else_does(bundle, voice):
    one = generate(voice, seed=1, bundle=bundle, steps=2)
    torch.manual_seed(99)
    assert same(one, generate(voice, seed=1, bundle=bundle, steps=2))
    assert not same(one, generate(voice, seed=2, bundle=bundle, steps=2))


def test_prompts_transcript_strength_and_guidance_reach_the_motion(bundle, voice):
    plain = generate(voice.wave, seed=1, bundle=bundle, steps=2)
    said = generate(voice.wave, "walk big walk", seed=1, bundle=bundle, steps=2)
    asked = generate(voice.wave, None, {"lower": WALK}, 1, bundle=bundle, steps=2)
    weak = generate(voice.wave, None, {"lower": WALK}, 1, bundle=bundle, steps=2, strength=1.0)
    timed = generate(voice.wave, None, [(0, 1, "lower", WALK)], 1, bundle=bundle, steps=2)
    whole = generate(
        voice.wave, None, {"lower": WALK}, 1, bundle=bundle, steps=2, guidance="whole_body"
    )
    motions = [plain, said, asked, weak, timed, whole]
    for k, one in enumerate(motions):
        assert not any(same(one, other) for other in motions[k + 1 :])


def test_a_prompt_of_strength_zero_is_as_no_prompt_where_speech_stays(bundle, voice):
    silent = take(voice, seed=1, bundle=bundle, steps=2)
    nothing = take(
        voice, None, {"upper": WALK}, 1, bundle=bundle, steps=2, strength=0.0, speaking=("upper",)
    )
    assert torch.equal(silent.latents, nothing.latents)


@pytest.mark.parametrize("frames", [4, 63, 64, 65, 113, 130])
def test_any_length_is_made(bundle, frames):
    speech = Speech(np.sin(np.arange(round(frames / 30 * 16000) + 1) * 0.1).astype(np.float32))
    made = take(speech, bundle=bundle, steps=1)
    assert len(made.motion) == len(made.features) == frames
    assert made.latents.shape[1] == -(-frames // 4)


def test_new_legs_leave_the_rest_bit_exact(bundle, voice):
    old = take(voice, seed=1, bundle=bundle, steps=2)
    held = Keep(old, parts=("upper", "hands"))
    new = take(voice, None, {"lower": WALK}, 5, bundle=bundle, steps=2, keep=held)
    for part, channels in bundle.codec.parts.items():
        equal = torch.equal(new.features[:, channels], old.features[:, channels])
        assert equal == (part != "lower")
    kept = bundle.codec.channels["hands"]
    assert torch.equal(new.latents[..., kept], old.latents[..., kept])


def test_kept_frames_of_a_plain_motion_stay_and_the_rest_is_new(bundle, voice):
    old = generate(voice, seed=1, bundle=bundle, steps=2)
    made = take(voice, seed=2, bundle=bundle, steps=2, keep=Keep(old, frames=[(0, 30), (60, 90)]))
    original = pipeline._features(old, 623)
    same_frames = (made.features == original).all(1)
    assert same_frames[:28].all()
    assert same_frames[60:].all()
    assert not same_frames[28:60].any()


def test_a_saved_motion_can_be_edited(bundle, voice, tmp_path):
    old = generate(voice, seed=1, bundle=bundle, steps=2)
    read = syntalker.Motion.load(old.save(tmp_path / "old.npz"))
    new = generate(voice, seed=3, bundle=bundle, steps=2, keep=Keep(read, parts="lower"))
    assert len(new) == len(old)


def test_a_stream_gives_the_frames_of_the_voice(bundle, voice):
    live = stream({"lower": WALK}, 4, bundle=bundle, steps=2)
    pieces = list(live.run(np.array_split(voice.wave, 7)))
    assert sum(len(piece) for piece in pieces) == 90
    again = list(stream({"lower": WALK}, 4, bundle=bundle, steps=2).run([voice.wave]))
    torch.testing.assert_close(torch.cat(pieces), torch.cat(again), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompts": {"tail": "wags"}}, "no part 'tail'"),
        ({"prompts": {"lower": " "}}, "empty"),
        ({"prompts": {"lower": "walk " * 2000}}, r"9999 characters.*timeline"),
        ({"prompts": [(0, 2, "lower", "a"), (1, 3, "lower", "b")]}, "two prompts at 1 s"),
        ({"prompts": [(9, 10, "lower", "a")]}, "the motion lasts"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 5000}, "steps is 5000"),
        ({"guidance": "magic"}, "no guidance 'magic'; there are separate"),
        ({"audio": np.zeros(0, np.float32)}, "no samples"),
        ({"audio": np.zeros(100, np.float32)}, "give more"),
        ({"audio": (np.zeros(3 * 3600 * 100, np.float32), 100)}, "180 minutes of audio"),
        ({"audio": "nowhere.wav"}, "no audio file at nowhere.wav"),
        ({"audio": np.full(16000, np.nan)}, "NaN"),
        ({"transcript": "hello"}, "leave the transcript out"),
        ({"bundle": "nowhere"}, "holds no bundle.json"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(bundle, voice, changed, message):
    asked = {"audio": voice, "bundle": bundle, "steps": 1} | changed
    with pytest.raises(ValueError, match=message):
        generate(**asked)


@pytest.mark.parametrize(
    "changed",
    [{"audio": 3}, {"prompts": "walk"}, {"steps": 2.5}, {"bundle": 3}, {"audio": {}}],
)
def test_things_of_another_kind_are_refused(bundle, voice, changed):
    with pytest.raises(TypeError):
        generate(**({"audio": voice, "bundle": bundle, "steps": 1} | changed))


def test_keeping_what_does_not_fit_is_refused(bundle, voice):
    old = generate(voice, bundle=bundle, steps=1)
    for keep, message in (
        (Keep(old.cut(0, 50), parts="upper"), "50 frames, the audio 90"),
        (Keep(old, parts="tail"), "no part 'tail'"),
        (Keep(old, frames=[(80, 200)]), "to keep"),
        (Keep(old.resampled(15), parts="upper"), "15 frames a second"),
    ):
        with pytest.raises(ValueError, match=message):
            generate(voice, bundle=bundle, steps=1, keep=keep)
    with pytest.raises(ValueError, match="say what to keep"):
        Keep(old)
    with pytest.raises(TypeError, match="a motion is kept"):
        Keep("old")


def test_telephone_sound_and_seven_channels_are_brought_to_one_form(bundle, tmp_path):
    import soundfile

    wave = np.sin(np.arange(8000) * 0.2).astype(np.float32)
    soundfile.write(tmp_path / "seven.wav", np.stack([wave] * 7, 1), 8000)
    from_file = generate(tmp_path / "seven.wav", bundle=bundle, steps=1)
    from_samples = generate((np.stack([wave] * 7), 8000), bundle=bundle, steps=1)
    assert len(from_file) == len(from_samples) == 30
    np.testing.assert_allclose(from_file.audio[0], from_samples.audio[0], atol=1e-3)


def test_a_bundle_survives_its_folder_and_makes_the_same_motion(bundle, voice, tmp_path):
    folder = bundle.save(tmp_path / "tiny")
    assert sum(f.stat().st_size for f in folder.iterdir()) < 12e6
    assert not [f for f in folder.iterdir() if f.suffix not in (".json", ".safetensors")]
    read = Bundle.load(folder)
    assert read.fingerprint == bundle.fingerprint
    asked = {"prompts": {"lower": WALK}, "steps": 2}
    one, two = generate(voice, bundle=bundle, **asked), generate(voice, bundle=folder, **asked)
    assert same(one, two)


def test_parts_of_different_presets_are_refused(bundle, tmp_path):
    other = SpeechDenoiser(NET.model_copy(update={"latent": 48}), 6, 8)
    with pytest.raises(BundleError, match=r"weights of another preset.*24 latent.*takes 48"):
        fresh(network=other)
    with pytest.raises(BundleError, match="vocabulary has 7"):
        fresh(vocabulary=Vocabulary(("a", "b", "c")))
    with pytest.raises(BundleError, match="language model has 64"):
        fresh(text=HashingEncoder(64))
    first, second = bundle.save(tmp_path / "a"), fresh(first=1).save(tmp_path / "b")
    name = "denoiser.safetensors"
    (first / name).write_bytes((second / name).read_bytes())
    with pytest.raises(BundleError, match=r"another preset; copy the whole folder"):
        Bundle.load(first)
    with pytest.raises(BundleError, match=r"trained with the language model hashing-32-1"):
        Bundle.load(second, HashingEncoder(64))
    (second / "codec.safetensors").unlink()
    with pytest.raises(BundleError, match=r"codec\.safetensors is missing"):
        Bundle.load(second)
    (second / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="damaged"):
        Bundle.load(second)


def test_missing_weights_say_how_to_get_some(monkeypatch, tmp_path, voice):
    monkeypatch.setenv("LITHE_SYNTALKER_BUNDLE", str(tmp_path))
    with pytest.raises(BundleError, match=r"no weights in .*generation_run --profile small"):
        generate(voice)


def test_few_steps_walk_in_second_order_and_many_as_released():
    assert pipeline.generation(8).sampling.method == "dpm"
    assert pipeline.generation(50).sampling == Sampling(steps=50)


def test_the_command_line_writes_motion_and_page(bundle, voice, tmp_path, capsys):
    folder = str(bundle.save(tmp_path / "tiny"))
    save(tmp_path / "voice.wav", voice.wave)
    timeline = tmp_path / "t.json"
    timeline.write_text(json.dumps([[0.0, 1.5, "lower", WALK], [1.5, 3.0, "upper", "waves", 2]]))
    said = ["say", str(tmp_path / "voice.wav"), "--bundle", folder, "--steps", "1"]
    out, page = tmp_path / "walk.bvh", tmp_path / "walk.html"
    assert command.main([*said, "--lower", WALK, "--seed", "3", "--out", str(out)]) == 0
    assert len(syntalker.Motion.load(out)) == 90
    assert command.main([*said, "--timeline", str(timeline), "--show", str(page)]) == 0
    assert WALK in page.read_text(encoding="utf-8")
    assert capsys.readouterr().out.split() == [str(out), str(page)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "say where the motion goes"),
        (["--out", "walk.fbx"], "walk.fbx: the ending"),
        (["--show", "walk.bvh"], "a page ends in"),
        (["--out", "w.bvh", "--timeline", "none.json"], "none.json cannot be read"),
        (["--out", "w.bvh", "--timeline", "none.json", "--lower", "x"], "give one of them"),
        (["--out", "w.bvh", "--bundle", "nowhere"], "bundle.json"),
    ],
)
def test_the_command_line_says_what_is_wrong(given, message, tmp_path, capsys, voice):
    save(tmp_path / "voice.wav", voice.wave)
    assert command.main(["say", str(tmp_path / "voice.wav"), *given]) == 2
    assert message in capsys.readouterr().err
