"""Notebooks as tested software: execute, refresh, check.

The ``.py`` file of a pair is the truth; the ``.ipynb`` beside it is its executed twin.
``python -m lithe.notebooks refresh`` makes the twin, ``check`` proves that it is whole and fresh,
``nbval`` runs it again and compares the outputs.
"""

from lithe.notebooks.checks import Problem, check
from lithe.notebooks.execution import NotebookError, execute
from lithe.notebooks.refreshing import refresh

__all__ = ["NotebookError", "Problem", "check", "execute", "refresh"]
