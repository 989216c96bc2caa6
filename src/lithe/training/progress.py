"""A progress bar where somebody watches, nothing elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["progress_bar", "watched"]


def watched(progress: bool | None) -> bool:
    """Whether to show progress: as told, else only on a terminal outside CI.

    A notebook's output is not a terminal, so papermill runs and committed notebooks stay clean.
    """
    if progress is not None:
        return progress
    return sys.stderr.isatty() and not os.environ.get("CI")


def progress_bar(total: int, title: str, show: bool) -> Any:
    """A ``tqdm`` bar over ``total`` steps that vanishes when it is done."""
    from tqdm import tqdm  # not tqdm.auto: its widgets leave state in notebooks

    return tqdm(total=total, desc=title, disable=not show, leave=False, mininterval=0.5)
