"""Prompts and voices in a real browser: the chosen one plays, by mouse and by keyboard."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lithe.syntalker import grid
from lithe.syntalker.random_bundle import random_bundle
from lithe.syntalker.sampler import Sampling

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
OURS = ("motion-viewer.js", "motion-viewer.css", "syntalker-grid.js", "syntalker-grid.css")
SHOWN = """() => {
  const root = document.querySelector('.syntalker-grid').grid.now;
  const player = root.player;
  if (!player) return null;
  const hidden = [...document.querySelectorAll('.lithe-motion')].filter(e => e !== root);
  return { time: player.time, frame: Number(root.dataset.frame), playing: player.playing,
           yaw: player.camera.yaw, first: [...player.pictures.at(-1).positions.slice(0, 6)],
           pictures: player.pictures.length, sound: root.querySelector('audio').src.length,
           others: hidden.every(e => e.hidden && !(e.player && e.player.playing)) };
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CONTRASTS = """() => {
  const light = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = rgb => {
    const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map(light);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const root = document.querySelector('.syntalker-grid');
  const ground = [root, document.body, document.documentElement]
    .map(e => getComputedStyle(e).backgroundColor)
    .find(c => c !== 'rgba(0, 0, 0, 0)') || 'rgb(255, 255, 255)';
  return [...root.querySelectorAll('.sg-choices label, .sg-choices legend, .sg-beside, .sg-status')]
    .map(e => [luminance(getComputedStyle(e).color), luminance(ground)].sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
}"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page one folder down, as the chapters are, with the fragment in it."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "_static").mkdir()
    for name in OURS:
        shutil.copy(STATIC / name, folder / "_static" / name)
    bundle = random_bundle("small", torch.Generator().manual_seed(0))
    grid.write(bundle, folder / "_static", Sampling(steps=1))
    fragment = (folder / "_static" / "syntalker-grid.html").read_text(encoding="utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page = folder / "notebooks" / "page.html"
    page.parent.mkdir()
    page.write_text(
        f'<!doctype html><html lang="en"><head>{head}<title>x</title></head>'
        f"<body>{fragment}</body></html>",
        encoding="utf-8",
    )
    return page


@pytest.fixture(scope="module")
def data(page_file: Path) -> dict[str, Any]:
    text = (page_file.parents[1] / "_static" / grid.FILES[0]).read_text(encoding="utf-8")
    return json.loads(text.partition("=")[2].strip().rstrip(";"))


@pytest.fixture
def opened(page_file: Path, open_tab: Callable[..., Any]) -> Callable[..., Any]:
    def make(size: str = "desktop", scheme: str = "light") -> Any:
        tab = open_tab(size, scheme)
        tab.page.goto(page_file.as_uri())
        settled(tab.page)
        return tab

    return make


def settled(page: Any) -> dict[str, Any]:
    page.wait_for_function(f"() => ({SHOWN})() !== null")
    return page.evaluate(SHOWN)


def first_places(data: dict[str, Any], ask: int, voice: int) -> np.ndarray:
    entry = data["cells"][ask][voice]
    codes = np.frombuffer(base64.b64decode(entry["positions"]), "<i2")[:6]
    return codes * entry["scale"] + np.tile(entry["origin"], 2)


def choose(page: Any, ask: int, voice: int) -> dict[str, Any]:
    page.locator("[data-sg=voices] input").nth(voice).check()
    page.locator("[data-sg=asks] input").nth(ask).check()
    return settled(page)


def test_the_chosen_motion_is_shown_and_no_other(opened, data) -> None:
    tab = opened()
    for ask, voice in ((1, 0), (4, 2), (0, 2), (1, 0)):
        now = choose(tab.page, ask, voice)
        np.testing.assert_allclose(now["first"], first_places(data, ask, voice), atol=1e-5)
        assert now["sound"] == len(data["voices"][voice]["sound"])
        assert now["others"]
        assert tab.page.locator(".lithe-motion:visible").count() == 1
    assert (tab.errors, tab.outside) == ([], [])


def test_keys_alone_choose_and_play(opened, data) -> None:
    tab = opened()
    page = tab.page
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # the second voice
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # the third prompt; the second is the first to be shown
    now = settled(page)
    np.testing.assert_allclose(now["first"], first_places(data, 2, 1), atol=1e-5)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # beside it, speech alone
    assert settled(page)["pictures"] == 2
    page.locator(".lithe-motion:visible [data-lm=play]").focus()
    page.keyboard.press("Enter")
    assert settled(page)["playing"]
    assert tab.errors == []


def test_another_prompt_goes_on_and_another_voice_begins_anew(opened) -> None:
    page = opened().page
    page.locator(".lithe-motion:visible [data-lm=scrub]").fill("45")
    page.locator(".lithe-motion:visible canvas").press("ArrowRight")
    before = settled(page)
    after = choose(page, 3, 0)
    assert (after["frame"], after["yaw"]) == (45, before["yaw"])
    assert not after["playing"]
    anew = choose(page, 3, 1)
    assert (anew["frame"], anew["yaw"]) == (0, before["yaw"])


def test_what_plays_goes_on_playing_and_stops_where_it_was_left(opened) -> None:
    page = opened().page
    page.locator(".lithe-motion:visible [data-lm=play]").click()
    page.wait_for_timeout(300)
    now = choose(page, 2, 0)
    page.wait_for_timeout(200)
    later = settled(page)
    assert now["playing"]
    assert later["playing"]
    assert later["time"] > now["time"] > 0
    assert later["others"]


def test_the_rules_are_told_to_screen_readers(opened, data) -> None:
    page = opened().page
    choose(page, 4, 1)
    cell = data["cells"][4][1]
    status = page.get_by_role("status").inner_text()
    assert f"legs {cell['legs']}, arms {cell['arms']}" in status
    assert f"{cell['own']:.2f}" in status
    for name in ("Voice", "Prompt"):
        assert page.get_by_role("group", name=name, exact=True).count() == 1
    assert page.get_by_role("radio").count() == 3 + len(grid.ASKS)


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_wide_and_narrow_light_and_dark(opened, size: str, scheme: str) -> None:
    tab = opened(size, scheme)
    tab.page.get_by_label("Beside it").check()
    assert settled(tab.page)["pictures"] == 2
    assert tab.page.evaluate(OVERFLOW) == 0
    assert min(tab.page.evaluate(CONTRASTS)) >= 4.5
    if folder := os.environ.get("LITHE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        tab.page.screenshot(path=str(Path(folder) / f"syntalker-grid-{size}-{scheme}.png"))
    assert (tab.errors, tab.outside) == ([], [])


def test_without_scripts_a_picture_and_a_table_stand_there(page_file: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator(".sg-still img").bounding_box()["width"] > 100
    assert page.locator(".sg-table tbody tr").count() == len(grid.ASKS)
    context.close()
