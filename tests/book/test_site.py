"""The checks of a built site, the style sheet's contrasts, and one real build."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from lithe.book import BuildError, build
from lithe.book.__main__ import main
from lithe.book.site import pages_of_toc, problems

ROOT = Path(__file__).parents[2]
STYLE = ROOT / "book" / "_static" / "lithe.css"
LEAST_CONTRAST = 4.5  # WCAG 2 AA for text of ordinary size


def site(folder: Path, body: str, name: str = "page") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.html").write_text(f"<html><head></head><body>{body}</body></html>")
    return folder


@pytest.mark.parametrize(
    "body",
    [
        '<a href="https://example.org">a link may lead outside</a>',
        '<img src="_images/x.png" alt="a line going up">',
        '<script src="_static/x.js"></script>',
        '<script>const text = "https://example.org/x.js"</script>',
        '<link rel="next" href="https://example.org/">',
        "<p>Write <code>{result}`a/b/small/0:x`</code>.</p>",
        '<img src="data:image/png;base64,AAAA" alt="a dot">',
    ],
)
def test_a_page_that_asks_for_nothing_outside_passes(tmp_path: Path, body: str) -> None:
    assert problems(site(tmp_path, body), ["page"]) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<script src="https://example.org/x.js"></script>', "asks for https://example.org/x.js"),
        ('<script src="//example.org/x.js"></script>', "asks for //example.org/x.js"),
        ('<link rel="stylesheet" href="http://example.org/x.css">', "asks for http://example.org"),
        ('<img src="https://example.org/x.png" alt="a">', "asks for https://example.org/x.png"),
        ('<iframe src="https://example.org"></iframe>', "asks for https://example.org"),
        ("<style>@import 'https://example.org/f.css';</style>", "asks for @import"),
        ("<style>a {background: url(https://example.org/f.woff)}</style>", "asks for url("),
        (
            "<td>{result}`a/b/small/*:x</td><td>mean`</td>",
            "{result}`a/b/small/*:x was not rendered",
        ),
        ('<img src="x.png">', "image x.png has no alt text"),
        ('<img src="x.png" alt=" ">', "image x.png has no alt text"),
    ],
)
def test_a_page_that_asks_outside_or_hides_an_image_is_named(
    tmp_path: Path, body: str, problem: str
) -> None:
    [found] = problems(site(tmp_path, body), ["page"])
    assert found.startswith(f"page.html: {problem}")


def test_pages_and_table_of_contents_have_to_agree(tmp_path: Path) -> None:
    site(tmp_path, "", "page")
    site(tmp_path, "", "stray")
    site(tmp_path, "", "search")
    assert problems(tmp_path, ["page", "gone"]) == [
        "gone.html: in the table of contents, but not built",
        "stray.html: built, but not in the table of contents",
    ]


def test_a_style_sheet_with_an_outside_font_is_named(tmp_path: Path) -> None:
    site(tmp_path, "")
    (tmp_path / "x.css").write_text("@font-face {src: url('https://example.org/f.woff2')}")
    assert problems(tmp_path, ["page"]) == ["x.css: asks for url('https://example.org/f.woff2"]


def test_every_page_of_the_book_has_a_source() -> None:
    pages = pages_of_toc(ROOT / "_toc.yml")
    assert pages[0] == "book/index"
    assert len(set(pages)) == len(pages)
    for page in pages:
        if page.startswith("book/"):
            assert (ROOT / f"{page}.md").is_file(), page


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_verdict_has_a_colour_of_its_own_that_can_be_read() -> None:
    """The chip's colours hold in light and in dark mode: it has its own background."""
    from lithe.ledger import VERDICTS

    colours = dict(re.findall(r"--verdict-([a-z-]+): (#[0-9a-f]{6});", STYLE.read_text()))
    text = luminance(colours.pop("text"))
    assert set(colours) == {verdict.replace(" ", "-") for verdict in VERDICTS}
    assert len(set(colours.values())) == len(VERDICTS)
    for name, colour in colours.items():
        contrast = (max(text, luminance(colour)) + 0.05) / (min(text, luminance(colour)) + 0.05)
        assert contrast >= LEAST_CONTRAST, name


def checkout(folder: Path, page: str) -> Path:
    """A git checkout with the book's own configuration and extension, and two pages."""
    config = (ROOT / "_config.yml").read_text()
    notebook = {
        "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Chapter\n\n$a^2$"},
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    files = {
        "_config.yml": config,
        "_toc.yml": "format: jb-book\nroot: book/index\nchapters:\n  - file: notebooks/one\n",
        "book/index.md": page,
        "book/references.bib": (ROOT / "book" / "references.bib").read_text(),
        "book/claims/.keep": "",
        "notebooks/one.ipynb": json.dumps(notebook),
        ".gitignore": "_build/\n__pycache__/\n",
    }
    for path in [STYLE, *(ROOT / "book" / "_ext").rglob("*.py")]:
        files[path.relative_to(ROOT).as_posix()] = path.read_text()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def status(folder: Path) -> str:
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def built_with() -> None:
    pytest.importorskip("jupyter_book", reason="not installed: pip install -e .[book]")


def test_a_book_is_built_into_one_folder_and_the_tree_stays_clean(
    tmp_path: Path, built_with: None, capsys: pytest.CaptureFixture[str]
) -> None:
    root = checkout(tmp_path / "a place with spaces", "# Welcome\n\n$x = 1$, $$y = 2$$\n")
    before = status(root)
    assert main(["--root", str(root), "build", "--no-execute"]) == 0
    assert capsys.readouterr().out == f"2 pages: open {root}/_build/html/book/index.html\n"
    html = root / "_build" / "html"
    assert (html / "_static" / "mathjax" / "tex-svg.js").stat().st_size > 1_000_000
    page = (html / "book" / "index.html").read_text()
    assert "mathjax/tex-svg.js" in page
    assert "THEBE_JS_URL" not in page
    assert status(root) == before


def test_a_page_with_a_warning_is_not_built(tmp_path: Path, built_with: None) -> None:
    root = checkout(tmp_path / "site", "# Welcome\n\n{result}`toy/x/small/0:top1`\n")
    with pytest.raises(BuildError, match=r"index\.md:3: WARNING: no record matches toy/x/small/0"):
        build(root, execute=False)


def test_notebooks_are_executed_in_the_copy_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lithe import ledger, notebooks
    from lithe.book import building

    root = checkout(tmp_path / "site", "# Welcome\n")
    seen = []

    def execute(path: Path, *, profile: str) -> None:
        seen.append((path, profile, ledger.book_root()))

    def pages(source: Path, out: Path) -> Path:
        for page in pages_of_toc(source / "_toc.yml"):
            (out / "pages" / page).parent.mkdir(parents=True, exist_ok=True)
            (out / "pages" / f"{page}.html").write_text("<p>text</p>")
        return out / "pages"

    monkeypatch.setattr(notebooks, "execute", execute)
    monkeypatch.setattr(building, "_pages", pages)
    source = tmp_path / "else where" / "source"
    assert build(root, tmp_path / "else where").is_file()
    assert seen == [(source / "notebooks" / "one.ipynb", "smoke", source / "book")]
    assert not (root / "_build").exists()


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"_toc\.yml"):
        build(tmp_path)
    (tmp_path / "_toc.yml").write_text("root: index\n")
    with pytest.raises(BuildError, match="not a git checkout"):
        build(tmp_path)
