"""The run of a config, the chapters' profiles, the corpora, and training at full length."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from lithe import ledger, profiles
from lithe.data import DataError
from lithe.syntalker import material, recipes, run
from lithe.syntalker.model_exhibits import structure
from lithe.syntalker.model_files import load_model
from lithe.syntalker.settings import Config
from lithe.syntalker.text import HashingEncoder
from lithe.syntalker.vqvae import CodecConfig

CODEC = CodecConfig(width=8, latent=6, layers=2, codes=8, temperature=0.006, dropout=0.0)
TEXT = HashingEncoder(32)


def test_structure_exhibit_has_the_released_counts():
    metrics, _, _ = structure()
    assert round(metrics["vq_upper"]["value"], 2) == 19.11
    assert round(metrics["text_encoder"]["value"], 2) == 3.36
    assert metrics["codebook_numbers"] == 6 * 512 * 512


def test_world_material_is_split_by_seed_and_by_sentence():
    corpus = material.world(3, 2)
    assert corpus.features == 623
    spoken = [clip for clip in corpus.train if not clip.captions]
    assert (len(spoken), len(corpus.train), len(corpus.held_out)) == (3, 6, 4)
    learned = {text for clip in corpus.train for text in clip.captions}
    unseen = [clip.captions for clip in corpus.held_out if clip.captions]
    assert all(len(own) == 1 and own[0] not in learned for own in unseen)
    assert corpus.described()[0]["sizes"]["clips"] == 6


def test_cmu_material_is_held_out_by_recording_or_by_piece(shared, tmp_path):
    source, folder = shared / "data/motion", tmp_path / "data/motion"
    (folder / "cmu").mkdir(parents=True)
    lines = (source / "captions.csv").read_text(encoding="utf-8").splitlines()[:6]
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    for line in lines[1:]:
        name = line.partition(",")[0]
        shutil.copy(source / name, folder / name)
    corpus = material.cmu("recording", tmp_path)
    names = [{clip.name for clip in half} for half in (corpus.train, corpus.held_out)]
    assert not names[0] & names[1]
    assert (len(names[0]), len(names[1])) == (3, 2)
    assert corpus.features == 263
    assert all(clip.captions for clip in corpus.train)
    cut = material.cmu("piece", tmp_path)
    assert max(len(clip.features) for clip in cut.held_out) <= material.PIECE
    assert not {c.name for c in cut.train} & {c.name for c in cut.held_out}
    recorded = {clip.name.partition("@")[0] for clip in cut.held_out}
    assert recorded & {clip.name.partition("@")[0] for clip in cut.train}
    (folder / "captions.csv").unlink()
    material._recordings.cache_clear()
    with pytest.raises(DataError, match=r"captions\.csv is missing"):
        material.cmu("recording", tmp_path)


def config(**changed) -> Config:
    chosen = {
        **{"clips": 4, "held_out": 2, "width": 8, "latent": 6, "layers": 2, "codes": 8},
        **{"codec_epochs": 1, "codec_batch": 32, "stride": 64, "space_width": 16},
        **{"space_layers": 1, "space_epochs": 1, "space_batch": 4, "frames": 64},
    }
    return Config(**(chosen | changed))


def test_a_run_records_once_and_finds_its_records_again(tmp_path, monkeypatch):
    wanted = config(exhibits=("structure",), codecs=("parts",), spaces=("corrected",))
    ids = run.run(wanted, root=tmp_path)
    assert ids == [
        "syntalker/structure/smoke/0",
        "syntalker/world-codec-parts/smoke/0",
        "syntalker/world-space-corrected/smoke/0",
    ]
    found = ledger.read(ids[1], root=tmp_path)
    assert found.metric("error").unit == "mm"
    assert "space_width" not in found.params
    assert ledger.read(ids[2], root=tmp_path).metric("text_to_motion_r1").unit == "%"
    monkeypatch.setattr(run.EXPERIMENTS, "measure", lambda *_: pytest.fail("measured again"))
    assert run.run(wanted, root=tmp_path) == ids
    # what does not concern a record does not undo it
    run.run(wanted.model_copy(update={"spaces": (), "space_lr": 1.0}), root=tmp_path)


@pytest.mark.parametrize("notebook", ["05_syntalker_motion", "06_syntalker_space"])
@pytest.mark.parametrize("profile", ["smoke", "small", "full"])
def test_profiles_of_the_chapters_fit_the_config(notebook, profile):
    loaded = profiles.load(notebook, profile, Config)
    assert loaded.profile == profile
    if profile == "small":
        assert len(loaded.seeds) >= 3
        assert set(loaded.data) == {"world", "cmu"}


@pytest.mark.parametrize("key", list(recipes.RECIPES))
def test_full_recipes_say_what_was_released(key):
    chosen = recipes.RECIPES[key].training(100_000, 0)
    assert chosen.optimizer == "adamw"
    if key == "rvq":
        assert (chosen.lr, chosen.betas, chosen.weight_decay) == (2e-4, (0.9, 0.99), 0.0)
        assert abs(chosen.epochs * (100_000 // 256) - 300_000) < 400
        assert chosen.milestones == (2 * chosen.epochs // 3,)
    else:
        assert (chosen.lr, chosen.epochs, chosen.batch_size) == (1e-4, 300, 512)


def humanml3d(folder, width: int = 263) -> None:
    (folder / "new_joint_vecs").mkdir()
    (folder / "texts").mkdir()
    generator = np.random.default_rng(0)
    for k in range(3):
        features = generator.standard_normal((70, width)).astype(np.float32)
        np.save(folder / "new_joint_vecs" / f"{k:06d}.npy", features)
        (folder / "texts" / f"{k:06d}.txt").write_text("a person walks#a/DET#0.0#0.0\n\nturns#x\n")
    (folder / "train.txt").write_text("000000\n000001\n")
    (folder / "test.txt").write_text("000002\n")


def test_a_readers_folder_is_read(tmp_path):
    humanml3d(tmp_path)
    clips = recipes.read_folder(tmp_path)
    assert [clip.name for clip in clips] == ["000000", "000001"]
    assert clips[0].captions == ("a person walks", "turns")
    assert clips[0].features.shape == (70, 263)
    with pytest.raises(ValueError, match=r"valid\.txt is missing"):
        recipes.read_folder(tmp_path, "valid")
    (tmp_path / "train.txt").write_text("000009")
    with pytest.raises(ValueError, match=r"000009\.npy"):
        recipes.read_folder(tmp_path)
    np.save(tmp_path / "new_joint_vecs" / "000009.npy", np.zeros((5, 7), np.float32))
    with pytest.raises(ValueError, match="width 7"):
        recipes.read_folder(tmp_path)
    for damage in (b"", (tmp_path / "new_joint_vecs" / "000000.npy").read_bytes()[:200]):
        (tmp_path / "new_joint_vecs" / "000009.npy").write_bytes(damage)
        with pytest.raises(DataError, match=r"000009\.npy"):
            recipes.read_folder(tmp_path)
    np.save(tmp_path / "new_joint_vecs" / "000009.npy", np.float32(1))
    with pytest.raises(DataError, match=r"000009\.npy"):
        recipes.read_folder(tmp_path)


def test_full_length_command_records_and_keeps_the_model(tmp_path, monkeypatch):
    humanml3d(tmp_path)
    book = tmp_path / "book"
    book.mkdir()
    monkeypatch.setattr(recipes, "FULL", CODEC)
    monkeypatch.setattr(recipes, "VQ_STEPS", 3)
    monkeypatch.setattr(ledger, "record", lambda *a, **k: recorded.append((a, k)))
    recorded: list = []
    path = recipes.full("rvq", tmp_path, 1, TEXT, tmp_path / "runs")
    model, extra = load_model(path)
    assert set(model.models) == {"upper", "lower"}
    assert extra == {"text": "hashing-32-1"}
    assert recorded[0][0][:4] == ("syntalker", "rvq", "full", 1)


def test_command_line_says_what_is_wrong(tmp_path, capsys):
    assert run.main(["--key", "rvq"]) == 2
    assert "--data-folder" in capsys.readouterr().err
    bad = tmp_path / "c.json"
    bad.write_text('{"codecs": ["none"]}')
    assert run.main([str(bad)]) == 2
    assert "no codec 'none'" in capsys.readouterr().err
    assert run.main([str(tmp_path / "missing.json")]) == 2
    assert run.main(["--key", "tmr", "--data-folder", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        run.main([])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Config(spaces=("none",)), "no space 'none'"),
        (lambda: Config(exhibits=("none",)), "no exhibit 'none'"),
        (lambda: Config(seeds=(1, 1)), "holds an entry twice"),
        (lambda: Config(epochs=3), "epochs"),
        (lambda: material.corpus("none", 1, 1), "no corpus 'none'"),
    ],
)
def test_bad_configs_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
