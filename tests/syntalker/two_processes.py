"""Trains a quantiser in two processes on halves of the same batches and notes its state's hash.

Run by test_quantizer.py; argument: a file for the processes to meet at.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lithe.data.checksum import tensor_digest
from lithe.syntalker.quantizer import ResidualQuantizer


def one(rank: int, meeting: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # the processes draw different numbers
    quantizer = ResidualQuantizer(3, 8, 4, dropout=0.5).train()
    batches = torch.randn(6, 4, 4, 10, generator=torch.Generator().manual_seed(9))
    for batch in batches:
        quantizer(batch[2 * rank : 2 * rank + 2])
    Path(f"{meeting}-{rank}").write_text(tensor_digest(*quantizer.state_dict().values()))
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.start_processes(one, (sys.argv[1],), nprocs=2, start_method="fork")
