"""Which numbers in prose are taken for typed measurements, and which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lithe.book.__main__ import main
from lithe.book.lint import lint
from lithe.book.prose import prose

TYPED = [
    ("It reaches 93.5% on the test set.", "93.5%"),
    ("It reaches 93 % on the test set.", "93 %"),
    ("It loses 2 points.", "2 points"),
    ("A gain of +1.2.", "+1.2"),
    ("A loss of −0.39 here.", "−0.39"),
    ("Scoring is 90x faster.", "90x"),
    ("Scoring is 90× faster.", "90×"),
    ("Scoring is 90 times faster.", "90 times"),
    ("One image takes 12 ms.", "12 ms"),
    ("One image takes 12ms.", "12ms"),
    ("It ran for 40 s.", "40 s"),
    ("It ran for 3 hours.", "3 hours"),
    ("The net has 72.77M of them.", "72.77M"),
    ("The net has 1,071,248 of them.", "1,071,248"),
    ("An accuracy of 93 is enough.", "accuracy of 93"),
    ("The loss is 2 by then.", "loss is 2"),
    ("**Bold: 61.5 %.**", "61.5 %"),
    ("| cell | 61.25 |", "61.25"),
    ("- item with 0.02.", "0.02"),
    ("```{admonition} Solution\nIt is 93.5% there.\n```", "93.5%"),
    (":::{note}\nIt is 93.5% there.\n:::", "93.5%"),
    ("````{dropdown} More\n```python\nx = 0.5\n```\nIt is 93.5% there.\n````", "93.5%"),
]
FREE = [
    "It reaches {result}`dcff/cifar-released/small/*:top1 | mean`.",
    "The table has {given}`93.5% | paper: table 1`.",
    "It is `0.5` in code, and ``0.5 ` 0.7`` too.",
    "With $T = 10^4$ and $x = 0.5$, 13 layers.",
    "$$\nx = 0.5\n$$ (eq-x)\n",
    "In 2023 {cite:p}`lin2023dcff`, in section 2.6, on Python 3.11 with torch 2.13.0.",
    "See [it](a/0.5%.md) and <https://example.org/0.5%>.",
    "## 3.2 A heading\n\n1. one\n2. two\n",
    "```python\nrate = 0.5\nprint('93.5%')\n```",
    "~~~\n93.5%\n~~~",
    "```{math}\nx = 0.5\n```",
    "```{figure} x.png\n:width: 50%\n:alt: a picture\nA caption.\n```",
    "With its 95% interval, its 95 % paired intervals, and 95% CI.",
    "<!-- 93.5% was typed here -->",
    "<!-- given: README -->\n| VGG | 93.47 | 72.77M |\n<!-- end given -->\n",
    "Three seeds, 16 channels, 300 epochs, 224 by 224, D14, ResNet-56, T0.",
    "---\ntitle: 93.5%\n---\n",
    "(label-1)=\n## Title\n",
    "Version 1.0 and CC BY 4.0.",
    "It costs $5 or so and no more than $6.",
]


def findings(tmp_path: Path, text: str, name: str = "page.md") -> list[str]:
    path = tmp_path / name
    path.write_text(text)
    return [bare.number for bare in lint([path])]


@pytest.mark.parametrize(("text", "number"), TYPED)
def test_a_typed_measurement_is_found(tmp_path: Path, text: str, number: str) -> None:
    assert findings(tmp_path, f"# Title\n\n{text}\n") == [number]


@pytest.mark.parametrize("text", FREE)
def test_what_is_no_typed_measurement_passes(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, text) == []


def test_a_notebook_is_read_by_its_markdown_cells(tmp_path: Path) -> None:
    text = (
        "# %% [markdown]\n# It is 93.5%.\n\n# %%\nx = 0.5  # 93.5%\n\n# %% [markdown]\n# And 2x.\n"
    )
    (tmp_path / "chapter.py").write_text(text)
    found = lint([tmp_path / "chapter.py"])
    assert [(bare.line, bare.number) for bare in found] == [(2, "93.5%"), (8, "2x")]


def test_a_comment_without_a_source_gives_no_licence(tmp_path: Path) -> None:
    assert findings(tmp_path, "<!-- given: -->\n93.5%\n<!-- end given -->\n") == ["93.5%"]


def test_lines_stay_where_they_are(tmp_path: Path) -> None:
    text = "# T\n\n$$\nx\n$$\n\n```python\ny\n```\n\nlast `z`\n"
    (tmp_path / "page.md").write_text(text)
    kept = prose(tmp_path / "page.md")
    assert len(kept) == len(text.split("\n"))
    assert kept[10] == "last    "


def test_the_command_exits_1_and_names_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "page.md").write_text("# Page\n\nIt is 93.5%.\n")
    assert main(["--root", str(tmp_path), "lint"]) == 1
    assert "page.md:3: '93.5%' is typed" in capsys.readouterr().out
    (tmp_path / "book" / "page.md").write_text("# Page\n")
    assert main(["--root", str(tmp_path), "lint"]) == 0


def test_the_pages_around_the_chapters_type_no_measurement() -> None:
    assert lint(sorted((Path(__file__).parents[2] / "book").rglob("*.md"))) == []
