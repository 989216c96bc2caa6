"""Scripts that a static book does not want.

Jupyter Book loads *thebe*, which runs cells on a server, on every page, whether or not the page
offers it; its settings name an outside address and are declared twice, an error in the console.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["connect"]

UNWANTED = "thebe"


def _filter(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    scripts = context.get("script_files", [])
    context["script_files"] = [script for script in scripts if UNWANTED not in _text(script)]


def _text(script: Any) -> str:
    body = getattr(script, "attributes", {}).get("body") or ""
    return f"{getattr(script, 'filename', script)} {body}".lower()


def connect(app: Sphinx) -> None:
    app.connect("html-page-context", _filter, priority=900)
