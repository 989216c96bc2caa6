"""The explorer of 1xN masks in a real browser: it chooses what the package chooses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lithe.onexn import block_mask, filter_mask

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
FILES = (
    "onexn-explorer-data.js",
    "onexn-explorer.js",
    "onexn-explorer.css",
    "onexn-explorer.html",
    "onexn-masks.png",
)
SETTINGS = [
    (1, 0.5, False),
    (2, 0.25, True),
    (4, 0.5, False),
    (4, 0.5, True),
    (5, 0.29, True),
    (7, 0.57, False),
    (16, 0.75, False),
    (16, 0.9, True),
    (32, 0.95, True),
    (32, 0.0, False),
]
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CELLS = """async () => {
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
  const root = document.querySelector('.onexn-explorer');
  const ground = luminance(getComputedStyle(root).backgroundColor);
  return [...root.querySelectorAll('label, p, figcaption, caption, th, td')]
    .filter(e => e.textContent.trim())
    .map(e => [luminance(getComputedStyle(e).color), ground].sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
}"""


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """A page one folder down, as the chapters are, with the fragment in it."""
    (tmp_path / "_static").mkdir()
    for name in FILES:
        shutil.copy(STATIC / name, tmp_path / "_static" / name)
    page = tmp_path / "notebooks" / "page.html"
    page.parent.mkdir()
    fragment = (STATIC / "onexn-explorer.html").read_text(encoding="utf-8")
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
        tab.page.locator(".ox-bars tr").first.wait_for()
        return tab

    return make


def _python_layers(page: Any) -> list[torch.Tensor]:
    raw = page.evaluate(
        "() => onexnExplorer.layers.map(l => [l.filters, l.inputs, Array.from(l.norms)])"
    )
    return [torch.tensor(norms).float().reshape(o, i) for o, i, norms in raw]


@pytest.mark.parametrize(("n", "rate", "rearrange"), SETTINGS)
def test_the_page_chooses_the_blocks_that_the_package_chooses(
    explorer: Callable[..., Any], n: int, rate: float, rearrange: bool
) -> None:
    page = explorer().page
    chosen = page.evaluate(
        "([n, p, r]) => onexnExplorer.layers.map("
        "  layer => Array.from(onexnExplorer.mask(layer, n, p, r).kept))",
        [n, rate, rearrange],
    )
    for weight, kept in zip(_python_layers(page), chosen, strict=True):
        expected = block_mask(weight, n, rate, rearrange)
        assert np.array_equal(np.array(kept, dtype=bool), expected.flatten().numpy())


def test_whole_filters_are_dropped_as_the_package_drops_them(
    explorer: Callable[..., Any],
) -> None:
    page = explorer().page
    shares = page.evaluate("() => onexnExplorer.layers.map(l => onexnExplorer.filterMass(l, 0.57))")
    for weight, share in zip(_python_layers(page), shares, strict=True):
        assert share == pytest.approx(float(weight[filter_mask(weight, 0.57)].sum() / weight.sum()))


def test_what_is_shown_follows_the_sliders_by_keyboard(explorer: Callable[..., Any]) -> None:
    tab = explorer()
    page = tab.page
    weight = _python_layers(page)[0]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.ox") == "layer"
    page.keyboard.press("Tab")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("[data-ox=n-value]").inner_text() == "8"
    assert page.locator("[data-ox=rate-value]").inner_text() == "70 %"
    mask = block_mask(weight, 8, 0.7, True)
    shown = page.locator(".ox-own .ox-number").inner_text()
    assert shown == f"{100 * float(weight[mask].sum() / weight.sum()):.1f} %"
    blocks = weight.shape[0] // 8 * weight.shape[1]
    assert f"{blocks - int(0.7 * blocks)} of {blocks} blocks" in page.locator(
        "[data-ox=status]"
    ).inner_text().replace(",", "")
    assert "N = 8" in page.locator("canvas").get_attribute("aria-label")
    assert (tab.errors, tab.outside) == ([], [])


def test_every_control_has_a_name(explorer: Callable[..., Any]) -> None:
    page = explorer().page
    for role, name in (
        ("combobox", "Layer"),
        ("slider", "Filters per block"),
        ("slider", "Blocks dropped"),
        ("checkbox", "Put filters of similar norm"),
        ("checkbox", "Draw the filters"),
        ("img", "Mask of"),
    ):
        assert page.get_by_role(role, name=name).count() == 1, name


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_wide_and_narrow_light_and_dark(
    explorer: Callable[..., Any], size: str, scheme: str
) -> None:
    tab = explorer(size, scheme)
    for layer in range(tab.page.locator("[data-ox=layer] option").count()):
        tab.page.select_option("[data-ox=layer]", str(layer))
        assert tab.page.evaluate(OVERFLOW) == 0
        colours, first = tab.page.evaluate(CELLS)
        assert colours > 20
        assert first != [0, 0, 0]
    assert min(tab.page.evaluate(CONTRASTS)) >= 4.5
    tab.page.check("[data-ox=rearrange]")
    _screenshot(tab.page, size, scheme)
    assert (tab.errors, tab.outside) == ([], [])


def test_it_follows_when_the_page_goes_dark(explorer: Callable[..., Any]) -> None:
    page = explorer().page
    before = page.evaluate(CELLS)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(200)
    assert page.evaluate(CELLS)[1] != before[1]


def test_without_scripts_a_picture_and_a_table_stand_there(page_file: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    picture = page.locator(".onexn-still img")
    assert picture.is_visible()
    assert picture.bounding_box()["width"] > 100
    assert len(picture.get_attribute("alt")) > 40
    assert page.locator(".onexn-table tbody tr").count() == 5
    context.close()


def test_the_script_is_small_and_asks_for_nothing_outside() -> None:
    scripts = [STATIC / name for name in FILES if name.endswith(".js")]
    assert sum(path.stat().st_size for path in scripts) <= 60_000
    for path in (STATIC / name for name in FILES if not name.endswith(".png")):
        assert "http" not in path.read_text(encoding="utf-8")


def _screenshot(page: Any, size: str, scheme: str) -> None:
    if folder := os.environ.get("LITHE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"onexn-explorer-{size}-{scheme}.png"))
