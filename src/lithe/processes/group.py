"""What several processes do together: come, wait for each other, agree, leave."""

from __future__ import annotations

import io
import os
import sys
from datetime import timedelta
from typing import Any, TypeVar

from lithe.processes.orphans import end_with_the_parents
from lithe.processes.ranks import count

__all__ = ["join", "leave", "of_the_first", "store", "wait_for_all"]

T = TypeVar("T")
#: A process that measures alone keeps the others waiting; that one ended is noticed at once.
PATIENCE = timedelta(days=1)
_joined: dict[str, Any] = {}


def join() -> None:
    """Meet the other processes, once; nothing to do for a process alone.

    Gradients go over NCCL where there are GPUs and over gloo elsewhere. Agreements and waiting
    have a gloo group of their own.
    """
    if count() == 1 or _joined:
        return
    import torch.distributed as dist

    end_with_the_parents()
    _write_whole_lines()
    _spread_on_processors()
    if not dist.is_initialized():
        _joined["store"], number, world = next(dist.rendezvous("env://"))
        dist.init_process_group(store=_joined["store"], rank=number, world_size=world)
    _joined["group"] = dist.new_group(backend="gloo", timeout=PATIENCE)


def _write_whole_lines() -> None:
    """Keep the lines of several processes in one log apart; torchrun starts them unbuffered."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)


def _spread_on_processors() -> None:
    """Tell Accelerate to spread a training without GPUs too.

    Told nothing, it takes the processes of ``torchrun`` for trainings of their own where there is
    no accelerator that processes can share: each would train on whole batches.
    """
    import torch

    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None or device.type == "mps":
        os.environ["ACCELERATE_USE_CPU"] = "true"


def leave() -> None:
    """Part from the others; the last thing that a process does."""
    if _joined:
        import torch.distributed as dist

        _joined.clear()
        dist.destroy_process_group()


def store() -> Any:
    """Where all processes can write, whatever became of the others; ``None`` before they met."""
    return _joined.get("store")


def wait_for_all() -> None:
    """Return when all processes have come here; at once for a process alone.

    Raises:
        RuntimeError: one of them ended; see :func:`lithe.processes.lost_another`.
    """
    if count() > 1:
        import torch.distributed as dist

        join()
        dist.barrier(group=_joined["group"])


def of_the_first(value: T) -> T:
    """The first process's value, in all of them; for a process alone the value itself.

    Args:
        value: anything that can be pickled; it goes to processes of the same run only.

    Raises:
        RuntimeError: one of them ended.
    """
    if count() == 1:
        return value
    import torch.distributed as dist

    join()
    box = [value]
    dist.broadcast_object_list(box, 0, group=_joined["group"])
    return box[0]
