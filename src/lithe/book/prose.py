"""The prose of a page: its text with everything that is not prose blanked out, line by line."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["markdown_cells", "prose"]

PROSE_DIRECTIVES = {
    *("admonition", "note", "tip", "hint", "important", "warning", "caution", "attention"),
    *("danger", "seealso", "dropdown", "margin", "sidebar", "epigraph", "figure", "card"),
    *("exercise", "solution", "tab-item", "grid", "grid-item", "glossary"),
}
FENCE = re.compile(r"^\s*(`{3,}|~{3,}|:{3,})\s*(?:\{([\w:-]+)\})?")
GIVEN = re.compile(r"<!--\s*given:\s*\S.*?-->.*?<!--\s*end given\s*-->", re.S)
NOT_PROSE = [
    GIVEN,
    re.compile(r"<!--.*?-->", re.S),
    re.compile(r"\$\$.*?\$\$(?:\s*\([\w:-]+\))?", re.S),
    re.compile(r"(?:\{[\w:+-]+\})?(?<!`)(`+)(?!`)(?:(?!\n\n).)+?(?<!`)\1(?!`)", re.S),
    re.compile(r"(?<![\\$])\$(?![\s$])(?:(?!\n\n).)+?(?<![\s\\])\$", re.S),
    re.compile(r"(?<=\])\([^)\n]*\)"),  # where a link goes
    re.compile(r"<(?:https?:|/?[a-z])[^>\n]*>"),
    re.compile(r"https?://\S+"),
    re.compile(r"^\([\w:-]+\)=\s*$", re.M),  # a label
    re.compile(r"^#+\s+[\d.]+", re.M),  # the number of a heading
    re.compile(r"^\s*\d+\.(?=\s)", re.M),  # the number of a list item
    re.compile(r"^%.*$", re.M),  # a comment of MyST
]


def prose(path: Path) -> list[str]:
    """The lines of a Markdown file, or of the Markdown cells of a percent-format notebook.

    What is not prose is replaced by spaces: code, roles, formulas, the targets of links, comments,
    the numbers of headings and list items, and whatever stands between ``<!-- given: SOURCE -->``
    and ``<!-- end given -->``. Line numbers and columns stay what they are in the file.
    """
    text = path.read_text(encoding="utf-8")
    text = markdown_cells(text) if path.suffix == ".py" else _without_front_matter(text)
    text = _without_fences(text)
    for pattern in NOT_PROSE:
        text = pattern.sub(_blank, text)
    return text.split("\n")


def markdown_cells(source: str) -> str:
    """The Markdown of a percent-format script; lines of code cells are left empty."""
    lines, inside = [], False
    for line in source.split("\n"):
        if line.startswith("# %%"):
            inside = "[markdown]" in line
            lines.append("")
        else:
            kept = inside and line.startswith("#")
            lines.append(re.sub(r"^# ?", "", line) if kept else "")
    return "\n".join(lines)


def _without_front_matter(text: str) -> str:
    return re.sub(r"\A---\n.*?\n---\n", _blank, text, count=1, flags=re.S)


def _without_fences(text: str) -> str:
    """Blank what stands in fences, but for directives that hold prose, and blank their options."""
    lines: list[str] = []
    open_fences: list[tuple[str, bool]] = []
    for line in text.split("\n"):
        fence = FENCE.match(line)
        if fence and open_fences and _closes(line, open_fences[-1][0]):
            open_fences.pop()
            lines.append("")
        elif fence and all(shown for _, shown in open_fences):
            open_fences.append((fence[1], _holds_prose(fence)))
            lines.append("")
        else:
            shown = all(shown for _, shown in open_fences)
            option = bool(open_fences) and re.match(r"^\s*:[\w-]+:", line)
            lines.append(line if shown and not option else "")
    return "\n".join(lines)


def _closes(line: str, opened: str) -> bool:
    mark = line.strip()
    return len(mark) >= len(opened) and set(mark) == {opened[0]}


def _holds_prose(fence: re.Match[str]) -> bool:
    if fence[1].startswith(":"):
        return True
    return fence[2] in PROSE_DIRECTIVES


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])
