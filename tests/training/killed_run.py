"""Trains in child processes that are killed (signal 9) at random moments; run by test_kill.py.

Usage: ``python killed_run.py FOLDER KILLS``. One import of torch serves all children.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from lithe.data import fake_images
from lithe.training import TrainConfig, checkpoint, fit

CONFIG = TrainConfig(epochs=40, batch_size=8, lr=0.01, ema_decay=0.9, schedule="cosine")


def train(directory: Path | None, result: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3),
        nn.BatchNorm2d(64),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(1024, 256),  # a megabyte, so that saving takes as long as training
        nn.Linear(256, 4),
    )
    images = fake_images((3, 8, 8), 4, 20, seed=1)
    history = fit(model, images, CONFIG, evaluate=images, directory=directory)
    rows = [[row["train_loss"], row["evaluate_loss"]] for row in history.rows]
    save_file(
        {**model.state_dict(), "rows": torch.tensor(rows, dtype=torch.float64)},
        result,
    )


def saving(directory: Path) -> bool:
    return any(directory.glob(f"{checkpoint.UNFINISHED}*"))


def killed(directory: Path, result: Path, after: float | None) -> bool:
    """Kill a child that has made a new checkpoint; False if it was faster.

    ``after`` is how many seconds to wait then; ``None`` waits for the next save to begin.
    """
    before, child = checkpoint.latest(directory), os.fork()
    if child == 0:
        train(directory, result)
        os._exit(0)

    def until(reached: Callable[[], bool]) -> bool:
        while not reached():
            if os.waitpid(child, os.WNOHANG)[0]:
                return False
            time.sleep(0.0003)
        return True

    if not until(lambda: checkpoint.latest(directory) != before):
        return False
    if after is not None:
        time.sleep(after)
    elif not until(lambda: saving(directory)):
        return False
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder: Path, kills: int) -> None:
    train(None, folder / "whole.safetensors")
    numbers, count, torn = random.Random(0), 0, 0
    for k in range(kills):
        after = None if k % 2 else numbers.uniform(0, 0.05)
        count += killed(folder / "run", folder / "ignored", after)
        torn += saving(folder / "run")
    train(folder / "run", folder / "resumed.safetensors")
    print(f"{count} killed, {torn} of them while saving")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
