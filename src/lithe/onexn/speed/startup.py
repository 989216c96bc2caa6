"""What packing a network costs before its first pass, in a fresh process: cold and warm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

__all__ = ["measure_startup"]


def measure_startup(name: str = "mobilenet_v1", threads: int = 1) -> dict[str, float]:
    """Compile a network's kernels in a fresh process, twice: with an empty cache, then a full one.

    Args:
        name: one of :data:`lithe.onexn.networks.NETWORKS`; pruned at N=4, 50 %.
        threads: as for :func:`lithe.onexn.pack`.

    Returns:
        ``cold_s`` and ``warm_s``: wall seconds of packing without tuning and of the first pass,
        imports and pruning not counted.

    Raises:
        RuntimeError: the process failed; its words are in the message.
    """
    with tempfile.TemporaryDirectory() as cache:
        seconds = [_fresh(name, threads, cache) for _ in range(2)]
    return {"cold_s": seconds[0], "warm_s": seconds[1]}


def _fresh(name: str, threads: int, cache: str) -> float:
    command = [sys.executable, "-m", "lithe.onexn.speed.startup", name, str(threads)]
    environment = os.environ | {"LITHE_CACHE": cache}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"packing {name} in a fresh process failed: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout)["seconds"])


def _main(name: str, threads: int) -> None:
    import torch

    from lithe.onexn import pack, prune
    from lithe.onexn.networks import NETWORKS
    from lithe.onexn.speed.networks import network, photograph

    torch.set_num_threads(threads)
    x = photograph()
    pruned = prune(network(name), 4, 0.5, example=x, skip=NETWORKS[name].skip)
    start = time.perf_counter()
    packed = pack(pruned, x, threads=threads, tune=False)
    with torch.inference_mode():
        packed(x)
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
