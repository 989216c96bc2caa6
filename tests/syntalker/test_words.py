"""Words from every kind of file, spread over sound, and one for every frame."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker.sound import RATE, load
from lithe.syntalker.vocabulary import PAD, UNKNOWN, Vocabulary, frame_words
from lithe.syntalker.words import Word, read_words, spread, tokens

TRUE = [Word(0.1, 0.4, "it's"), Word(0.5, 1.25, 'a "walk"')]

LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "TextTier"
        name = "bells 2"
        xmin = 0
        xmax = 2
        points: size = 1
        points [1]:
            number = 1
            mark = "3"
    item [2]:
        class = "IntervalTier"
        name = "Max - words"
        xmin = 0
        xmax = 2
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.4
            text = "it's"
        intervals [3]:
            xmin = 0.5
            xmax = 1.25
            text = "a ""walk"""
        intervals [4]:
            xmin = 1.25
            xmax = 2
            text = " "
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2
            text = "IH1"
'''
SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
2
<exists>
1
"IntervalTier"
"words"
0
2
3
0
0.1
""
0.1
0.4
"it's"
0.5
1.25
"a ""walk"""
'''
ENTRIES = [[w.start, w.end, w.text] for w in TRUE]
PLAIN = [{"start": w.start, "end": w.end, "word": " " + w.text} for w in TRUE]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("long.TextGrid", LONG),
        ("short.textgrid", SHORT),
        ("a.ctm", ';; a comment\nf 1 0.1 0.3 it\'s 0.9\n\nf 1 0.5 0.75 a_"walk"\n'),
        ("whisper.json", json.dumps({"text": "", "segments": [{"words": PLAIN}]})),
        ("whisperx.json", json.dumps({"word_segments": PLAIN})),
        ("list.json", json.dumps([*PLAIN, {"word": "unplaced"}])),
        ("mfa.json", json.dumps({"tiers": {"phones": {}, "words": {"entries": ENTRIES}}})),
        ("a.tsv", 'start_s\tend_s\tword\n0.1\t0.4\tit\'s\n0.5\t1.25\ta "walk"\n'),
        ("a.csv", 'word,start,end\nit\'s,0.1,0.4\n"a ""walk""",0.5,1.25\n'),
    ],
)
def test_every_kind_of_file_reads_the_same_words(tmp_path: Path, name: str, content: str):
    (tmp_path / name).write_text(content)
    found = read_words(tmp_path / name)
    assert [Word(w.start, round(w.end, 9), w.text.replace("_", " ")) for w in found] == TRUE


def test_a_textgrid_in_utf16_reads(tmp_path: Path):
    (tmp_path / "a.TextGrid").write_bytes(LONG.replace("it's", "größe").encode("utf-16"))
    assert read_words(tmp_path / "a.TextGrid")[0].text == "größe"


