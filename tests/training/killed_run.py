"""Trains in child processes that are killed (signal 9) at random moments; run by test_kill.py.

Usage: ``python killed_run.py FOLDER KILLS``. One import of torch serves all children.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from lithe.data import fake_images
from lithe.training import TrainConfig, fit

CONFIG = TrainConfig(epochs=12, batch_size=8, lr=0.01, ema_decay=0.9, schedule="cosine")


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


def killed(directory: Path, result: Path, after: float) -> bool:
    """Whether the child was killed (True) or was faster."""
    child = os.fork()
    if child == 0:
        train(directory, result)
        os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder: Path, kills: int) -> None:
    started = time.perf_counter()
    train(None, folder / "whole.safetensors")
    whole = time.perf_counter() - started
    numbers, count = random.Random(0), 0
    for _ in range(4 * kills):
        if count == kills:
            break
        count += killed(folder / "run", folder / "ignored", numbers.uniform(0.05, 0.6) * whole)
    states = sorted(path.name for path in (folder / "run").iterdir())
    train(folder / "run", folder / "resumed.safetensors")
    print(count, *states)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
