"""Files as people have them: other names, other units, other rates, cut short, of other kinds."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lithe.syntalker import BODY, Motion, Skeleton, bvh
from lithe.syntalker.retarget import sources
from lithe.syntalker.speech import Speech
from lithe.syntalker.words import Word, read_words

TEXT = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Chest
  {
    OFFSET 0 50 0
    CHANNELS 3 Zrotation Xrotation Yrotation
  }
}
MOTION
Frames: 1
Frame Time: 0.0083333
0 90 0 10 20 30 5 6 7
"""
GRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n1\n"IntervalTier"\n'
    '"words"\n0\n2\n3\n0\n0.5\n"hi"\n0.5\n1\n"sil"\n1\n2\n"you"\n'
)


@pytest.mark.parametrize(
    ("time", "fps"),
    [
        *[("0.0083333", 120), ("0.033333", 30), ("0.033", 30), ("0.0416667", 24), ("0.04", 25)],
        *[("0.0333667", 29.97), ("0.0417083", 23.976), ("3.33333e-2", 30), ("2", 0.5)],
    ],
)
def test_frame_rates_are_rounded_no_further_than_they_are_written(time: str, fps: float) -> None:
    found = bvh.parse(TEXT.replace("0.0083333", time)).fps
    assert found == pytest.approx(fps, rel=2e-6)


def test_millimetres_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    assert bvh.parse(TEXT.replace("50 0", "1600 0")).skeleton.lengths[1] == pytest.approx(1.6)
    (tmp_path / "a.bvh").write_text("\ufeff" + TEXT, encoding="utf-8")
    (tmp_path / "a.BVH.GZ").write_bytes(gzip.compress(TEXT.encode()))
    for name in ("a.bvh", "a.BVH.GZ"):
        assert Motion.load(tmp_path / name).fps == 120


def test_an_altered_gzip_names_the_file(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(TEXT.encode()))
    raw[15] ^= 0xFF
    raw[20] ^= 0xFF
    (tmp_path / "bad.bvh.gz").write_bytes(bytes(raw))
    with pytest.raises(ValueError, match=r"bad\.bvh\.gz"):
        Motion.load(tmp_path / "bad.bvh.gz")


MIXAMO = (
    *("Hips", "Spine", "Spine1", "Spine2", "Neck", "Head"),
    *("LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand"),
    *("RightShoulder", "RightArm", "RightForeArm", "RightHand"),
    *("LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase"),
    *("RightUpLeg", "RightLeg", "RightFoot", "RightToeBase"),
)
PARENTS = (-1, 0, 1, 2, 3, 4, 3, 6, 7, 8, 3, 10, 11, 12, 0, 14, 15, 16, 0, 18, 19, 20)
ARM, LEG = ("clavicle", "upperarm", "lowerarm", "hand"), ("thigh", "calf", "foot", "ball")
UNREAL = (
    *("pelvis", "spine_01", "spine_02", "spine_03", "neck_01", "head"),
    *(f"{bone}_{side}" for limb in (ARM, LEG) for side in "lr" for bone in limb),
)
BLENDER = (
    *("hips", "spine", "spine1", "chest", "neck", "head"),
    *(f"{b}.{s}" for s in "LR" for b in ("shoulder", "upper_arm", "forearm", "hand")),
    *(f"{b}.{s}" for s in "LR" for b in ("thigh", "shin", "foot", "toe")),
)
BIPED = (
    *(f"Bip01 {b}" for b in ("Pelvis", "Spine", "Spine1", "Spine2", "Neck", "Head")),
    *(f"Bip01 {s} {b}" for s in "LR" for b in ("Clavicle", "UpperArm", "Forearm", "Hand")),
    *(f"Bip01 {s} {b}" for s in "LR" for b in ("Thigh", "Calf", "Foot", "Toe0")),
)


@pytest.mark.parametrize(
    "names",
    [
        *[[f"{prefix}{n}" for n in MIXAMO] for prefix in ("mixamorig:", "mixamorig_", "mixamorig")],
        *[UNREAL, BLENDER, BIPED],
    ],
)
def test_names_of_other_rigs_are_found(names: list[str]) -> None:
    offsets = np.random.default_rng(0).normal(size=(22, 3))
    found = sources(Skeleton(tuple(names), PARENTS, offsets))
    plain = sources(Skeleton(MIXAMO, PARENTS, offsets))
    np.testing.assert_array_equal(found, plain)


def test_integer_sound_is_scaled_and_sound_lying_on_its_side_refused() -> None:
    places = BODY.rest()[None]
    heard = Motion(places, audio=(np.array([16384, -32768], np.int16), 16000)).audio[0]
    np.testing.assert_allclose(heard, [0.5, -1])
    with pytest.raises(ValueError, match=r"\(2, 48000\)"):
        Motion(places, audio=(np.zeros((2, 48000)), 16000))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.TextGrid", GRID.partition("<exists>")[0], "ends before its tiers"),
        ("a.TextGrid", GRID.removesuffix('1\n2\n"you"\n'), "tier 'words' is cut short"),
        ("a.ctm", "f 1 0.1\n", "'f 1 0.1' is not: file, channel, start, duration, word"),
        ("a.json", '{"segments": [{"start": 0, "end": 1, "text": "hi"}]}', "word_timestamps"),
        ("a.json", "{}", "no times of words"),
        ("a.json", "null", "no list of"),
        ("a.json", '["a"]', "no list of"),
        ("a.json", '{"words": 5}', "no list of"),
        ("a.json", '{"tiers": [1]}', "not what its suffix says"),
        ("a.csv", f"start,end,word\n1,2,{'x' * 140_000}", "not what its suffix says"),
    ],
)
def test_damaged_transcripts_say_what_is_wrong(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_words(tmp_path / name)


def test_silences_are_left_out_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_text(GRID)
    (tmp_path / "a.ctm").write_text("f 1 0 0.5 hi\nf 1 0.5 0.5 <eps>\nf 1 1 1 you\n")
    (tmp_path / "empty.json").write_text('{"words": []}')
    for name in ("a.TextGrid", "a.ctm"):
        assert [word.text for word in read_words(tmp_path / name)] == ["hi", "you"]
    assert read_words(tmp_path / "empty.json") == []


def test_words_after_the_sound_do_not_stop_a_cut() -> None:
    wave = np.ones(64_000, np.float32)
    late = Speech(wave, (Word(1, 2, "in"), Word(3.5, 4.5, "half"), Word(5, 6, "late")))
    assert late.cut(0, 10).words == (Word(1, 2, "in"), Word(3.5, 4, "half"))
    assert Speech(wave, (Word(1.00002, 1.5, "x"),)).cut(0, 1.00003).words == ()


def test_a_file_of_another_kind_is_not_read_as_its_own_name(tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.ones(16_000) * 0.1, 16_000)
    (tmp_path / "w.srt").write_text("1\n00:00:00 --> 00:00:01\nhello\n")
    (tmp_path / "w.txt").write_bytes(b"na\xefve")
    with pytest.raises(ValueError, match=r"w\.srt: a transcript is \.txt"):
        Speech.load(tmp_path / "a.wav", str(tmp_path / "w.srt"))
    with pytest.raises(ValueError, match=r"w\.txt is no text in UTF-8"):
        Speech.load(tmp_path / "a.wav", tmp_path / "w.txt")
    assert len(Speech.load(tmp_path / "a.wav", "hello there e.g. you").words) == 5
