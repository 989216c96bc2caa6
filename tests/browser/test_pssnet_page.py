"""The viewer of pools in a real browser: it replays what the package replays."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lithe.pssnet import anneal, priority
from lithe.pssnet.exhibits import Recording, Visit, lives, replayed

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
FILES = (
    "pssnet-pools-data.js",
    "pssnet-pools.js",
    "pssnet-pools.css",
    "pssnet-pools.html",
    "pssnet-lives.png",
)
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CELLS = """() => {
  const canvas = document.querySelector('canvas');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let k = 0; k < pixels.length; k += 4) colours.add(pixels.slice(k, k + 3).join());
  return [colours.size, [...pixels.slice(0, 3)]];
}"""
CONTRASTS = """() => {
  const light = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = rgb => {
    const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map(light);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const root = document.querySelector('.pssnet-pools');
  const ground = luminance(getComputedStyle(root).backgroundColor);
  return [...root.querySelectorAll('label, button, p, figcaption, caption, th, td')]
    .filter(e => e.textContent.trim())
    .map(e => [luminance(getComputedStyle(e).color), ground].sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
}"""


@pytest.fixture(scope="module")
def recording() -> Recording:
    """What the page shows, read from the file that the page reads."""
    text = (STATIC / "pssnet-pools-data.js").read_text(encoding="utf-8")
    entry = json.loads(text.partition("=")[2].strip().rstrip(";"))
    visits = (tuple(Visit(e, bool(d), s, m) for e, d, s, m in row) for row in entry.pop("visits"))
    rows = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
    return Recording(visits=tuple(visits), **rows)


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """A page one folder down, as the chapters are, with the fragment in it."""
    (tmp_path / "_static").mkdir()
    for name in FILES:
        shutil.copy(STATIC / name, tmp_path / "_static" / name)
    page = tmp_path / "notebooks" / "page.html"
    page.parent.mkdir()
    fragment = (STATIC / "pssnet-pools.html").read_text(encoding="utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page.write_text(
        f'<!doctype html><html lang="en"><head>{head}<title>x</title></head>'
        f"<body>{fragment}</body></html>",
        encoding="utf-8",
    )
    return page


@pytest.fixture
def viewer(page_file: Path, open_tab: Callable[..., Any]) -> Callable[..., Any]:
    """``viewer(size, scheme)``: a tab in which it stands ready."""

    def make(size: str = "desktop", scheme: str = "light") -> Any:
        tab = open_tab(size, scheme)
        tab.page.goto(page_file.as_uri())
        tab.page.locator(".pp-entries tbody tr").first.wait_for()
        return tab

    return make


def test_the_recording_is_a_whole_training(recording: Recording) -> None:
    assert len(recording.targets) == len(recording.visits) == 8
    assert sum(map(len, recording.visits)) == 600
    assert max(v.epoch for row in recording.visits for v in row) == recording.epochs - 1
    shares = [sum(v.drawn for v in row) / len(row) for row in recording.visits]
    assert all(0.5 < share < 0.95 for share in shares)


def test_the_page_keeps_the_pools_that_the_package_keeps(
    viewer: Callable[..., Any], recording: Recording
) -> None:
    page = viewer().page
    for place, row in enumerate(recording.visits):
        for until in (0, 1, 7, 25, len(row)):
            found = page.evaluate(
                "([p, n]) => pssnetViewer.replay(pssnetPools, p, n).pool"
                ".map(life => [life.subnet, life.value])",
                [place, until],
            )
            expected = replayed(recording, place, until).items()
            assert [key for key, _ in found] == [key for key, _ in expected]
            assert [v for _, v in found] == pytest.approx([v for _, v in expected], abs=1e-12)
        stays = page.evaluate(
            "p => pssnetViewer.replay(pssnetPools, p, 1e9).lives"
            ".map(life => [life.subnet, life.born, life.visits.length])",
            place,
        )
        ours = [[s.subnet, s.born, len(s.visits)] for s in lives(recording, place)]
        assert sorted(stays) == sorted(ours)


def test_the_page_draws_with_the_chances_of_the_package(viewer: Callable[..., Any]) -> None:
    page = viewer().page
    values = [-2.0, -1.9, -2.5, -1.95]
    for epoch in (0, 7, 19):
        t = anneal(epoch, 20)
        assert page.evaluate("e => pssnetViewer.anneal(e, 20)", epoch) == pytest.approx(t)
        found = page.evaluate("([v, t]) => pssnetViewer.priority(v, t)", [values, t])
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), priority(values, t))


def test_what_is_shown_follows_the_controls_by_keyboard(
    viewer: Callable[..., Any], recording: Recording
) -> None:
    tab = viewer()
    page = tab.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.pp") == "place"
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    place = int(page.locator("[data-pp=place]").input_value())
    total = len(recording.visits[place])
    assert page.locator("[data-pp=visit-value]").inner_text() == f"6 of {total}"
    pool = replayed(recording, place, 6)
    assert page.locator(".pp-entries tbody tr").count() == len(pool)
    first = page.locator(".pp-entries tbody tr").first.locator("th").inner_text()
    assert first == recording.subnets[pool.best()]
    assert f"{len(pool)} of 10 places" in page.locator("[data-pp=status]").inner_text()
    assert (tab.errors, tab.outside) == ([], [])


def test_every_control_has_a_name(viewer: Callable[..., Any]) -> None:
    page = viewer().page
    for role, name in (
        ("combobox", "Budget"),
        ("slider", "Visit of this pool"),
        ("button", "Back one visit"),
        ("button", "On one visit"),
        ("img", "Stays of subnets"),
        ("region", "The pool at this visit"),
        ("table", "The pool at this visit"),
    ):
        assert page.get_by_role(role, name=name).count() == 1, name


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_wide_and_narrow_light_and_dark(
    viewer: Callable[..., Any], size: str, scheme: str
) -> None:
    tab = viewer(size, scheme)
    for place in ("0", "7", "4"):
        tab.page.select_option("[data-pp=place]", place)
        assert tab.page.evaluate(OVERFLOW) == 0
        colours, first = tab.page.evaluate(CELLS)
        assert colours >= 4
        assert (sum(first) < 150) == (scheme == "dark")
    assert min(tab.page.evaluate(CONTRASTS)) >= 4.5
    _screenshot(tab.page, size, scheme)
    assert (tab.errors, tab.outside) == ([], [])


def test_it_follows_when_the_page_goes_dark(viewer: Callable[..., Any]) -> None:
    page = viewer().page
    before = page.evaluate(CELLS)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(200)
    assert page.evaluate(CELLS)[1] != before[1]


def test_without_scripts_a_picture_and_a_table_stand_there(page_file: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    picture = page.locator(".pssnet-still img")
    assert picture.is_visible()
    assert picture.bounding_box()["width"] > 100
    assert len(picture.get_attribute("alt")) > 40
    assert page.locator(".pssnet-table tbody tr").count() == 3
    context.close()


def test_the_script_is_small_and_asks_for_nothing_outside() -> None:
    scripts = [STATIC / name for name in FILES if name.endswith(".js")]
    assert sum(path.stat().st_size for path in scripts) <= 60_000
    for path in (STATIC / name for name in FILES if not name.endswith(".png")):
        assert "http" not in path.read_text(encoding="utf-8")


def _screenshot(page: Any, size: str, scheme: str) -> None:
    if folder := os.environ.get("LITHE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"pssnet-pools-{size}-{scheme}.png"))
