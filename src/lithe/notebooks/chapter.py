"""The template of a chapter: eleven parts, in order, and cells short enough to read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

__all__ = ["PARTS", "is_chapter", "long_cells", "parts"]

PAPERS = ("dcff", "onexn", "pssnet", "arm", "syntalker")
SEVERAL = "syntalker"  # told in several chapters, each by the template
LONGEST_CELL = 25  # lines with code on them; the rule of thumb is 8
STEPS = (3, 6)  # sections of "Build it up"

#: Part of a chapter -> what its ``##`` heading says. The first part is the title's own.
PARTS = {
    "What you will do": r"what you will",
    "The claim in one picture": r"the claim in one picture",
    "Notation": r"notation",
    "Build it up": r"build it up",
    "The whole method on a small problem": r"the whole method",
    "Use it on your own": r"use it on your own",
    "What the paper leaves unsaid": r"what the paper leaves unsaid",
    "Reproduction": r"reproduction",
    "What differed, what was easy, what was hard": r"what differed",
    "Exercises": r"exercises",
}
VERDICT_BOX = re.compile(r"^(?:`{3,}|:{3,})\{[\w:-]*verdict[\w-]*\}", re.MULTILINE)


@dataclass(frozen=True)
class Heading:
    """A markdown heading: its level (1-6), its text, and the cell it stands in."""

    level: int
    text: str
    cell: int


def is_chapter(stem: str) -> bool:
    """Is ``NN_<paper>`` the chapter of a paper? Only those follow the template.

    ``05_syntalker_motion`` is one as well: that paper has more than one chapter.
    """
    return bool(re.fullmatch(rf"\d\d_({'|'.join(PAPERS)}|{SEVERAL}_[a-z]+)", stem))


def parts(notebook: NotebookNode) -> Iterator[tuple[int | None, str]]:
    """Check that the parts of a chapter are there, once each, in order.

    Other ``##`` headings may stand between them. Part 1 is the title with the verdict box (a
    ``{...verdict...}`` directive before the first ``##``); "Build it up" has 3-6 ``###`` steps,
    each with an ``assert`` that runs; "Further reading" is a heading of its own or in the last.
    """
    found = list(headings(notebook))
    yield from _opening(notebook, found)
    position = -1
    for name, pattern in PARTS.items():
        places = [
            index
            for index, heading in enumerate(found)
            if heading.level == 2 and re.match(pattern, heading.text, re.IGNORECASE)
        ]
        if len(places) != 1:
            problem = "missing" if not places else "there more than once"
            yield None, f"part {problem}: a heading '## {name} ...' ({_order()})"
        elif places[0] < position:
            yield found[places[0]].cell, f"part '{name}' is out of order ({_order()})"
        else:
            position = places[0]
            if name == "Build it up":
                yield from _steps(notebook, found, position)
    if not any(re.search(r"further reading", heading.text, re.IGNORECASE) for heading in found):
        yield None, "part missing: a heading 'Further reading' after the exercises"


def long_cells(notebook: NotebookNode) -> Iterator[tuple[int | None, str]]:
    """Code cells of more than 25 lines of code belong in ``src``."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        lines = [line for line in cell.source.splitlines() if line.strip(" \t")]
        body = sum(not line.lstrip().startswith("#") for line in lines)
        if body > LONGEST_CELL:
            yield number, f"{body} lines of code, at most {LONGEST_CELL}: move it to src/lithe"


def headings(notebook: NotebookNode) -> Iterator[Heading]:
    """All markdown headings outside fenced blocks, in reading order."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        fence = ""
        for line in cell.source.splitlines():
            edge = re.match(r"\s{0,3}(`{3,}|~{3,})", line)
            if edge and not fence:
                fence = edge.group(1)
            elif edge and edge.group(1).startswith(fence):
                fence = ""
            heading = None if fence else re.match(r"(#{1,6})\s+(.*?)\s*#*\s*$", line)
            if heading:
                yield Heading(len(heading.group(1)), heading.group(2), number)


def _opening(notebook: NotebookNode, found: list[Heading]) -> Iterator[tuple[int | None, str]]:
    titles = [heading for heading in found if heading.level == 1]
    if len(titles) != 1 or found[0].level != 1:
        yield None, f"one title ('# ...') at the very top, found {len(titles)}"
    first = next((heading.cell for heading in found if heading.level == 2), len(notebook.cells))
    opening = [cell.source for cell in notebook.cells[: first + 1]]
    opening[-1] = re.split(r"^## ", opening[-1], maxsplit=1, flags=re.MULTILINE)[0]
    if not any(VERDICT_BOX.search(source) for source in opening):
        yield None, "no verdict box (a '{...verdict...}' directive) between title and first part"


def _steps(
    notebook: NotebookNode, found: list[Heading], start: int
) -> Iterator[tuple[int | None, str]]:
    following = found[start + 1 :]
    end = next((h.cell for h in following if h.level <= 2), len(notebook.cells))
    steps = [heading for heading in following if heading.level == 3 and heading.cell < end]
    if not STEPS[0] <= len(steps) <= STEPS[1]:
        yield found[start].cell, f"'Build it up' has {len(steps)} '###' steps, should have 3 to 6"
    edges = [*(step.cell for step in steps), end]
    for step, first, last in zip(steps, edges, edges[1:]):
        code = [cell.source for cell in notebook.cells[first:last] if cell.cell_type == "code"]
        if not any(re.search(r"^\s*assert\b", source, re.MULTILINE) for source in code):
            yield first, f"step '{step.text}' has no cell with an assert: show that it holds"


def _order() -> str:
    return "the order is: " + " | ".join(PARTS)
