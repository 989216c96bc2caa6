"""Links between a rendered number or verdict and the row that explains it, on whatever page."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

__all__ = ["connect", "link_to", "note_anchor"]


class pending_link(nodes.Inline, nodes.TextElement):
    """Text that becomes a link once all pages are read and it is known where the anchor is."""


def link_to(anchor: str, text: str, title: str, classes: list[str]) -> nodes.Node:
    """Text with a title that links to ``anchor``; plain text with the title if no page has it."""
    node = pending_link(text, text, classes=classes)
    node["anchor"], node["title"] = anchor, title
    return node


def note_anchor(env: BuildEnvironment, anchor: str) -> bool:
    """Remember that the current page has ``anchor``; False if it had it already."""
    pages = _anchors(env).setdefault(anchor, [])
    if env.docname in pages:
        return False
    pages.append(env.docname)
    return True


def _anchors(env: BuildEnvironment) -> dict[str, list[str]]:
    if not hasattr(env, "lithe_anchors"):
        env.lithe_anchors = {}
    return env.lithe_anchors


def _resolve(app: Sphinx, doctree: nodes.document, page: str) -> None:
    for node in list(doctree.findall(pending_link)):
        target = _target(app, node["anchor"], page)
        text = node.astext()
        if target is None:
            new = nodes.abbreviation(text, text, explanation=node["title"])
        else:
            new = nodes.reference(text, text, refuri=target, internal=True)
            new["reftitle"] = node["title"]
        new["classes"] = node["classes"]
        node.replace_self(new)


def _target(app: Sphinx, anchor: str, page: str) -> str | None:
    pages = _anchors(app.env).get(anchor, [])
    preferred = [page, app.config.lithe_scoreboard, app.config.lithe_provenance]
    holder = next((name for name in [*preferred, *pages] if name in pages), None)
    if holder is None:
        return None
    if holder == page:
        return f"#{anchor}"
    return f"{app.builder.get_relative_uri(page, holder)}#{anchor}"


def _purge(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    for pages in _anchors(env).values():
        if page in pages:
            pages.remove(page)


def _merge(app: Sphinx, env: BuildEnvironment, read: set[str], other: BuildEnvironment) -> None:
    for anchor, pages in _anchors(other).items():
        mine = _anchors(env).setdefault(anchor, [])
        mine += [page for page in pages if page in read and page not in mine]


def connect(app: Sphinx) -> None:
    app.add_node(pending_link)
    app.connect("doctree-resolved", _resolve)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
