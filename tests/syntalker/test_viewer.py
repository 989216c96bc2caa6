"""What the player carries: small, self-contained, the same every time, safe against its labels."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lithe.syntalker import BODY, BODY_HANDS, Motion, Prompt, viewer

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"


def still(frames: int, skeleton=BODY, **more: Any) -> Motion:
    places = np.tile(skeleton.rest(), (frames, 1, 1)) + np.array([0.0, 0.93, 0.0])
    places += 0.3 * np.random.default_rng(0).normal(size=places.shape)
    return Motion(places, 30.0, **more)


def carried(text: str) -> dict[str, Any]:
    found = re.search(r'data-lm="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_positions_are_carried_to_a_tenth_of_a_millimetre() -> None:
    motion = still(4)
    clip = carried(motion.show().html())["clips"][0]
    codes = np.frombuffer(base64.b64decode(clip["positions"]), "<i2").reshape(4, 22, 3)
    found = codes * clip["scale"] + clip["origin"]
    np.testing.assert_allclose(found, motion.positions, atol=1e-4)
    assert clip["parents"] == list(BODY.parents)
    assert (clip["fps"], clip["frames"], clip["head"]) == (30.0, 4, 15)


def test_a_minute_with_hands_and_sound_is_small() -> None:
    sound = np.random.default_rng(0).normal(scale=0.1, size=60 * 16000)
    page = still(1800, BODY_HANDS, audio=(sound, 16000)).show().html()
    assert len(page.encode()) <= 1.5e6
    assert page.count("<audio") == 1


def test_the_script_is_small_and_loads_nothing() -> None:
    script = (STATIC / "motion-viewer.js").read_text(encoding="utf-8")
    assert len(script.encode()) < 60_000
    assert "</script" not in script
    page = still(2).show().html()
    assert not re.search(r"https?://|@import|url\(|import\(|fetch\(", page)


def test_the_same_motion_gives_the_same_bytes(tmp_path) -> None:
    sound = (np.sin(np.arange(16000) / 20), 16000)
    pages = [still(30, audio=sound).show()._repr_html_() for _ in range(2)]
    assert pages[0] == pages[1]
    saved = still(30, audio=sound).show().save(tmp_path / "a.html").read_text(encoding="utf-8")
    assert pages[0] in saved


def test_the_same_sound_is_carried_once() -> None:
    sound = (np.sin(np.arange(16000) / 20), 16000)
    other = (np.sin(np.arange(16000) / 30), 16000)
    a, b = still(30, audio=sound), still(30, audio=sound)
    assert a.show(b).html().count("<audio") == 1
    assert a.show(b, still(30, audio=other)).html().count("<audio") == 2
    assert still(30, audio=(np.zeros(0), 16000)).show().html().count("<audio") == 0


def test_every_sound_lasts_as_long_as_the_longest_motion(monkeypatch) -> None:
    """The sound leads: where it ended first, the longer motion beside it was never shown."""
    lasts: list[float] = []
    monkeypatch.setattr(viewer, "data_uri", lambda *sound: lasts.append(sound[2]) or "data:,")
    sound = (np.sin(np.arange(16000) / 20), 16000)
    still(30, audio=sound).show(still(90)).html()
    assert lasts == [3.0]


def test_labels_and_prompts_cannot_break_out_of_the_page() -> None:
    nasty = '</script><script>alert("x")</script>'
    motion = still(30, prompts=[Prompt(0, 1, nasty)], audio=(np.zeros(100), 100))
    page = motion.show(labels=[nasty]).html()
    assert nasty not in page
    assert carried(page)["clips"][0]["prompts"][0]["text"] == nasty


def test_without_scripts_a_drawing_stands_there() -> None:
    page = still(30).show(labels=["A walk"]).html()
    assert 'role="img" aria-label="A walk: 5 poses from start to end"' in page
    assert page.count("<line") > 5 * 20


def test_labels_are_numbered_or_counted() -> None:
    assert repr(still(2).show(still(2))) == "Viewer(Motion 1, Motion 2)"
    with pytest.raises(ValueError, match="2 labels for 1 motions"):
        still(2).show(labels=["a", "b"])
