"""Verdict chips: a word and a mark, so that nothing hangs on the colour."""

from __future__ import annotations

from docutils import nodes

from .links import link_to

__all__ = ["chip", "linked_chip"]

MARKS = {
    "reproduced": "✓",
    "partly": "◐",
    "not reproduced": "≈",
    "contradicted": "✗",
    "not run": "…",
}


def chip(verdict: str, count: int | None = None) -> nodes.Node:
    """The verdict as a chip; with a count ``3 reproduced``."""
    text = _text(verdict, count)
    return nodes.inline(text, text, classes=_classes(verdict))


def linked_chip(verdict: str, title: str, anchor: str) -> nodes.Node:
    """The verdict as a chip that leads to the row of its claim."""
    return link_to(anchor, _text(verdict, None), title, _classes(verdict))


def _text(verdict: str, count: int | None) -> str:
    words = verdict if count is None else f"{count} {verdict}"
    return f"{MARKS[verdict]}\N{NO-BREAK SPACE}{words}"


def _classes(verdict: str) -> list[str]:
    return ["verdict", "verdict-" + verdict.replace(" ", "-")]
