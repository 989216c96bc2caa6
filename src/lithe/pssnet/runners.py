"""Subnets on the stopwatch: whole, and at every border between their blocks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from lithe.pssnet.block import Block
from lithe.pssnet.chain import chain
from lithe.pssnet.elastic import supernet
from lithe.pssnet.elastic_space import ElasticSpace
from lithe.pssnet.space import Space, Subnet

__all__ = ["CLOCKS", "ChainRunner", "Clock", "ElasticRunner", "Runner", "runner_of"]

Clock = Literal["wall", "processor"]
CLOCKS: dict[str, Callable[[], int]] = {
    "wall": time.perf_counter_ns,
    "processor": time.thread_time_ns,
}
MOST_BUILT = 64  # networks, or their slices, that are kept for the next turn: 10 MB or so each


class Runner(ABC):
    """Runs subnets of one space and reads the clock at the borders of their blocks."""

    def __init__(self, space: Space, device: str, batch: int) -> None:
        self.space, self.device, self.batch = space, torch.device(device), batch

    @abstractmethod
    def ready(self, subnet: Subnet) -> tuple[nn.Module, list[nn.Module], Tensor]:
        """The network, the first module of each block, and an input."""

    @torch.no_grad()
    def blocks_us(
        self, subnet: Subnet, repeats: int, warmup: int, clock: Clock
    ) -> dict[Block, list[float]]:
        """Times of each block of a subnet in microseconds, one for every pass and place."""
        network, firsts, x = self.ready(subnet)
        marks: list[int] = []
        read = self._clock(clock)
        hooks = [m.register_forward_pre_hook(lambda *_: marks.append(read())) for m in firsts[1:]]
        rows = []
        try:
            for turn in range(-warmup, repeats):
                marks.clear()
                start = read()
                network(x)
                ends = [*marks, read()]
                if turn >= 0:
                    rows.append(np.diff([start, *ends]) / 1000)
        finally:
            for hook in hooks:
                hook.remove()
        found: dict[Block, list[float]] = {}
        for block, column in zip(self.space.blocks(subnet), np.array(rows).T, strict=True):
            found.setdefault(block, []).extend(column.tolist())
        return found

    @torch.no_grad()
    def whole_us(
        self, subnets: Sequence[Subnet], repeats: int, warmup: int, clock: Clock
    ) -> list[float]:
        """Median time of whole passes of each subnet, one pass of each in turn."""
        read = self._clock(clock)
        times: list[list[int]] = [[] for _ in subnets]
        for turn in range(repeats):
            for subnet, row in zip(subnets, times):
                network, _, x = self.ready(subnet)
                for _ in range(warmup if turn == 0 else 1):
                    network(x)
                start = read()
                network(x)
                row.append(read() - start)
        return [float(np.median(row)) / 1000 for row in times]

    def _clock(self, clock: Clock) -> Callable[[], int]:
        read = CLOCKS[clock]
        if self.device.type != "cuda":
            return read

        def waiting() -> int:
            torch.cuda.synchronize(self.device)
            return read()

        return waiting


class ElasticRunner(Runner):
    """Slices of one supernet, made beforehand, as a deployed network runs them."""

    def __init__(self, space: ElasticSpace, device: str, batch: int) -> None:
        super().__init__(space, device, batch)
        self.network = supernet(space).eval().to(device)
        self.settings: dict[Subnet, Mapping] = {}
        example = space.input_at(space.resolutions[-1])
        self.x = example.expand(batch, *example.shape[1:]).contiguous().to(device)

    def ready(self, subnet: Subnet) -> tuple[nn.Module, list[nn.Module], Tensor]:
        """The supernet, set to the subnet; the input is resized inside."""
        network = self.network
        if subnet not in self.settings:
            if len(self.settings) >= MOST_BUILT:  # behind a concatenation slices are copies
                self.settings.clear()
            self.settings[subnet] = network.prepared(subnet, {}, weights=True)
        network.subnet, network.switch.setting = subnet, self.settings[subnet]
        firsts = [network.body.get_submodule(s.name) for s in self.space.segments]
        return network, firsts, self.x


class ChainRunner(Runner):
    """Networks of the paper's spaces, built from their blocks."""

    def __init__(self, space: Space, device: str, batch: int) -> None:
        super().__init__(space, device, batch)
        self.built: dict[Subnet, nn.Sequential] = {}

    def ready(self, subnet: Subnet) -> tuple[nn.Module, list[nn.Module], Tensor]:
        """A network of its own, on an input of its size."""
        blocks = self.space.blocks(subnet)
        if subnet not in self.built:
            if len(self.built) >= MOST_BUILT:
                self.built.clear()
            self.built[subnet] = chain(blocks).eval().to(self.device)
        network = self.built[subnet]
        shape = (self.batch, blocks[0].cin, subnet.resolution, subnet.resolution)
        return network, list(network), torch.ones(shape, device=self.device)


def runner_of(space: Space, device: str, batch: int) -> Runner:
    """What runs the subnets of a space on a device, ``batch`` images at a time."""
    kind = ElasticRunner if isinstance(space, ElasticSpace) else ChainRunner
    return kind(space, device, batch)
