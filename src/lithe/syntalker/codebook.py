"""One codebook, learned as a moving average of what it encodes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from lithe.syntalker.processes import of_the_first, summed

__all__ = ["Codebook", "Usage", "perplexity", "usage"]


class Codebook(nn.Module):
    """``k`` vectors that follow the running mean of the vectors assigned to them.

    Source: SynTalker spec 3.3. Its buffers hold everything that learning needs, so that a run that
    is taken up again goes on as if it had never stopped (G11: the released code saves the codes
    alone and starts learning anew).

    Args:
        size: number of codes ``k``.
        dim: width of a code.
        decay: of the moving averages, called mu.

    Attributes:
        codes: the vectors ``(k, dim)``.
        sums: moving sum of the vectors assigned to each code ``(k, dim)``.
        counts: moving count of them ``(k,)``.
        started: 1 once the codes were taken from a batch, 0 before.
        resets: how many times a code was replaced so far.
    """

    codes: Tensor
    sums: Tensor
    counts: Tensor
    started: Tensor
    resets: Tensor

    def __init__(self, size: int, dim: int, decay: float = 0.99) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"a codebook needs codes and a width, got size={size}, dim={dim}")
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; give a share of the past, from 0 to below 1")
        self.decay = decay
        self.register_buffer("codes", torch.zeros(size, dim))
        self.register_buffer("sums", torch.zeros(size, dim))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("started", torch.zeros((), dtype=torch.int64))
        self.register_buffer("resets", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.codes)

    def scores(self, x: Tensor) -> Tensor:
        """Squared distances to all codes, less the ``|x|^2`` that is the same for all.

        Args:
            x: vectors ``(m, dim)``.

        Returns:
            ``|c|^2 - 2 x.c`` of shape ``(m, k)``.
        """
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would pick other codes
            return torch.addmm(self.codes.square().sum(1), x, self.codes.t(), alpha=-2)

    def nearest(self, x: Tensor) -> Tensor:
        """Index of the nearest code of each vector, int64 ``(m,)``."""
        return self.scores(x).argmin(1)

    def drawn(self, x: Tensor, temperature: float, generator: Generator | None = None) -> Tensor:
        """Index of a code drawn at random, the nearer the likelier, int64 ``(m,)``.

        Source: SynTalker spec 3.3, ``argmax(-distance^2 / tau + Gumbel noise)``. At temperature
        0 this is :meth:`nearest`.
        """
        scores = self.scores(x)
        if temperature > 0:
            # Gumbel noise is -log of exponential noise
            noise = torch.empty_like(scores).exponential_(generator=generator)
            scores = scores / temperature + noise.log()
        return scores.argmin(1)

    def start(self, x: Tensor, generator: Generator | None = None) -> None:
        """Take the first vectors of a batch as codes, once.

        Args:
            x: vectors ``(m, dim)``; with fewer than ``k`` they are repeated with a little noise.
            generator: source of that noise.
        """
        if self.started:
            return
        self.codes.copy_(of_the_first(_enough(x, len(self), generator)[: len(self)]))
        self.sums.copy_(self.codes)
        self.started.fill_(1)

    @torch.no_grad()
    def learn(self, x: Tensor, index: Tensor, generator: Generator | None = None) -> Tensor:
        """Move every code to the running mean of its vectors; replace the codes without any.

        Source: SynTalker spec 3.3. With several processes, their batches count as one.

        Args:
            x: vectors ``(m, dim)``.
            index: the code each was assigned to ``(m,)``.
            generator: decides which vectors replace unused codes.

        Returns:
            How often each code was used in this batch ``(k,)``.
        """
        used = summed(torch.bincount(index, minlength=len(self)).to(x.dtype))
        total = summed(torch.zeros_like(self.sums).index_add_(0, index, x))
        self.sums.mul_(self.decay).add_(total, alpha=1 - self.decay)
        self.counts.mul_(self.decay).add_(used, alpha=1 - self.decay)
        alive = self.counts >= 1
        spare = _enough(x, len(self), generator)
        order = torch.randperm(len(spare), generator=generator, device=_place(generator))
        spare = of_the_first(spare[order.to(x.device)[: len(self)]])
        self.codes.copy_(torch.where(alive[:, None], self.sums / self.counts[:, None], spare))
        self.resets += (~alive).sum()
        return used

    def extra_repr(self) -> str:
        """Size, width and decay."""
        return f"{len(self)}, {self.codes.shape[1]}, decay={self.decay}"


class Usage(NamedTuple):
    """How a codebook was used on some data.

    Attributes:
        perplexity: ``exp`` of the entropy of the codes' shares: 1 (one code) to ``k`` (all alike).
        dead: codes that were not used at all.
    """

    perplexity: float
    dead: int


def perplexity(counts: Tensor) -> Tensor:
    """Effective number of codes from how often each was used.

    Source: released code, checked against its numbers: ``exp(-sum p log(p + 1e-7))``.

    Args:
        counts: uses ``(k,)``, not all 0.
    """
    share = counts / counts.sum()
    return torch.exp(-(share * torch.log(share + 1e-7)).sum())


def usage(index: Tensor, size: int) -> Usage:
    """Perplexity and dead codes of assignments.

    Args:
        index: codes ``(...)``, -1 for none.
        size: of the codebook.

    Raises:
        ValueError: nothing was assigned.
    """
    index = index[index >= 0].flatten()
    if not len(index):
        raise ValueError("no vector was assigned to any code; there is nothing to measure")
    counts = torch.bincount(index, minlength=size).double()
    return Usage(float(perplexity(counts)), int((counts == 0).sum()))


def _enough(x: Tensor, size: int, generator: Generator | None) -> Tensor:
    """At least ``size`` vectors: those given, repeated with a jitter of 0.01 / sqrt(dim)."""
    if len(x) >= size:
        return x
    tiled = x.repeat(math.ceil(size / len(x)), 1)
    place = _place(generator)
    noise = torch.randn(tiled.shape, generator=generator, device=place).to(x)
    return tiled + noise * (0.01 / math.sqrt(x.shape[1]))


def _place(generator: Generator | None) -> torch.device:
    return generator.device if generator is not None else torch.device("cpu")
