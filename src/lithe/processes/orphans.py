"""No process goes on when the one that started it is gone, however that ended."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["LAUNCHER", "end_with_the_parents"]

#: Environment variable with the id of the process that called ``torchrun``, if it is to be watched.
LAUNCHER = "LITHE_LAUNCHER"
EVERY = 1.0  # seconds between two looks
ENDED = 1  # exit status


def end_with_the_parents() -> None:
    """End this process within a second or two after torchrun, or what called it, was killed.

    A training that nobody waits for would write into the folders of the one that is started next.
    Checkpoints and records are whole at any moment, so that an end without a word does no harm.
    """
    launcher = os.environ.get(LAUNCHER, "")
    watched = (os.getppid(), int(launcher) if launcher.isdecimal() else None)
    threading.Thread(target=_watch, args=watched, daemon=True, name="parents").start()


def _watch(parent: int, launcher: int | None) -> None:
    while os.getppid() == parent and (launcher is None or _lives(launcher)):
        time.sleep(EVERY)
    os._exit(ENDED)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so it is there
        return True
    return True
