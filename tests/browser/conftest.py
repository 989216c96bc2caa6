"""A browser that cannot reach a network, and the built book to open in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("LITHE_SITE", ROOT / "_build" / "html"))
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def unavailable(reason: str) -> None:
    """In CI everything has to be there; elsewhere say what is missing."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "search.html").is_file():
        unavailable(f"no built book at {SITE.name}: run `make book` (python -m lithe.book build)")
    return SITE


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        unavailable("no chromium: install Debian's package `chromium`")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("no playwright: pip install -e .[test]")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield opened
        opened.close()


@dataclass
class Tab:
    """A browser page, with what went wrong in it and what it asked of the outside."""

    page: Any
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.page.on("requestfailed", lambda r: self.errors.append(f"failed: {r.url}"))

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _request(self, request: Any) -> None:
        if request.url.partition(":")[0] not in ("file", "data", "blob", "about"):
            self.outside.append(request.url)


@pytest.fixture
def open_tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """``open_tab(size, scheme)``: an empty tab without a network."""
    contexts = []

    def make(size: str = "desktop", scheme: str = "light") -> Tab:
        context = browser.new_context(viewport=SIZES[size], color_scheme=scheme)
        context.set_offline(True)
        context.route("http*://**", lambda route: route.abort())
        contexts.append(context)
        tab = Tab(context.new_page())
        tab.watch()
        return tab

    yield make
    for context in contexts:
        context.close()
