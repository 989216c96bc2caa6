"""Of several processes that end for one reason, one says it."""

from __future__ import annotations

from lithe.processes.group import store
from lithe.processes.ranks import count, is_first

__all__ = ["LOST", "first_to_end", "lost_another"]

ENDED = "lithe/ended"  # in the store: how many processes have ended with an error
LOST = (
    "another process of this training ended without a word; was it killed, or out of memory? "
    "The same command goes on from the last checkpoint"
)


def first_to_end() -> bool:
    """Whether this process is the first of all to end with an error, and so the one to say why.

    Each process asks at most once, before it leaves the others. Alone, a process always is.
    """
    if count() == 1:
        return True
    shared = store()
    if shared is None:  # they never met: all stumbled over the same thing
        return is_first()
    try:
        return shared.add(ENDED, 1) == 1
    except Exception:  # the store went with its host: rather said twice than not at all
        return True


def lost_another(error: BaseException) -> bool:
    """Whether an error says that another process is gone, and nothing of its own."""
    if count() == 1 or not isinstance(error, RuntimeError):
        return False
    import torch.distributed as dist

    text = str(error).lower()
    return isinstance(error, dist.DistError) or "gloo" in text or "nccl" in text