def test_the_real_textgrid_agrees_with_the_real_table(shared: Path):
    folder = shared / "data" / "motion" / "beat2"
    table = read_words(folder / "2_scott_0_1_1_60s_words.tsv")
    grid = read_words(folder / "2_scott_0_1_1.TextGrid")
    assert len(table) == 193
    for a, b in zip(table, grid[:193], strict=True):
        assert (a.text, pytest.approx(a.start, abs=6e-4)) == (b.text, b.start)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.docx", "", "words are read from"),
        ("a.TextGrid", "hello", "no Praat text file"),
        ("a.TextGrid", LONG.replace("Max - words", "syllables"), "no tier of words among"),
        ("a.json", "{", "not what its suffix says"),
        ("a.json", '{"text": 1}', "not what its suffix says"),
        ("a.ctm", "f 1 0.1", "not what its suffix says"),
        ("a.tsv", "from\tto\tword\n", "not what its suffix says"),
        ("a.tsv", "start\tend\tword\n2\t1\tx\n", "lasts from 2.0 to 1.0"),
        ("a.tsv", "start\tend\tword\nnan\t1\tx\n", "lasts from nan"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, content: str, message: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_words(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no file of words"):
        read_words(tmp_path / "none.ctm")


def test_tokens_drop_case_and_punctuation():
    found = tokens("Don’t — stop, 'now'! It's 3pm_ok")
    assert found == ["don’t", "stop", "now", "it's", "3pm", "ok"]


def test_words_are_spread_over_sound_and_not_over_pauses():
    tone = np.sin(np.arange(RATE) / 5)
    wave = np.concatenate([np.zeros(RATE), tone, np.zeros(RATE // 2), tone, np.zeros(RATE)])
    one, two, three, four = spread("na no nana nono", wave)
    assert (one.start, two.end, three.end) == pytest.approx((1.0, 1 + 2 / 3, 3.0 - 1 / 6), abs=0.03)
    assert three.start == pytest.approx(1 + 2 / 3, abs=0.03)
    assert (four.end, four.start) == pytest.approx((3.5, 3.5 - 2 / 3), abs=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.text("abeiou", min_size=1, max_size=8), min_size=1))
def test_spread_words_are_in_order_and_inside_the_sound(seed, texts):
    rng = np.random.default_rng(seed)
    wave = rng.normal(size=rng.integers(50, 20_000)) * rng.integers(0, 2, 1)
    if not wave.any():
        with pytest.raises(ValueError, match="silent audio"):
            spread(texts, wave)
        return
    words = spread(texts, wave)
    assert [w.text for w in words] == texts
    assert all(0 <= w.start <= w.end <= len(wave) / RATE for w in words)
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(words))


def test_an_empty_transcript_has_no_words():
    assert spread("— …", np.zeros(100)) == []


def test_spreading_beats_even_spacing_on_real_speech(shared: Path):
    folder = shared / "data" / "motion" / "beat2"
    errors, even = [], []
    for name in ("2_scott_0_1_1_60s", "2_scott_0_2_2_30s", "2_scott_0_4_4_30s"):
        true, wave = read_words(folder / f"{name}_words.tsv"), load(folder / f"{name}.flac")
        middles = np.array([(w.start + w.end) / 2 for w in true])
        found = np.array([(w.start + w.end) / 2 for w in spread([w.text for w in true], wave)])
        spaced = (np.arange(len(true)) + 0.5) / len(true) * len(wave) / RATE
        errors.append(np.median(np.abs(found - middles)))
        even.append(np.median(np.abs(spaced - middles)))
    assert max(errors) < 0.45
    assert all(e < 0.65 * s for e, s in zip(errors, even, strict=True))


def test_vocabulary_keeps_the_released_places(tmp_path: Path):
    vocabulary = Vocabulary.build(["The cat", "the dog's  cat", "THE end"])
    assert vocabulary.words == ("the", "cat", "dog's", "end")
    found = [vocabulary[w] for w in ("The", "cat.", " ", "zebra", "dog's")]
    assert found == [4, 5, PAD, UNKNOWN, 6]
    assert len(vocabulary) == 8
    vocabulary.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary
    assert Vocabulary.build(["a b b"], at_least=2).words == ("b",)
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(("a", "a"))
    (tmp_path / "v.json").write_text("[1]")
    with pytest.raises(ValueError, match="no list of words"):
        Vocabulary.load(tmp_path / "v.json")


def test_every_frame_takes_the_word_that_is_being_said():
    vocabulary = Vocabulary(("hello", "world"))
    words = [Word(0.1, 0.2, "hello"), Word(0.2, 0.3, "World"), Word(0.3, 0.35, " ")]
    found = frame_words(words, vocabulary, 12, fps=30)
    by_hand = [UNKNOWN] * 3 + [4] * 3 + [5] * 3 + [PAD] * 2 + [UNKNOWN]
    assert found.tolist() == by_hand
    assert frame_words(words, vocabulary, 6, fps=30, start=4).tolist() == by_hand[4:10]
