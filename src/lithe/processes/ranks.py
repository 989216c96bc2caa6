"""Which of several processes this one is. Looks at the environment only, so it costs nothing."""

from __future__ import annotations

import os

__all__ = ["DEFAULT", "count", "is_first", "rank", "wanted"]

#: Environment variable with how many processes to start where a call does not say.
DEFAULT = "LITHE_PROCESSES"


def count() -> int:
    """How many processes train together: what ``torchrun`` was told, else 1."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """The number of this process, from 0."""
    return _number("RANK", 0) if count() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes and speaks for all; alone, it is."""
    return rank() == 0


def wanted(processes: int | None = None) -> int:
    """How many processes to start from here.

    Args:
        processes: as the caller asked; ``None`` takes the environment's ``LITHE_PROCESSES``, or 1.

    Returns:
        1 in a process that is one of several already: they do not start others.

    Raises:
        ValueError: it is no whole number from 1 up.
    """
    asked = os.environ.get(DEFAULT, "1") if processes is None else processes
    if isinstance(asked, bool) or not str(asked).isdecimal() or int(asked) < 1:
        raise ValueError(f"processes is {asked!r}; give a whole number, 1 or more")
    return 1 if count() > 1 else int(asked)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
