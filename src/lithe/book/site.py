"""What must hold of a built book: all pages, nothing from outside, alt texts, no raw roles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from bs4 import BeautifulSoup

__all__ = ["pages_of_toc", "problems"]

GENERATED = {"index.html", "genindex.html", "search.html", "py-modindex.html"}
RESOURCES = {"stylesheet", "icon", "shortcut", "preload", "prefetch", "preconnect", "manifest"}
OUTSIDE = re.compile(r"^\s*(?:https?:)?//", re.I)
ROLE = re.compile(r"\{(?:result|claim|given)\}`\S*")
CSS_OUTSIDE = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])(?:https?:)?//[^)'\"\s]+", re.I)


def pages_of_toc(toc: Path) -> list[str]:
    """The page names of a ``_toc.yml`` (no suffix), root first."""
    return _files(yaml.safe_load(toc.read_text(encoding="utf-8")))


def problems(html: Path, pages: list[str]) -> list[str]:
    """What is wrong with a built book, one line each.

    Args:
        html: the folder of the site.
        pages: the page names that the table of contents promises.
    """
    built = {
        path.relative_to(html).as_posix()
        for path in html.rglob("*.html")
        if "_static" not in path.relative_to(html).parts
    }
    promised = {f"{page}.html" for page in pages}
    found = [f"{page}: in the table of contents, but not built" for page in promised - built]
    unknown = {page for page in built - promised - GENERATED if not page.startswith("_modules/")}
    found += [f"{page}: built, but not in the table of contents" for page in unknown]
    for page in sorted(built):
        found += [f"{page}: {problem}" for problem in _page_problems(html / page)]
    for sheet in sorted(html.rglob("*.css")):
        outside = CSS_OUTSIDE.findall(sheet.read_text(encoding="utf-8", errors="replace"))
        found += [f"{sheet.relative_to(html)}: asks for {what}" for what in outside]
    return sorted(found)


def _page_problems(path: Path) -> list[str]:
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    found = [f"asks for {address}" for address in _addresses(soup) if OUTSIDE.match(address)]
    for image in soup.find_all("img"):
        if not (image.get("alt") or "").strip():
            found.append(f"image {image.get('src', '')[-60:]} has no alt text")
    for style in soup.find_all("style"):
        found += [f"asks for {what}" for what in CSS_OUTSIDE.findall(style.get_text())]
    return found + _roles(soup)


def _roles(soup: BeautifulSoup) -> list[str]:
    """Roles that came out as text, as in a table cell that their pipe has cut in two."""
    for code in soup.find_all(["code", "pre", "script", "style"]):
        code.decompose()
    shown = ROLE.findall(soup.get_text(" "))
    return [f"{text} was not rendered; in a table write ; for |" for text in shown]


def _addresses(soup: BeautifulSoup) -> list[str]:
    """Addresses that a browser fetches by itself when it opens the page."""
    tags = soup.find_all(["script", "img", "iframe", "video", "audio", "source", "embed", "object"])
    found = [tag.get(name) for tag in tags for name in ("src", "srcset", "data", "poster")]
    for link in soup.find_all("link"):
        if RESOURCES & set(link.get("rel") or []):
            found.append(link.get("href"))
    return [address for address in found if address]


def _files(entry: Any) -> list[str]:
    """Every ``root`` and ``file`` of a table of contents, in order."""
    if isinstance(entry, list):
        return [name for item in entry for name in _files(item)]
    if not isinstance(entry, dict):
        return []
    own = [entry[key] for key in ("root", "file") if key in entry]
    own = [re.sub(r"\.(md|ipynb|rst)$", "", name) for name in own]
    return own + [name for value in entry.values() for name in _files(value)]
