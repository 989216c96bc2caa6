"""A measured number in prose has to be rendered from its record: this finds those that are typed.

What counts as measured: a number with a unit of measurement or a factor (percent, points, times,
milliseconds, M, dB, ...), a decimal number, a number with thousands marks, and a number right after
a word such as *accuracy* or *loss*. Years, small whole numbers, versions, section numbers
and sizes such as 3×3 pass.

How to write the others:

* ``{result}`records:field``` for what was measured here;
* ``{given}`93.5% | paper: table 2``` for what others state (sources: see the role's message);
* ``<!-- given: SOURCE -->`` ... ``<!-- end given -->`` around a whole table of such numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lithe.book.prose import prose

__all__ = ["Bare", "lint"]

NUMBER = r"(?<![\w.,/^-])[+\-\u2212±]?\d[\d,]*(?:\.\d+)?"
UNITS = (
    r"%|percent\b|‰|×(?![\dN])|x\b|times\b|-?fold\b|points?\b|pp\b|[mµun]?s\b|[kMGTB]\b|[kMGT]i?B\b|dB\b"
    r"|(?:milli|micro)?seconds?\b|minutes?\b|hours?\b|min\b|h\b|fps\b|Hz\b|[MGT]?(?:MACs?|FLOPs?)\b"
)
PATTERNS = [
    re.compile(rf"{NUMBER}[\s\u00a0\u202f-]?(?:{UNITS})"),
    re.compile(r"(?<![\w./-])[+\-\u2212±]?\d+\.\d+(?!\w|\.\d)"),
    re.compile(r"(?<![\w.,/-])\d{1,3}(?:,\d{3})+(?!\w|,\d)"),
    re.compile(
        r"\b(?:accurac(?:y|ies)|loss(?:es)?|error|PSNR|SSIM|speed-?up|correlation|FID)\b"
        r"(?:\s+(?:is|was|of|about|around|to|at|only|from|by|reaches)){1,3}\s+\d[\d.,]*",
        re.I,
    ),
]
NAMED = re.compile(
    r"(?:\b(?:python|pytorch|torch|cuda|numpy|sphinx|version|release|section|sections|chapter"
    r"|figure|table|equation|appendix|part|exercise|step|stage|cc by)|\b(?:eq|sec|fig)\.)\s*$",
    re.I,
)
LEVEL = re.compile(
    r"95\s?%[\s-]+(?:student\s+|paired\s+|confidence\s+)*(?:intervals?\b|ci\b|level)", re.I
)


@dataclass(frozen=True)
class Bare:
    """A number that was typed: where, which, and the words around it."""

    path: Path
    line: int
    number: str
    context: str

    def __str__(self) -> str:
        return (
            f"{self.path}:{self.line}: {self.number!r} is typed in \u201c{self.context}\u201d: "
            "render it with {result}, or say whose it is with {given}"
        )


def lint(paths: Iterable[Path]) -> list[Bare]:
    """All typed measurements in the prose of some pages, in order.

    Args:
        paths: Markdown files and percent-format notebooks.
    """
    return [bare for path in paths for bare in _page(path)]


def _page(path: Path) -> list[Bare]:
    found = []
    for number, line in enumerate(prose(path), start=1):
        for start, end in _numbers(line):
            context = " ".join(line[max(0, start - 30) : end + 20].split())
            found.append(Bare(path, number, line[start:end].strip(), context))
    return found


def _numbers(line: str) -> list[tuple[int, int]]:
    """Where measured numbers stand in a line; each place once, the longest match."""
    line = LEVEL.sub(lambda match: " " * len(match[0]), line)
    spans = [match.span() for pattern in PATTERNS for match in pattern.finditer(line)]
    spans = [span for span in spans if not NAMED.search(line[: span[0]])]
    kept: list[tuple[int, int]] = []
    for span in sorted(spans, key=lambda s: (s[0] - s[1], s[0])):
        if all(span[1] <= start or end <= span[0] for start, end in kept):
            kept.append(span)
    return sorted(kept)
