"""The photograph with a draggable budget, in a real browser: it spends what the package spends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lithe.arm.anytime import Ladder

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
FILES = (
    "arm-explorer-data.js",
    "arm-explorer.js",
    "arm-explorer.css",
    "arm-explorer.html",
    *(f"arm-branch-{j}.webp" for j in range(4)),
)
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CONTRASTS = """() => {
  const light = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = rgb => {
    const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map(light);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const root = document.querySelector('.arm-explorer');
  const own = e => getComputedStyle(e).backgroundColor;
  const ground = e => own(e) === 'rgba(0, 0, 0, 0)' ? own(root) : own(e);
  return [...root.querySelectorAll('label, p, figcaption, caption, th, td, .ae-key')]
    .filter(e => e.textContent.trim())
    .map(e => [luminance(getComputedStyle(e).color), luminance(ground(e))].sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
}"""
DRAWN = """() => {
  const canvas = document.querySelector('[data-ae=curve]');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let k = 0; k < pixels.length; k += 4) colours.add(pixels.slice(k, k + 4).join());
  return colours.size;
}"""


@pytest.fixture(scope="module")
def photo() -> dict[str, Any]:
    text = (STATIC / "arm-explorer-data.js").read_text(encoding="utf-8")
    return json.loads(text.partition(" = ")[2].rstrip(";\n"))


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """A page one folder down, as the chapters are, with the fragment in it."""
    (tmp_path / "_static").mkdir()
    for name in FILES:
        shutil.copy(STATIC / name, tmp_path / "_static" / name)
    page = tmp_path / "notebooks" / "page.html"
    page.parent.mkdir()
    fragment = (STATIC / "arm-explorer.html").read_text(encoding="utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page.write_text(
        f'<!doctype html><html lang="en"><head>{head}<title>x</title></head>'
        f"<body>{fragment}</body></html>",
        encoding="utf-8",
    )
    return page


@pytest.fixture
def explorer(page_file: Path, open_tab: Callable[..., Any]) -> Callable[..., Any]:
    """``explorer(size, scheme)``: a tab in which it stands ready."""

    def make(size: str = "desktop", scheme: str = "light") -> Any:
        tab = open_tab(size, scheme)
        tab.page.goto(page_file.as_uri())
        tab.page.locator(".ae-counts tr").first.wait_for()
        tab.page.wait_for_load_state("load")
        return tab

    return make


def ladder_of(photo: dict[str, Any], router: dict[str, Any]) -> Ladder:
    """The package's ladder, rebuilt from the steps that the page was given."""
    costs, area = np.array(photo["costs"]), np.array(photo["area"])
    squared, route = np.array(photo["squared"], float), np.array(router["start"])
    everywhere = np.arange(len(area))
    spent, errors = [], []
    for step in range(len(router["cell"]) + 1):
        spent.append((costs[route] * area).sum())
        errors.append(squared[route, everywhere].sum())
        if step < len(router["cell"]):
            route[router["cell"][step]] = router["branch"][step]
    cell, branch = np.array(router["cell"]), np.array(router["branch"])
    return Ladder(np.array(router["start"]), cell, branch, np.array(spent), np.array(errors))


def test_the_page_buys_what_the_package_buys(explorer, photo) -> None:
    page = explorer().page
    full = max(photo["costs"]) * sum(photo["area"])
    for k, router in enumerate(photo["routers"]):
        found = page.evaluate(
            "k => armExplorer.curve(armExplorer.photo, armExplorer.photo.routers[k], 40)", k
        )
        errors = ladder_of(photo, router).at(np.arange(41) / 40 * full * (1 + 1e-9))
        wanted = 10 * np.log10(255**2 * photo["pixels"] / errors)
        assert found == pytest.approx(wanted.tolist(), abs=1e-9), router["id"]


def test_it_is_worked_by_keyboard(explorer, photo) -> None:
    tab = explorer()
    page = tab.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.ae") == "router"
    page.keyboard.press("Tab")
    before = page.locator("[data-ae=status]").inner_text()
    page.keyboard.press("End")
    assert page.locator("[data-ae=budget-value]").inner_text() == "100 %"
    assert page.locator("[data-ae=status]").inner_text() != before
    page.keyboard.press("Home")
    counts = page.locator(".ae-counts td").all_inner_texts()
    assert counts == [str(len(photo["area"])), "0", "0", "0"]
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-ae=divider-value]").inner_text() == "31 %"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert not page.locator("[data-ae=map]").is_checked()
    assert (tab.errors, tab.outside) == ([], [])


def test_the_divider_follows_a_pointer_in_the_picture(explorer) -> None:
    page = explorer().page
    box = page.locator(".ae-photo").bounding_box()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 5)
    page.mouse.down()
    page.mouse.up()
    assert page.locator("[data-ae=divider-value]").inner_text() in ("79 %", "80 %", "81 %")


def test_every_control_has_a_name(explorer) -> None:
    page = explorer().page
    for role, name in (
        ("combobox", "Routed by"),
        ("slider", "Budget"),
        ("slider", "Divider"),
        ("checkbox", "Show the branch"),
        ("img", "A rocket on its launch pad"),
        ("img", "PSNR against budget"),
    ):
        assert page.get_by_role(role, name=name).count() == 1, name


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_wide_and_narrow_light_and_dark(explorer, size: str, scheme: str) -> None:
    tab = explorer(size, scheme)
    options = tab.page.locator("[data-ae=router] option").count()
    assert options == 5
    tab.page.select_option("[data-ae=router]", index=1)
    assert tab.page.evaluate(OVERFLOW) == 0
    assert tab.page.evaluate(DRAWN) > 4
    assert tab.page.evaluate("() => document.querySelector('.ae-photo').width") == 640
    assert min(tab.page.evaluate(CONTRASTS)) >= 4.5
    _screenshot(tab.page, size, scheme)
    assert (tab.errors, tab.outside) == ([], [])


def test_without_scripts_a_picture_and_a_table_stand_there(page_file: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    picture = page.locator(".arm-still img")
    assert picture.is_visible()
    assert len(picture.get_attribute("alt")) > 40
    assert page.locator(".arm-table tbody tr").count() == 5
    assert not page.locator(".arm-sources").is_visible()
    context.close()


def test_the_script_is_small_and_asks_for_nothing_outside() -> None:
    scripts = [STATIC / name for name in FILES if name.endswith(".js")]
    assert sum(path.stat().st_size for path in scripts) <= 60_000
    for path in (STATIC / name for name in FILES if not name.endswith(".webp")):
        assert "http" not in path.read_text(encoding="utf-8")


def _screenshot(page: Any, size: str, scheme: str) -> None:
    if folder := os.environ.get("LITHE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / f"arm-explorer-{size}-{scheme}.png"
        page.screenshot(path=str(path), full_page=True)
