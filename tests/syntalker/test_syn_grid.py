"""What the page with prompts and voices carries, and that it is of the weights that ship."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lithe import syntalker
from lithe.syntalker import captions, grid
from lithe.syntalker.bundle import PRETRAINED, Bundle
from lithe.syntalker.random_bundle import random_bundle
from lithe.syntalker.sampler import Sampling

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
QUICK = Sampling(steps=1)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle("small", torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def cells(bundle):
    return grid.grid(bundle, QUICK)


def content(text: str) -> dict:
    start, _, body = text.partition("=")
    assert start.strip() == "globalThis.syntalkerGrid"
    return json.loads(body.strip().rstrip(";"))


def test_every_prompt_meets_every_voice(cells):
    assert [len(row) for row in cells] == [3] * len(grid.ASKS)
    for ask, row in zip(grid.ASKS, cells):
        for cell in row:
            assert len(cell.motion) == round(30 * grid.SECONDS)
            assert {p.part: p.text for p in cell.motion.prompts} == ask.prompts
            assert 0 <= cell.own <= 1
            assert 0 <= cell.others <= 1
    voices = [cell.motion.audio[0] for cell in cells[0]]
    assert not np.array_equal(voices[0], voices[1])


def test_the_last_prompt_asks_legs_and_arms_at_once():
    assert list(grid.ASKS[0].prompts) == []
    assert set(grid.ASKS[-1].prompts) == {"lower", "upper"}


def test_the_sentences_are_ones_that_nobody_learns_from():
    learned = {
        template.format(who=who, how=how, side=side)
        for templates in captions.TEMPLATES.values()
        for k, template in enumerate(templates)
        if k != captions.HELD_OUT
        for who in captions.WHO
        for how in {how for pair in captions.HOW.values() for how in pair}
        for side in ("left", "right")
    }
    told = {text for ask in grid.ASKS for text in ask.prompts.values()}
    assert len(told) == 3
    assert not told & learned


def test_voices_have_beats_to_meet():
    for clip in grid.speakers():
        inside = [beat for beat in clip.truth.beats if 0.6 <= beat <= grid.SECONDS]
        assert len(inside) >= 3


def test_motions_are_carried_to_a_tenth_of_a_millimetre(cells, bundle):
    page = content(grid.data_script(cells, bundle.fingerprint))
    assert page["weights"] == bundle.fingerprint
    for row, carried in zip(cells, page["cells"]):
        for cell, entry in zip(row, carried):
            codes = np.frombuffer(base64.b64decode(entry["positions"]), "<i2")
            found = codes.reshape(-1, 52, 3) * entry["scale"] + entry["origin"]
            np.testing.assert_allclose(found, cell.motion.positions, atol=1e-4)
            assert entry["legs"] == cell.legs
            assert "parents" not in entry
    assert page["body"]["parents"] == list(syntalker.BODY_HANDS.parents)
    assert page["body"]["frames"] == len(cells[0][0].motion)


def test_the_same_weights_make_the_same_files(bundle, tmp_path):
    places = [grid.write(bundle, tmp_path / name, QUICK) for name in "ab"]
    assert [path.name for path in places[0]] == list(grid.FILES)
    for one, two in zip(*places):
        assert one.read_bytes() == two.read_bytes()
    other = random_bundle("small", torch.Generator().manual_seed(1))
    assert other.fingerprint != bundle.fingerprint


def test_without_scripts_a_picture_and_a_table_say_it(cells):
    text = grid.page_fragment(cells)
    assert text.count("<tr>") == 1 + len(grid.ASKS)
    assert text.count("<td>") == sum(map(len, cells))
    assert f"legs {cells[0][0].legs}" in text
    assert re.search(r'<noscript>.*alt="[^"]{60,}"', text, re.DOTALL)
    picture = grid.poster(cells)
    assert f'width="{picture.width}" height="{picture.height}"' in text


def test_missing_weights_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        grid.main(["--bundle", str(tmp_path / "none")])
    assert "holds no bundle.json" in capsys.readouterr().err


def test_scripts_are_small_and_ask_for_nothing_outside():
    scripts = [STATIC / name for name in ("motion-viewer.js", "syntalker-grid.js")]
    assert sum(path.stat().st_size for path in scripts) <= 60_000
    for name in ("syntalker-grid.js", "syntalker-grid.css", "syntalker-grid.html"):
        text = (STATIC / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|@import|url\(|import\(|fetch\(", text)


def test_the_page_is_of_the_weights_that_ship():
    if not (PRETRAINED / "bundle.json").is_file():
        pytest.skip("no weights in the package yet")
    page = content((STATIC / grid.FILES[0]).read_text(encoding="utf-8"))
    assert page["weights"] == Bundle.load(PRETRAINED).fingerprint
    seconds = sum(len(row) for row in page["cells"]) * grid.SECONDS
    assert (STATIC / grid.FILES[0]).stat().st_size <= 1.5e6 * seconds / 60
