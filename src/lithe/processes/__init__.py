"""One training on several processes: who is who, what they agree on, and how they are started.

``torchrun --nproc-per-node 2 -m lithe.pssnet.run config.json`` spreads the trainings of a config
over processes; :func:`run` does the same from Python or a notebook. What is equal to one process,
and what is not, is in the book's page on many processes.
"""

from __future__ import annotations

from lithe.processes.endings import LOST, first_to_end, lost_another
from lithe.processes.group import join, leave, of_the_first, wait_for_all
from lithe.processes.launch import ProcessesError, launch
from lithe.processes.ranks import count, is_first, rank, wanted
from lithe.processes.started import run

__all__ = [
    "LOST",
    "ProcessesError",
    "count",
    "first_to_end",
    "is_first",
    "join",
    "launch",
    "leave",
    "lost_another",
    "of_the_first",
    "rank",
    "run",
    "wait_for_all",
    "wanted",
]
