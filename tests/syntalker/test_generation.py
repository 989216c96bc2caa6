"""The experiments on generating: material, measures, and a run that becomes records."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lithe import ledger, profiles, syntalker
from lithe.syntalker import bench, bench_generation, generation_measure, generation_run, stage3_full
from lithe.syntalker.captions import HELD_OUT, TEMPLATES
from lithe.syntalker.denoiser import DenoiserConfig
from lithe.syntalker.generation_material import asked, lived
from lithe.syntalker.generation_settings import VARIANTS, GenerationConfig
from lithe.syntalker.generation_stage import Stage, motion_prompts
from lithe.syntalker.model_files import save_model
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.random_bundle import random_bundle
from lithe.syntalker.sampler import Sampling
from lithe.syntalker.space import SpaceConfig
from lithe.syntalker.vqvae import CodecConfig
from lithe.syntalker.world import mover, talker

ACTIONS = ("walk", "raise")


def tiny(**changed) -> GenerationConfig:
    chosen = {
        **{"clips": 2, "held_out": 4, "actions": ACTIONS, "performers": 2, "seconds": 3.0},
        **{"width": 8, "latent": 4, "layers": 1, "codes": 8, "codec_epochs": 1},
        **{"codec_stride": 64, "space_width": 16, "space_epochs": 1, "denoiser_width": 32},
        **{"denoiser_layers": 1, "speech": 4, "draws": 2, "batch": 4, "steps": 1},
    }
    return GenerationConfig(**(chosen | changed))


# ---- material -------------------------------------------------------------------------------


def test_the_scene_is_split_by_seed_and_by_sentence():
    scene = lived(2, 4, ACTIONS)
    assert [len(x) for x in (scene.talkers, scene.movers, scene.unseen_talkers)] == [2, 2, 4]
    assert all(clip.sound is not None and not clip.captions for clip in scene.talkers)
    assert all(clip.sound is None and clip.captions for clip in scene.movers)
    learned = {text for clip in scene.movers for text in clip.captions}
    assert not learned & {text for clip in scene.unseen_movers for text in clip.captions}
    assert [action for action, _ in scene.does] == [*ACTIONS, *ACTIONS]
    assert max(len(b) for b in scene.beats) > 2
    few = scene.labelled()
    assert [bool(clip.captions) for clip in few] == [True, False]
    assert len(scene.corpus().train) == 4
    assert scene.described()[1]["sizes"]["clips"] == 8


def test_tasks_go_in_turn_and_in_sentences_that_nobody_learned_from():
    tasks = asked(("walk", "turn", "wave"), "lower", 4)
    assert [task for task, _ in tasks] == [
        ("walk", None), ("turn", "left"), ("turn", "right"), ("walk", None),
    ]  # fmt: skip
    ending = TEMPLATES["walk"][HELD_OUT].format(who="", how="")
    assert tasks[0][1].endswith(ending)
    with pytest.raises(ValueError, match="none of wave is an action of the lower body"):
        asked(("wave",), "lower", 1)


# ---- measures -------------------------------------------------------------------------------


def clips(seeds=(1, 2, 3)) -> tuple[np.ndarray, list[np.ndarray]]:
    found = [talker(seed, 5.0) for seed in seeds]
    return np.stack([c.motion.positions for c in found]), [np.array(c.truth.beats) for c in found]


def test_real_talkers_stop_on_their_own_beats_and_not_on_others():
    positions, beats = clips((1, 2, 3, 4, 5, 6))
    scores = generation_measure.beat_scores(positions, beats)
    own, others = np.diag(scores), scores[~np.eye(6, dtype=bool)]
    assert own.mean() > 0.75
    assert own.mean() > others.mean() + 0.25
    still = np.repeat(positions[:1, :1], positions.shape[1], 1)
    assert generation_measure.beat_scores(still, beats[:1]).item() == 0.0
    with pytest.raises(ValueError, match="no beat inside"):
        generation_measure.beat_scores(positions[:1], [np.array([0.1, 9.0])])


def test_joint_success_needs_the_action_and_the_own_beat():
    scores = np.full((20, 20), 0.2) + 0.7 * np.eye(20)
    right = np.arange(20) < 10
    assert generation_measure.joint_success(right, scores) == 0.5
    assert generation_measure.joint_success(~right & right, scores) == 0.0
    assert generation_measure.joint_success(right, np.full((20, 20), 0.9)) == 0.0


def test_scores_of_what_was_asked_and_of_what_was_not():
    walkers = np.stack(
        [mover(k, action, 4.0, in_progress=0.0).motion.positions for k, action in
         ((1, "walk"), (2, "squat"), (3, "walk"), (4, "squat"))]
    )  # fmt: skip
    beats = [np.array([1.0, 2.0])] * 4
    tasks = [("walk", None), ("squat", None)] * 2
    found = generation_measure.score(walkers, tasks, beats)
    assert found["action"] == {"value": 100.0, "unit": "%", "n": 4}
    assert found["shuffled"]["value"] == 0.0
    assert found["walk"] == {"value": 100.0, "unit": "%", "n": 2}
    assert found["stands"]["value"] == 0.0
    same = generation_measure.score(walkers[::2], tasks[::2], beats[:2])
    assert "shuffled" not in same


def test_walkers_are_coherent_and_strangers_legs_are_not():
    walkers = [
        mover(k, "walk", 6.0, pace=pace, in_progress=1.0).motion.positions[:130]
        for k, pace in enumerate(("slow", "fast", "slow", "fast"))
    ]
    legs = [0, 1, 2, 4, 5, 7, 8, 10, 11]
    mixed = [one.copy() for one in walkers]
    for one, two in zip(mixed, [*walkers[1:], walkers[0]]):
        one[:, legs] = two[:, legs] - two[:, :1] + one[:, :1]
    real = generation_measure.coherence(np.stack(walkers))
    assert real > 0.9
    assert generation_measure.coherence(np.stack(mixed)) < real - 0.15


def test_distance_of_features_is_none_to_itself_and_grows_with_a_change():
    scene = lived(2, 4, ACTIONS)
    real = [clip.features for clip in scene.unseen_talkers]
    normaliser = Normaliser.fit([clip.features for clip in scene.talkers])
    walking = [clip.features for clip in scene.unseen_movers]
    assert generation_measure.fidelity(real, real, normaliser) < 1e-6
    near = generation_measure.fidelity([x + 0.01 for x in real], real, normaliser)
    assert 0 < near < generation_measure.fidelity(walking, real, normaliser)
    assert generation_measure.projected(real, normaliser).shape == (4 * 7, 24)


# ---- the stage ------------------------------------------------------------------------------


def test_everyone_has_the_same_noise_and_an_own_prompt():
    bundle = random_bundle("small", torch.Generator().manual_seed(0))
    scene = lived(2, 4, ACTIONS)
    stage = Stage(bundle, scene, 2, 3.0, seed=5)
    how = {"sampling": Sampling(steps=1)}
    plain = stage.perform(bundle, **how)
    assert plain.positions.shape == (2, 90, 52, 3)
    assert torch.equal(plain.latents, stage.perform(bundle, **how).latents)
    asked_both = stage.perform(bundle, {"lower": ["he walks", "he sits"]}, **how)
    asked_one = stage.perform(bundle, {"lower": ["he walks", "he walks"]}, **how)
    assert torch.allclose(asked_both.latents[0], asked_one.latents[0], atol=1e-5)
    assert not torch.allclose(asked_both.latents[1], asked_one.latents[1], atol=1e-5)
    other = stage.stitched(bundle, asked_one, plain)
    lower = bundle.codec.channels["lower"]
    assert torch.equal(other.latents[..., lower], asked_one.latents[..., lower])
    assert torch.equal(other.latents[..., : lower.start], plain.latents[..., : lower.start])
    places = motion_prompts(bundle, scene, [("walk", None), ("raise", "left")], 64)
    assert places is None or places.shape == (2, 64)
    with pytest.raises(ValueError, match="9 wanted"):
        Stage(bundle, scene, 9, 3.0, 0)


# ---- runs -----------------------------------------------------------------------------------


def test_a_run_becomes_records_once(tmp_path, monkeypatch):
    wanted = tiny(variants=("full", "text-only"))
    ids = generation_run.run(wanted, root=tmp_path)
    assert ids == [
        f"syntalker/generation-{name}/smoke/0" for name in ("foundation", "full", "text-only")
    ]
    base, full, text = (ledger.read(one, root=tmp_path) for one in ids)
    assert base.metric("error").unit == "mm"
    assert "epochs" not in base.params
    named = {"separate_action", "stitched_joint", "both_success", "concatenated_success"} | {
        *("untrained_text_action", "real_beat", "codec_beat", "audio_only_frechet"),
        *("last_separate_action", "prompt_only_beat", "upper_legs_still", "joint_action"),
    }
    assert named <= set(full.metrics)
    assert "stitched_joint" not in text.metrics
    assert full.data[-1].name == "bundle"
    monkeypatch.setattr(generation_run.EXPERIMENTS, "measure", lambda *_: pytest.fail("again"))
    assert generation_run.run(wanted, root=tmp_path) == ids


def test_sweeps_measure_steps_strengths_and_joins(monkeypatch, tmp_path):
    from lithe.syntalker import generation_trials

    monkeypatch.setattr(generation_trials, "STEPS", {"dpm": (2,), "ddim": (1,)})
    monkeypatch.setattr(generation_trials, "STRENGTHS", (1.0,))
    bundle = generation_run.trained(tiny())
    found = generation_trials.sweep(tiny(), bundle, 0)
    assert {"dpm_2_joint", "ddim_1_frechet", "strength_1_beat", "join_at"} <= set(found)
    assert found["clamped_join_elsewhere"]["unit"] == "mm"


def test_every_variant_trains_and_is_its_own():
    config = tiny(variants=tuple(VARIANTS))
    seen = {}
    for name in VARIANTS:
        bundle = generation_run.trained(config, name)
        seen[name] = bundle.fingerprint
    assert len(set(seen.values())) == len(VARIANTS)


def test_weights_are_kept_as_a_bundle_that_speaks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generation_run, "run", lambda config: ["done"])
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tiny().model_dump(mode="json")))
    assert generation_run.main([str(path), "--keep", str(tmp_path / "weights")]) == 0
    assert capsys.readouterr().out.split() == ["done", str(tmp_path / "weights")]
    motion = syntalker.generate(talker(1, 2.0).speech, bundle=tmp_path / "weights", steps=1)
    assert len(motion) == 60


@pytest.mark.parametrize("notebook", ["07_syntalker_speech", "08_syntalker_control"])
@pytest.mark.parametrize("profile", ["smoke", "small", "full"])
def test_profiles_of_the_chapters_fit_the_config(notebook, profile):
    loaded = profiles.load(notebook, profile, GenerationConfig)
    assert loaded.profile == profile
    if profile == "small":
        assert len(loaded.seeds) >= 3
    other = profiles.load("08_syntalker_control", profile, GenerationConfig)
    ours, theirs = (  # both chapters share their records
        generation_run.EXPERIMENTS.params(one, ("generation-full", 0), None)
        for one in (loaded, other)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"variants": ("none",)}, "no 'none'"),
        ({"actions": ("walk",)}, "one of the legs and one of the arms"),
        ({"seeds": (1, 1)}, "holds an entry twice"),
        ({"performers": 9}, "performers = 9"),
        ({"variants": ("twice",), "sweeps": True}, "add it"),
    ],
)
def test_bad_configs_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changed)


# ---- at full size, on smaller stand-ins ------------------------------------------------------


@pytest.fixture
def small_sizes(monkeypatch):
    net = DenoiserConfig(
        latent=18, width=16, layers=1, heads=2, hidden=16, rotary=8, speech=4, prompt=8
    )
    codec = CodecConfig(width=4, latent=6, layers=1, codes=4, dropout=0.0)
    space = SpaceConfig(width=8, layers=1, heads=2, feedforward=8)
    for name, value in (("DENOISER_FULL", net), ("FULL", codec), ("SPACE_FULL", space)):
        monkeypatch.setattr(stage3_full, name, value)
    return codec, space


def test_dry_run_takes_one_step(small_sizes):
    assert len(stage3_full.dry_run(64)) == 1


def own_data(folder) -> None:
    (folder / "motion" / "new_joint_vecs").mkdir(parents=True)
    (folder / "speech").mkdir()
    features = torch.randn(140, 623, generator=torch.Generator().manual_seed(0)).numpy()
    np.save(folder / "motion" / "new_joint_vecs" / "a.npy", features)
    (folder / "motion" / "train.txt").write_text("a\n")
    clip = talker(4, 5.0)
    clip.motion.save(folder / "speech" / "one.npz")
    from lithe.syntalker.sound import save

    save(folder / "speech" / "one.wav", clip.speech.wave)
    (folder / "speech" / "one_words.tsv").write_text("start\tend\tword\n0.1\t0.4\thello\n")


def test_full_length_reads_own_data_records_and_keeps_a_bundle(small_sizes, tmp_path, monkeypatch):
    from lithe.syntalker import h3d
    from lithe.syntalker.codec import BodyCodec
    from lithe.syntalker.space import AlignedSpace
    from lithe.syntalker.text import HashingEncoder

    own_data(tmp_path)
    norm = Normaliser(torch.zeros(623), torch.ones(623))
    codec = BodyCodec(h3d.PARTS, small_sizes[0], normaliser=norm)
    space = AlignedSpace(623, 16, small_sizes[1], normaliser=norm)
    stage1, stage2 = save_model(codec, tmp_path / "codec"), save_model(space, tmp_path / "space")
    monkeypatch.setattr(stage3_full, "EPOCHS", 1)
    recorded = []
    monkeypatch.setattr(ledger, "record", lambda *a, **k: recorded.append(a))
    folders = (tmp_path / "speech", tmp_path / "motion", stage1, stage2)
    place = stage3_full.full(*folders, HashingEncoder(16), 0, tmp_path / "runs")
    assert recorded[0][:4] == ("syntalker", "denoiser", "full", 0)
    bundle = syntalker.Bundle.load(place)
    assert bundle.vocabulary.words == ("hello",)
    assert bundle.latents == 32
    with pytest.raises(ValueError, match="must hold a codec"):
        stage3_full.full(*folders[:2], stage2, stage1, HashingEncoder(16), 0, tmp_path)
    with pytest.raises(ValueError, match="no motion"):
        stage3_full.read_speech(tmp_path / "motion")


def test_the_recording_of_beat2_is_read_as_own_data(shared):
    clips = stage3_full.read_speech(shared / "data" / "motion" / "beat2")
    assert clips[0].motion.positions.shape[1:] == (52, 3)
    assert abs(clips[0].motion.seconds - clips[0].speech.seconds) < 0.05
    assert len(clips[0].speech.words) > 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--key", "denoiser"], "needs --codec, --motion-folder, --space, --speech-folder"),
        (["none.json", "--keep", "x"], "none.json cannot be read"),
    ],
)
def test_the_command_line_says_what_is_missing(given, message, capsys):
    assert generation_run.main(given) == 2
    assert message in capsys.readouterr().err


# ---- the benchmark --------------------------------------------------------------------------


def test_the_benchmark_measures_and_says_what_it_met(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench, "LENGTHS", (3.0, 36.0, 72.0))
    out = tmp_path / "bench.json"
    assert bench.main(["--size", "small", "--quick", "--threads", "1", "--out", str(out)]) == 0
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert result == json.loads(out.read_text())
    assert set(result["speed"]) == {"8", "10", "50"}
    assert result["combination"]["calls"] == {"separate": 40, "released": 90}
    assert result["combination"]["difference"] < 1e-3
    _, first, second = result["memory"]
    assert (first["latents"], first["samples"]) == (second["latents"], second["samples"])
    assert second["frames"] == 2 * first["frames"]
    assert "two prompts" in told.err
    found = bench.metrics(result)
    assert found["combination_ratio"]["unit"] == "x"
    assert found["first_frame_at_once_sound"]["value"] < found["first_frame_settled_sound"]["value"]


def test_goals_are_judged_by_the_result():
    result = {
        "speed": {"10": {"times_real_time": 4.0}},
        "combination": {"ratio": 3.0},
        "memory": [{"latents": k, "samples": 5} for k in (1, 2, 3)],
    }
    assert [aim.met for aim in bench_generation.aims(result)] == [False, True, False]


def test_sizes_of_random_bundles():
    with pytest.raises(ValueError, match="no size 'huge'"):
        random_bundle("huge", torch.Generator())
