"""The built book as a reader opens it: from a file, without a network, wide and narrow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lithe.book.site import pages_of_toc

ROOT = Path(__file__).resolve().parents[2]
PAGES = pages_of_toc(ROOT / "_toc.yml")
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
LEAST_CONTRAST = 4.5  # WCAG 2 AA for text of ordinary size

SETTLED = """async () => {
  await document.fonts.ready;
  if (window.MathJax?.startup) await MathJax.startup.promise;
}"""
WITHOUT_ALT = "() => [...document.images].filter(i => !i.alt.trim()).map(i => i.src.slice(-60))"
UNTYPESET = """() => [...document.querySelectorAll('.math')].filter(
  m => !m.querySelector('mjx-container') || m.querySelector('[data-mml-node=merror]')
).map(m => m.textContent.slice(0, 60))"""
OVERFLOW = """() => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide <= 0) return [];
  const limit = document.documentElement.clientWidth;
  return [...document.querySelectorAll('.bd-article *')]
    .filter(e => e.getBoundingClientRect().right > limit + 1)
    .map(e => e.tagName + '.' + e.className).slice(0, 5).concat(wide + ' px too wide');
}"""
CONTRASTS = """() => {
  const light = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = rgb => {
    const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map(light);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll('.verdict')].map(chip => {
    const style = getComputedStyle(chip);
    const pair = [luminance(style.color), luminance(style.backgroundColor)].sort((a, b) => b - a);
    return [(pair[0] + 0.05) / (pair[1] + 0.05), chip.textContent];
  });
}"""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_from_a_file_without_a_network(
    site: Path, open_tab: Callable[..., Any], page: str
) -> None:
    """Loaded wide and light; then every size and scheme, as a reader may turn and switch."""
    tab = open_tab()
    tab.page.goto((site / f"{page}.html").as_uri())
    tab.page.evaluate(SETTLED)
    assert tab.page.title()
    assert tab.page.evaluate(WITHOUT_ALT) == []
    assert tab.page.evaluate(UNTYPESET) == []
    _looks(tab, page, ("desktop", "phone"))


@pytest.mark.parametrize("page", [PAGES[0], "notebooks/01_dcff", "book/scoreboard"])
def test_a_page_opens_on_a_phone_in_the_dark(
    site: Path, open_tab: Callable[..., Any], page: str
) -> None:
    tab = open_tab("phone", "dark")
    tab.page.goto((site / f"{page}.html").as_uri())
    tab.page.evaluate(SETTLED)
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"
    _looks(tab, page, ("phone",))


def _looks(tab: Any, page: str, sizes: tuple[str, ...]) -> None:
    """No overflow and readable verdicts in each size and scheme; nothing outside, no error."""
    for size in sizes:
        tab.page.set_viewport_size(SIZES[size])
        for scheme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=scheme)
            tab.page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
            assert tab.page.evaluate(OVERFLOW) == []
            assert [c for c in tab.page.evaluate(CONTRASTS) if c[0] < LEAST_CONTRAST] == []
            _screenshot(tab.page, page, size, scheme)
    assert tab.outside == []
    assert tab.errors == []


def test_search_finds_the_chapter_offline(site: Path, open_tab: Callable[..., Any]) -> None:
    tab = open_tab()
    tab.page.goto((site / "search.html").as_uri() + "?q=filters")
    results = tab.page.locator("#search-results li a")
    results.first.wait_for(timeout=10_000)
    addresses = results.evaluate_all("links => links.map(link => link.href)")
    assert any("notebooks/01_dcff.html" in address for address in addresses)
    assert (tab.outside, tab.errors) == ([], [])


def test_the_first_key_press_offers_to_skip_to_the_text(
    site: Path, open_tab: Callable[..., Any]
) -> None:
    tab = open_tab()
    tab.page.goto((site / f"{PAGES[0]}.html").as_uri())
    tab.page.keyboard.press("Tab")
    focused = tab.page.evaluate("[document.activeElement.innerText, document.activeElement.hash]")
    assert "skip to main content" in focused[0].lower()
    assert tab.page.locator(focused[1]).count() == 1


def test_a_verdict_leads_to_its_row(site: Path, open_tab: Callable[..., Any]) -> None:
    tab = open_tab()
    tab.page.goto((site / "book/deviations.html").as_uri())
    tab.page.locator("a.verdict").first.click()
    tab.page.wait_for_url("**/scoreboard.html#claim-*")
    row = tab.page.locator(f"[id='{tab.page.url.partition('#')[2]}']")
    assert row.count() == 1
    row.locator("summary").click()
    assert row.locator("details").get_attribute("open") is not None


def test_the_first_address_leads_to_the_book(site: Path, open_tab: Callable[..., Any]) -> None:
    tab = open_tab()
    tab.page.goto((site / "index.html").as_uri())
    tab.page.wait_for_url(f"**/{PAGES[0]}.html")


def _screenshot(page: Any, name: str, size: str, scheme: str) -> None:
    """Keep a picture of the page where LITHE_SCREENSHOTS says so."""
    if folder := os.environ.get("LITHE_SCREENSHOTS"):
        file = Path(folder) / f"{name.replace('/', '-')}-{size}-{scheme}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(file))
