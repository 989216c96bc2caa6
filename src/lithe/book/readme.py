"""The two parts of README.md that are made: the scoreboard and the picture."""

from __future__ import annotations

import base64
import re
from collections import Counter
from pathlib import Path

import nbformat

from lithe.files import write_atomic
from lithe.ledger import VERDICTS, verdicts

__all__ = ["ReadmeError", "current", "figure", "scoreboard", "update"]

MARKS = ("<!-- scoreboard -->", "<!-- /scoreboard -->")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)\n<!-- from (\S+\.ipynb)#(\S+) -->")


class ReadmeError(RuntimeError):
    """The README lacks a mark, or the notebook the picture."""


def scoreboard(root: str | Path) -> str:
    """Verdicts by paper as a Markdown table, computed from the ledger.

    Args:
        root: the checkout.
    """
    counts: dict[str, Counter[str]] = {}
    for found in verdicts(Path(root) / "book"):
        counts.setdefault(found.claim.paper, Counter())[found.verdict] += 1
    lines = ["| paper | " + " | ".join(VERDICTS) + " |", "|---" * (len(VERDICTS) + 1) + "|"]
    for paper, tally in sorted(counts.items()):
        cells = " | ".join(str(tally[verdict]) for verdict in VERDICTS)
        lines.append(f"| {paper} | {cells} |")
    return "\n".join(lines)


def figure(notebook: str | Path, name: str) -> bytes:
    """The PNG that a notebook's cell shows under a figure name.

    Raises:
        ReadmeError: no cell has that name, or it holds no picture.
    """
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") != name:
            continue
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                return base64.b64decode(output["data"]["image/png"])
    raise ReadmeError(f"{Path(notebook).name} has no picture {name!r}: make refresh, then again")


def update(root: str | Path) -> None:
    """Write scoreboard and picture afresh.

    Raises:
        ReadmeError: see :func:`figure`; or the README has no scoreboard marks.
    """
    root = Path(root)
    text, pictures = _made(root)
    for path, content in pictures.items():
        write_atomic(path, content)
    write_atomic(root / "README.md", text)


def current(root: str | Path) -> list[str]:
    """What of README.md is not what :func:`update` would write; empty if all is.

    Raises:
        ReadmeError: see :func:`update`.
    """
    root = Path(root)
    text, pictures = _made(root)
    stale = [] if (root / "README.md").read_text(encoding="utf-8") == text else ["the scoreboard"]
    for path, content in pictures.items():
        if not path.is_file() or path.read_bytes() != content:
            stale.append(path.relative_to(root).as_posix())
    return stale


def _made(root: Path) -> tuple[str, dict[Path, bytes]]:
    text = (root / "README.md").read_text(encoding="utf-8")
    begin, end = (text.find(mark) for mark in MARKS)
    if not 0 <= begin < end:
        raise ReadmeError(f"README.md needs the marks {MARKS[0]} and {MARKS[1]}, in this order")
    made = f"{text[:begin]}{MARKS[0]}\n{scoreboard(root)}\n{text[end:]}"
    pictures = {
        root / path: figure(root / notebook, name) for path, notebook, name in PICTURE.findall(text)
    }
    return made, pictures
