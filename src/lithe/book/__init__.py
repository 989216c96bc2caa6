"""Building the book, and holding its prose to the rule that measured numbers are never typed.

``python -m lithe.book build`` makes the static site, ``python -m lithe.book lint`` checks the
prose.
"""

from lithe.book.building import BuildError, build
from lithe.book.lint import Bare, lint

__all__ = ["Bare", "BuildError", "build", "lint"]
