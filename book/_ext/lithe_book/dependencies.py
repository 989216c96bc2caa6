"""Which pages have to be built again: those whose records or claims changed, appeared or went."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from lithe.ledger.errors import LedgerError
from lithe.ledger.records import locate

__all__ = ["book_folder", "connect", "note_claims", "note_records"]

Globs = dict[str, dict[str, list[str]]]


def book_folder(env: BuildEnvironment) -> Path:
    return Path(env.srcdir) / env.config.lithe_book_folder


def note_records(env: BuildEnvironment, patterns: Iterable[str]) -> None:
    """The current page depends on the records of ``patterns``, those still to come included."""
    for pattern in patterns:
        found = _matches(env, pattern)
        _globs(env).setdefault(env.docname, {})[pattern] = [name for name, _ in found]
        for _, path in found:
            env.note_dependency(str(path.relative_to(env.srcdir)))


def note_claims(env: BuildEnvironment, paper: str | None = None) -> None:
    """The current page depends on the claims file of a paper, or on all of them."""
    folder = book_folder(env) / "claims"
    for path in sorted(folder.glob(f"{paper or '*'}.yml")):
        env.note_dependency(str(path.relative_to(env.srcdir)))


def _matches(env: BuildEnvironment, pattern: str) -> list[tuple[str, Path]]:
    try:
        return locate(pattern, book_folder(env))
    except LedgerError:  # malformed: whoever asks for its records reports it
        return []


def _globs(env: BuildEnvironment) -> Globs:
    if not hasattr(env, "lithe_globs"):
        env.lithe_globs = {}
    return env.lithe_globs


def _outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Pages with a glob that matches other records now than when the page was read."""
    return [
        page
        for page, globs in _globs(env).items()
        if page not in removed
        and any([name for name, _ in _matches(env, g)] != old for g, old in globs.items())
    ]


def _purge(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    _globs(env).pop(page, None)


def _merge(app: Sphinx, env: BuildEnvironment, pages: set[str], other: BuildEnvironment) -> None:
    for page in pages & _globs(other).keys():
        _globs(env)[page] = _globs(other)[page]


def connect(app: Sphinx) -> None:
    app.connect("env-get-outdated", _outdated)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
