"""One of several processes that train together; started by test_processes.py through torchrun.

Usage: ``torchrun --nproc_per_node 2 shared_run.py FOLDER`` (or plain ``python`` for one).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import nn

from lithe.data import fake_images
from lithe.training import TrainConfig, checkpoint, evaluate, fit

# 26 = 3 x 8 + 2: the last batch of two items leaves a part of each process empty
IMAGES, HELD_OUT = fake_images((3, 8, 8), 6, 26, seed=1), fake_images((3, 8, 8), 6, 7, seed=2)
CONFIG = TrainConfig(epochs=2, batch_size=8, accumulate=2, ema_decay=0.9, device="cpu")


def network(norm: bool) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(4) if norm else nn.Identity()
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        layer,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 6),
    )


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", "0"))
    saves = []
    save = checkpoint.save
    checkpoint.save = lambda *args: saves.append(rank) or save(*args)
    found = {}
    for name, norm in (("plain", False), ("norm", True)):
        model, directory = network(norm), folder / name
        history = fit(model, IMAGES, CONFIG, evaluate=HELD_OUT, directory=directory)
        again = fit(network(norm), IMAGES, CONFIG, evaluate=HELD_OUT, directory=directory)
        found[name] = {
            "rows": history.rows,
            "read_back": again["train_loss"] == history["train_loss"],
        }
        save_file(model.state_dict(), folder / f"{name}-{rank}.safetensors")
    shared = evaluate(model, HELD_OUT, accelerator=Accelerator(cpu=True))
    text = json.dumps(found | {"saves": len(saves), "evaluated": shared["n"]})
    (folder / f"found-{rank}.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
