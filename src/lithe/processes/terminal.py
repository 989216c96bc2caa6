"""The two ends that a log goes through: a pipe, or a terminal for who draws progress bars."""

from __future__ import annotations

import os

__all__ = ["open_ends"]

SIZE = (24, 100)  # lines, columns


def open_ends(terminal: bool) -> tuple[int, int]:
    """File descriptors to read from and to write to.

    Args:
        terminal: whether the writer shall find a terminal; a pipe where the system has none.
    """
    if not terminal:
        return os.pipe()
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return os.pipe()
    ours, theirs = os.openpty()
    tty.setraw(theirs)  # line ends as they were written
    termios.tcsetwinsize(theirs, SIZE)
    return ours, theirs
