"""Stages 1 and 2: data sets, training, resuming, controls and saved models."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from lithe.data import DataSet
from lithe.syntalker import stage1
from lithe.syntalker.ablations import (
    CODECS,
    SPACES,
    Corpus,
    body_of,
    contend_codec,
    contend_space,
)
from lithe.syntalker.clips import CaptionedClips, FeatureClip, Windows
from lithe.syntalker.model_exhibits import realtime
from lithe.syntalker.model_files import ModelFileError, load_model, save_model
from lithe.syntalker.space import AlignedSpace, SpaceConfig, SpaceLoss
from lithe.syntalker.stage1 import Health, codec_recipe, health, train_codec
from lithe.syntalker.stage2 import appraise, space_recipe, train_space
from lithe.syntalker.text import HashingEncoder
from lithe.syntalker.vqvae import CodecConfig
from lithe.training import CheckpointError

CODEC = CodecConfig(width=8, latent=6, layers=2, codes=8, temperature=0.006, dropout=0.0)
SPACE = SpaceConfig(width=16, layers=1, feedforward=32, dropout=0.0)
TEXT = HashingEncoder(32)
KINDS = ("walk", "jump", "wave", "kneel")


def seeded(n: int) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def made(count: int, seed: int, captions: tuple[str, ...] = ("{}s now", "a {} of theirs")) -> list:
    """Clips of 263 channels whose kind shows in how fast they swing, and around what."""
    generator, found = seeded(seed), []
    place = 6 * torch.rand(263, generator=seeded(99))  # the same body in all clips
    for k in range(count):
        kind = k % len(KINDS)
        t = 44 + 4 * int(torch.randint(3, (), generator=generator))
        time, shift = torch.arange(t)[:, None], 6 * torch.rand((), generator=generator)
        swing = torch.sin(time * (0.1 + 0.1 * kind) + place + shift) * 0.1
        swing[:, kind::4] += 0.2
        said = tuple(text.format(KINDS[kind]) for text in captions)
        found.append(FeatureClip(swing, said, KINDS[kind], f"{KINDS[kind]}-{k}"))
    return found


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus("made", made(24, 0), made(12, 1, ("the {}",)))


def test_windows_lie_inside_their_clips_and_long_clips_dominate():
    clips = [FeatureClip(torch.arange(n, dtype=torch.float32)[:, None] + 1000 * n) for n in (9, 20)]
    windows = Windows([*clips, FeatureClip(torch.zeros(7, 1))], length=8, stride=1)
    assert isinstance(windows, DataSet)
    assert len(windows) == (9 - 8 + 1) + (20 - 8 + 1)
    x, y = windows.batch(torch.arange(len(windows)))
    assert torch.equal(x, y)
    assert (x.diff(dim=1) == 1).all()  # consecutive frames of one clip
    starts = x[:, 0, 0]
    assert starts.tolist() == [9000, 9001, *range(20000, 20013)]


def test_strides_reach_every_offset_in_training_and_none_in_evaluation():
    clip = FeatureClip(torch.arange(30.0)[:, None])
    windows = Windows([clip], length=8, stride=5)
    assert windows.batch(torch.arange(5))[0][:, 0, 0].tolist() == [0, 5, 10, 15, 20]
    seen = set()
    for k in range(60):
        x, _ = windows.batch(torch.arange(5), seeded(k), augment=True)
        seen |= {int(start) for start in x[:, 0, 0]}
    assert seen == set(range(23))
    a, _ = windows.batch(torch.arange(5), seeded(3), augment=True)
    b, _ = windows.batch(torch.arange(5), seeded(3), augment=True, part=slice(2, 4))
    assert torch.equal(a[2:4], b)


def test_captioned_clips_are_cut_padded_and_numbered():
    clips = [
        FeatureClip(torch.full((46, 3), 1.0), ("b", "a")),
        FeatureClip(torch.arange(100.0)[:, None].expand(-1, 3), ("c",)),
        FeatureClip(torch.zeros(20, 3), ("too short",)),
        FeatureClip(torch.zeros(60, 3)),
    ]
    data = CaptionedClips(clips, least=40, most=64)
    assert isinstance(data, DataSet)
    assert data.captions == ["a", "b", "c"]
    x, y = data.batch(torch.tensor([0, 1]))
    assert x.shape == (2, 64, 3)
    assert y.tolist() == [[44, 1, 0], [64, 2, 1]]
    assert not x[0, 44:].any()
    drawn = [data.batch(torch.tensor([0, 1]), seeded(k), augment=True) for k in range(30)]
    assert {int(y[0, 1]) for _, y in drawn} == {0, 1}
    starts = {int(x[1, 0, 0]) for x, _ in drawn}
    assert min(starts) >= 0
    assert max(starts) <= 36
    assert len(starts) > 10
    whole, part = (
        data.batch(torch.tensor([0, 1, 0]), seeded(1), augment=True, part=p)
        for p in (slice(None), slice(1, 3))
    )
    assert torch.equal(whole[1][1:], part[1])


def test_fingerprints_change_with_everything(corpus):
    clips = list(corpus.train)
    prints = {
        Windows(clips, 8).fingerprint,
        Windows(clips, 12).fingerprint,
        Windows(clips, 8, 2).fingerprint,
        Windows(clips[1:], 8).fingerprint,
        CaptionedClips(clips).fingerprint,
        CaptionedClips(clips, most=64).fingerprint,
        CaptionedClips([replace(clips[0], captions=("other",)), *clips[1:]]).fingerprint,
        CaptionedClips([replace(clips[0], captions=clips[0].captions[:1]), *clips[1:]]).fingerprint,
    }
    assert len(prints) == 8
    assert Windows(clips, 8).fingerprint == Windows(list(clips), 8).fingerprint


def test_codec_training_lowers_the_loss_and_tells_the_codebooks_health(corpus):
    outcome = contend_codec(
        "parts", corpus, CODEC, codec_recipe(6, lr=6e-3, batch_size=8), window=40, stride=8
    )
    loss = outcome.curves["train_loss"]
    assert loss[-1] < 0.95 * loss[0]
    assert set(outcome.model.models) == {"upper", "lower"}  # 22 joints have no hands
    found = outcome.metrics
    assert 1 <= found["perplexity_upper_0"] <= 8
    assert found["dead"] == sum(v for k, v in found.items() if k.startswith("dead_"))
    assert found["error"]["unit"] == "mm"
    assert found["error_layers_2"] == found["error"]
    assert found["seam_whole"]["value"] > 0
    assert len(outcome.curves["perplexity_lower_1"]) == 6
    assert found["scale"] == pytest.approx(float(outcome.model.scale))


class Stopping(Health):
    """Health that is interrupted at the second epoch, by the name that checkpoints know."""

    def on_epoch_start(self, state):
        if state.epoch == 1:
            raise KeyboardInterrupt


Stopping.__qualname__ = "Health"


def test_stopped_codec_training_goes_on_to_the_same_bits(corpus, tmp_path, monkeypatch):
    windows = Windows(corpus.train, 40, 16)
    recipe = codec_recipe(3, lr=3e-3, batch_size=16)
    straight, stopped, resumed = (
        body_of("parts", 263, CODEC, normaliser=corpus.normaliser()) for _ in range(3)
    )
    train_codec(straight, windows, recipe, progress=False)
    monkeypatch.setattr(stage1, "Health", Stopping)
    with pytest.raises(KeyboardInterrupt):
        train_codec(stopped, windows, recipe, directory=tmp_path, progress=False)
    monkeypatch.undo()
    train_codec(resumed, windows, recipe, directory=tmp_path, progress=False)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    other = body_of("nearest", 263, CODEC, normaliser=corpus.normaliser())
    with pytest.raises(CheckpointError, match="temperature=0"):
        train_codec(other, windows, recipe, directory=tmp_path, progress=False)


def test_codec_variants_are_what_they_say(corpus):
    normaliser = corpus.normaliser()
    made = {name: body_of(name, 263, CODEC, normaliser=normaliser) for name in CODECS}
    assert set(made["whole"].models) == {"whole"}
    assert made["depth-1"].config.layers == 1
    assert made["no-dropout"].config.quantise_dropout == 0
    equal, parts = made["whole-equal"], made["parts"]
    assert equal.config.layers == 2 * CODEC.layers  # as many codes a latent frame as both parts
    count = {k: sum(p.numel() for p in v.parameters()) for k, v in made.items()}
    assert 0.6 < count["whole-equal"] / count["parts"] < 1.6
    x = made["parts"].state_dict()
    assert all(torch.equal(x[k], v) for k, v in made["once"].state_dict().items())
    assert parts.features == equal.features == 263


def test_health_of_an_idle_codec_is_one_code(corpus):
    codec = body_of("parts", 263, CODEC, normaliser=corpus.normaliser())
    found = health(codec, torch.stack([clip.features[:40] for clip in corpus.train]))
    assert found["perplexity_upper_0"] == pytest.approx(1, abs=1e-4)
    assert found["dead_upper_0"] == 7
    assert found["resets_upper"] == 0


@pytest.fixture(scope="module")
def trained(corpus) -> dict[str, dict]:
    recipe = space_recipe(25, lr=3e-3, batch_size=12)
    return {
        name: contend_space(name, corpus, TEXT, SPACE, recipe, most=40)
        for name in ("corrected", "shuffled")
    }


def test_aligned_training_finds_motions_by_captions_nobody_saw(trained):
    found = trained["corrected"].metrics
    control = trained["shuffled"].metrics
    assert found["chance_r1"]["value"] == pytest.approx(25)
    assert found["text_to_motion_r1"]["value"] >= 75
    assert found["motion_to_text_r1"]["value"] >= 75
    assert control["text_to_motion_r1"]["value"] <= 60
    loss = trained["corrected"].curves["train_loss"]
    assert loss[-1] < loss[0]


def test_appraisal_is_that_of_the_embeddings(trained, corpus):
    space, clips = trained["corrected"].model, CaptionedClips(corpus.held_out, most=40)
    found = appraise(space, clips, TEXT, batch_size=5)
    again = appraise(space, clips, TEXT, batch_size=64)
    assert found["text_to_motion_r1"] == again["text_to_motion_r1"]
    x, y = clips.batch(torch.arange(len(clips)))
    norm = float(space.embed_motion(x, y[:, 0]).norm(dim=1).mean())
    assert found["norm_motion"]["value"] == pytest.approx(norm, rel=1e-4)


def test_space_training_goes_on_and_refuses_another_loss(corpus, tmp_path):
    clips = CaptionedClips(corpus.train, most=48)
    recipe = space_recipe(2, batch_size=12)

    def space():
        return AlignedSpace(263, 32, SPACE, normaliser=corpus.normaliser(), generator=seeded(0))

    train_space(space(), clips, TEXT, recipe, directory=tmp_path, progress=False)
    again = space()
    history = train_space(again, clips, TEXT, recipe, directory=tmp_path, progress=False)
    assert len(history) == 2
    with pytest.raises(CheckpointError, match="filter='released'"):
        train_space(
            space(),
            clips,
            TEXT,
            recipe,
            loss=SpaceLoss(filter="released"),
            directory=tmp_path,
            progress=False,
        )
    with pytest.raises(ValueError, match="gives 16 numbers, not 32"):
        train_space(space(), clips, HashingEncoder(16), recipe, progress=False)


def test_models_come_back_from_their_files(trained, corpus, tmp_path):
    codec = body_of("parts", 263, CODEC, normaliser=corpus.normaliser()).eval()
    codec.calibrate(torch.stack([clip.features[:40] for clip in corpus.train]))
    x = corpus.held_out[0].features[None, :40]
    save_model(codec, tmp_path / "codec.json", {"note": 1})
    back, extra = load_model(tmp_path / "codec")
    assert extra == {"note": 1}
    assert torch.equal(back.reconstruct(x), codec.reconstruct(x))
    assert torch.equal(back.encode(x), codec.encode(x))
    space = trained["corrected"].model
    save_model(space, tmp_path / "space")
    back, _ = load_model(tmp_path / "space.safetensors")
    assert torch.equal(back.embed_motion(x), space.embed_motion(x))


def test_damaged_model_files_are_refused(corpus, tmp_path):
    codec = body_of("parts", 263, CODEC, normaliser=corpus.normaliser())
    plan = save_model(codec, tmp_path / "m")
    weights = tmp_path / "m.safetensors"
    whole, content = plan.read_text(), weights.read_bytes()

    def dotted(p: dict) -> dict:
        parts = {f"a.{name}": own for name, own in p["codec"]["parts"].items()}
        return p | {"codec": p["codec"] | {"parts": parts}}

    with pytest.raises(ModelFileError, match="cannot be read"):
        load_model(tmp_path / "other")
    weights.write_bytes(content[:-4])
    with pytest.raises(ModelFileError, match="does not belong"):
        load_model(plan)
    weights.write_bytes(content)
    for damage, message in (
        (dotted, "does not fit"),
        (lambda p: p | {"version": 2}, "version 2"),
        (lambda p: p | {"extra_key": 1}, "damaged"),
        (lambda p: {k: v for k, v in p.items() if k != "codec"}, "describes no model"),
    ):
        plan.write_text(json.dumps(damage(json.loads(whole))))
        with pytest.raises(ModelFileError, match=message):
            load_model(plan)
    smaller = json.loads(whole)
    smaller["codec"]["config"]["codes"] = 4
    plan.write_text(json.dumps(smaller))
    with pytest.raises(ModelFileError, match="does not fit"):
        load_model(plan)
    with pytest.raises(TypeError, match="neither a BodyCodec"):
        save_model(torch.nn.Linear(1, 1), tmp_path / "x")


def test_realtime_counts_seconds_of_motion(corpus):
    codec = body_of("parts", 263, CODEC, normaliser=corpus.normaliser()).eval()
    assert realtime(codec, torch.zeros(1, 120, 263), repeats=1) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: Windows(c, 42), "multiple of 4"),
        (lambda c: Windows(c, 8, 0), "stride = 0"),
        (lambda c: Windows(c, 400), "no clip has 400 frames"),
        (lambda c: Windows([*c, FeatureClip(torch.zeros(50, 2))], 8), "different numbers"),
        (lambda c: CaptionedClips(c, least=50, most=42), "least"),
        (lambda c: CaptionedClips([FeatureClip(torch.zeros(50, 2))]), "no clip has a caption"),
        (lambda c: FeatureClip(torch.full((4, 2), torch.nan), name="x"), "x: features"),
        (lambda c: FeatureClip(torch.zeros(4)), "clip: features"),
        (lambda c: body_of("none", 263, CODEC, normaliser=None), "no codec 'none'"),
    ],
)
def test_bad_input_is_refused(make, message, corpus):
    with pytest.raises(ValueError, match=message):
        make(corpus.train)


def test_every_variant_has_its_own_name():
    assert "parts" in CODECS
    assert "shuffled" in SPACES  # the control
