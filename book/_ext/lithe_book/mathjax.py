"""One local file of MathJax, so that a built book shows its formulas without a network."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

__all__ = ["connect"]

PACKAGE = "sphinx-mathjax-offline"
FILE = "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
LOGGER = logging.getLogger(__name__)


def _copy(app: Sphinx, error: Exception | None) -> None:
    path = app.config.mathjax_path
    if error or app.builder.format != "html" or not path.startswith("mathjax/"):
        return
    try:
        source = Path(metadata.distribution(PACKAGE).locate_file(FILE))
    except metadata.PackageNotFoundError:
        LOGGER.warning(f"formulas need the package {PACKAGE}: install lithe[book]", type="lithe")
        return
    target = Path(app.outdir) / "_static" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def connect(app: Sphinx) -> None:
    app.connect("build-finished", _copy)
