"""Claims, results and verdicts in the pages of the book, rendered from the ledger.

Roles: ``result``, ``claim``, ``given``. Directives: ``claims-table``, ``verdict-box``,
``records-table``. They read ``<book>/claims`` and ``<book>/results``; a page is built again when
one of the files behind it changes, appears or goes.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from . import dependencies, links, mathjax, scoreboard, scripts
from .claims_table import ClaimsTable
from .records_table import RecordsTable
from .roles import ClaimRole, GivenRole, ResultRole
from .verdict_box import VerdictBox

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("lithe_book_folder", "book", "env", [str])
    app.add_config_value("lithe_scoreboard", "book/scoreboard", "env", [str])
    app.add_config_value("lithe_provenance", "book/provenance", "env", [str])
    app.add_role("result", ResultRole())
    app.add_role("claim", ClaimRole())
    app.add_role("given", GivenRole())
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("verdict-box", VerdictBox)
    app.add_directive("records-table", RecordsTable)
    dependencies.connect(app)
    links.connect(app)
    mathjax.connect(app)
    scoreboard.connect(app)
    scripts.connect(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
