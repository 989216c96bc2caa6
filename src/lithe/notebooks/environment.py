"""The environment in which kernels run, so that two executions print the same digits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ONE_THREAD", "QUIET", "applied"]

QUIET = {
    "PYTHONHASHSEED": "0",  # sets of strings iterate in the same order every time
    "LITHE_PROGRESS": "0",  # no progress bars: each leaves kilobytes of widget state
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the kernel's debugger would warn on every start
}

ONE_THREAD = {**QUIET, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def applied(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the kernels started inside the block, then put all back."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
