"""The scoreboard's filter: a script and its style on that one page."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["connect"]


def _add(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    if page == app.config.lithe_scoreboard:
        app.add_js_file("scoreboard-filter.js", loading_method="defer")
        app.add_css_file("scoreboard-filter.css")


def connect(app: Sphinx) -> None:
    app.connect("html-page-context", _add)
