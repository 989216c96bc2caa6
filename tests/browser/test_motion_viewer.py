"""The player of motions in a real browser: it shows the frame that is heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from lithe.syntalker import BODY, Motion, Prompt
from lithe.syntalker.viewer import Viewer

#: Seconds between the frame shown and the sound's clock that go unnoticed.
IN_TIME = 0.05
FPS, SECONDS = 30.0, 4.0

STATE = """() => {
  const root = document.querySelector('.lithe-motion');
  const player = root.player;
  return { frame: Number(root.dataset.frame), time: player.time, playing: player.playing,
           ...player.camera, sound: player.sound && player.sound.currentTime };
}"""
DRIFTS = """async () => {
  const root = document.querySelector('.lithe-motion');
  const sound = root.querySelector('audio');
  const drifts = [];
  const until = performance.now() + 1500;
  while (performance.now() < until) {
    await new Promise(requestAnimationFrame);
    // The middle of the frame's own 33 ms, against the clock of what is heard.
    if (!sound.paused) drifts.push((Number(root.dataset.frame) + 0.5) / 30 - sound.currentTime);
  }
  return drifts;
}"""
COLOURS = """() => {
  const canvas = document.querySelector('.lithe-motion canvas');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let k = 0; k < pixels.length; k += 4) colours.add(pixels.slice(k, k + 3).join());
  return [colours.size, [...pixels.slice(0, 3)]];
}"""
ONSETS = """async () => {
  const source = document.querySelector('audio').src.split(',')[1];
  const bytes = Uint8Array.from(atob(source), (letter) => letter.charCodeAt(0));
  const context = new OfflineAudioContext(1, 16000, 16000);
  const samples = (await context.decodeAudioData(bytes.buffer)).getChannelData(0);
  const onsets = [];
  samples.forEach((value, k) => {
    const before = onsets.length ? onsets[onsets.length - 1] : -Infinity;
    if (Math.abs(value) > 0.25 && k - before > 4000) onsets.push(k);
  });
  return onsets.map((k) => k / 16000);
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CONTRASTS = """() => {
  const light = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = rgb => {
    const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map(light);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const root = document.querySelector('.lithe-motion');
  const ground = luminance(getComputedStyle(root).backgroundColor);
  return [...root.querySelectorAll('label, button, p, figcaption, span')]
    .filter(e => e.textContent.trim() && e.offsetParent)
    .map(e => [luminance(getComputedStyle(e).color), ground].sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
}"""


def walking(shift: float = 0.0, **more: Any) -> Motion:
    frames = round(FPS * SECONDS)
    places = np.tile(BODY.rest(), (frames, 1, 1)) + np.array([shift, 0.93, 0.0])
    places[..., 2] += np.linspace(0, 3, frames)[:, None]
    return Motion(places, FPS, **more)


def clicks() -> tuple[np.ndarray, int]:
    """A tone that starts every second, at half past."""
    t = np.arange(round(SECONDS * 16000)) / 16000
    return 0.9 * np.sin(6000 * t) * ((t % 1.0 >= 0.5) & (t % 1.0 < 0.55)), 16000


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = [Prompt(1.0, 2.0, "a person walks forward", "lower")]
    pair = [walking(audio=clicks(), prompts=prompts), walking(1.0)]
    return Viewer(pair, ["talks", "walks"]).save(tmp_path_factory.mktemp("player") / "a.html")


@pytest.fixture
def opened(page: Path, open_tab: Callable[..., Any]) -> Iterator[Any]:
    tab = open_tab()
    tab.page.goto(page.as_uri())
    tab.page.wait_for_selector(".lithe-motion[data-mounted] canvas")
    yield tab
    assert tab.errors == []
    assert tab.outside == []


def state(tab: Any) -> dict[str, Any]:
    return tab.page.evaluate(STATE)


def part(tab: Any, name: str) -> Any:
    return tab.page.locator(f"[data-lm={name}]")


def test_the_frame_shown_is_the_one_heard(opened: Any) -> None:
    part(opened, "play").click()
    opened.page.wait_for_function("() => document.querySelector('audio').currentTime > 0.1")
    drifts = opened.page.evaluate(DRIFTS)
    assert len(drifts) > 10
    assert max(abs(drift) for drift in drifts) < IN_TIME
    part(opened, "play").click()
    paused = state(opened)
    assert not paused["playing"]
    assert paused["frame"] == int(paused["time"] * FPS + 1e-4)


def test_double_speed_keeps_in_time(opened: Any) -> None:
    part(opened, "speed").select_option("2")
    part(opened, "play").click()
    opened.page.wait_for_function("() => document.querySelector('audio').currentTime > 0.2")
    drifts = opened.page.evaluate(DRIFTS)
    assert len(drifts) > 10
    # A picture stands for 1/60 s of wall clock, 1/30 s of motion.
    assert np.median(np.abs(drifts)) < IN_TIME


def test_the_sound_has_no_delay_of_its_encoder(opened: Any) -> None:
    onsets = opened.page.evaluate(ONSETS)
    np.testing.assert_allclose(onsets, [0.5, 1.5, 2.5, 3.5], atol=0.01)


def test_scrubbing_moves_picture_and_sound(opened: Any) -> None:
    part(opened, "scrub").fill("45")
    now = state(opened)
    assert now["frame"] == 45
    assert now["sound"] == pytest.approx(45.5 / FPS, abs=1e-3)
    label = part(opened, "scrub").get_attribute("aria-valuetext")
    assert label == "frame 45, 1.52 of 4.00 s"


def test_prompts_are_marked_while_they_hold_and_lead_there(opened: Any) -> None:
    prompt = opened.page.get_by_role("button", name="lower: a person walks forward")
    assert prompt.get_attribute("aria-current") == "false"
    prompt.click()
    assert prompt.get_attribute("aria-current") == "true"
    assert state(opened)["frame"] == 30


def test_keys_play_step_turn_and_zoom(opened: Any) -> None:
    canvas = opened.page.locator("canvas").first
    canvas.focus()
    for key in (".", ".", ",", "."):
        opened.page.keyboard.press(key)
    before = state(opened)
    assert before["frame"] == 2
    for key in ("ArrowRight", "ArrowUp", "+"):
        opened.page.keyboard.press(key)
    after = state(opened)
    assert after["yaw"] == pytest.approx(before["yaw"] + 0.1)
    assert after["pitch"] == pytest.approx(before["pitch"] + 0.1)
    assert after["distance"] < before["distance"]
    opened.page.keyboard.press(" ")
    assert state(opened)["playing"]
    opened.page.keyboard.press(" ")
    assert not state(opened)["playing"]
    part(opened, "reset").click()
    assert state(opened)["yaw"] == pytest.approx(before["yaw"])


def test_fingers_turn_and_pinch(opened: Any) -> None:
    box = opened.page.locator("canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = opened.page.context.new_cdp_session(opened.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": a, "y": b, "id": k} for k, (a, b) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    before = state(opened)
    touch("touchStart", (x, y))
    touch("touchMove", (x + 20, y))
    touch("touchMove", (x + 60, y))
    touch("touchEnd")
    turned = state(opened)
    assert turned["yaw"] != pytest.approx(before["yaw"])
    touch("touchStart", (x - 20, y), (x + 20, y))
    touch("touchMove", (x - 40, y), (x + 40, y))
    touch("touchMove", (x - 60, y), (x + 60, y))
    touch("touchEnd")
    assert state(opened)["distance"] < turned["distance"]


def test_the_end_stops_or_repeats(opened: Any) -> None:
    part(opened, "scrub").fill("115")
    part(opened, "play").click()
    opened.page.wait_for_function("() => !document.querySelector('.lithe-motion').player.playing")
    assert state(opened)["frame"] == 119
    part(opened, "loop").check()
    part(opened, "scrub").fill("110")
    part(opened, "play").click()
    opened.page.wait_for_function(
        "() => Number(document.querySelector('.lithe-motion').dataset.frame) < 60"
    )
    assert state(opened)["playing"]


def test_it_plays_without_sound_too(opened: Any) -> None:
    part(opened, "sound").select_option(label="none")
    part(opened, "play").click()
    opened.page.wait_for_function(
        "() => Number(document.querySelector('.lithe-motion').dataset.frame) > 10"
    )
    assert state(opened)["sound"] is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_it_is_drawn_fits_and_can_be_read(
    page: Path, open_tab: Callable[..., Any], scheme: str, size: str
) -> None:
    tab = open_tab(size, scheme)
    tab.page.goto(page.as_uri())
    count, corner = tab.page.evaluate(COLOURS)
    assert count > 20
    assert (max(corner) < 80) == (scheme == "dark")
    assert tab.page.evaluate(OVERFLOW) <= 0
    assert min(tab.page.evaluate(CONTRASTS)) >= 4.5
    assert tab.page.locator(".lm-poster").is_hidden()
    assert tab.page.locator("canvas").count() == 2


def test_every_control_has_a_name(opened: Any) -> None:
    names = opened.page.evaluate(
        """() => [...document.querySelectorAll('.lithe-motion :is(button, input, select)')].map(
          e => (e.textContent + (e.labels && e.labels[0] ? e.labels[0].textContent : '')).trim())"""
    )
    assert len(names) >= 7
    assert all(names)


def test_without_scripts_there_are_a_picture_and_a_sound(page: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(page.as_uri())
    assert tab.locator(".lm-poster svg").is_visible()
    assert tab.locator("audio").is_visible()
    assert tab.locator("canvas").count() == 0
    context.close()


def test_it_survives_nbconvert(tmp_path: Path, open_tab: Callable[..., Any]) -> None:
    """Two players in one notebook: each finds its own motion."""
    from nbconvert import HTMLExporter

    cells = []
    for frames in (30, 60):
        html = walking().cut(0, frames).show().html()
        output = nbformat.v4.new_output("display_data", {"text/html": html})
        cells.append(nbformat.v4.new_code_cell("motion.show()", outputs=[output]))
    notebook = nbformat.v4.new_notebook(cells=cells)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset='utf-8'><body>{body}", encoding="utf-8")
    tab = open_tab()
    tab.page.goto(path.as_uri())
    lengths = tab.page.evaluate(
        "() => [...document.querySelectorAll('.lithe-motion')].map(root => root.player.length)"
    )
    assert lengths == [1, 2]
    assert tab.errors == []
    assert tab.outside == []
