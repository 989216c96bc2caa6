"""One of several processes that train a supernet together; started by test_pss_training.py.

Usage: ``torchrun --nproc_per_node 2 shared_supernet.py FOLDER`` (or plain ``python`` for one).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from lithe import zoo
from lithe.data import fake_images
from lithe.pssnet import Budget, policy
from lithe.pssnet.elastic import elastic
from lithe.pssnet.supernet_training import train_supernet
from lithe.training import TrainConfig


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", "0"))
    model = zoo.small_cnn(4, (8, 16), generator=torch.Generator().manual_seed(0))
    for name in ("1", "4"):  # without norms two processes learn what one learns
        setattr(model, name, nn.Identity())
    network, space = elastic(model, torch.zeros(1, 3, 8, 8), (0.5, 1), (6, 8), divisor=2)
    low, high = (space.macs(s) for s in (space.smallest(), space.largest()))
    budgets = [Budget("macs", low, high, (high - low) // 4)]
    chosen = policy("effective", space, budgets, torch.Generator().manual_seed(1), capacity=2)
    seen = []
    history = train_supernet(
        network,
        chosen,
        fake_images((3, 8, 8), 4, 40, seed=1),
        TrainConfig(epochs=2, batch_size=8, lr=0.1, device="cpu"),
        watch=lambda event: seen.append([repr(event["choice"].subnet), event["metric"]]),
        directory=folder / "run",
    )
    found = {"seen": seen, "loss": history["train_loss"], "pools": chosen.state_dict()["pools"]}
    (folder / f"found-{rank}.json").write_text(json.dumps(found))
    save_file(network.state_dict(), folder / f"weights-{rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
