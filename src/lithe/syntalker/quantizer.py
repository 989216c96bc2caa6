"""Residual quantisation: each codebook encodes what the ones before it left over."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from lithe.syntalker.codebook import Codebook, perplexity
from lithe.syntalker.processes import of_the_first

__all__ = ["Quantized", "ResidualQuantizer"]

StraightThrough = Literal["released", "once"]


class Quantized(NamedTuple):
    """What a residual quantiser makes of a batch.

    Attributes:
        output: sum of the codes ``(n, d, t)``; gradients pass straight through.
        indices: chosen codes, int64 ``(n, t, layers)``; -1 for layers that were skipped.
        commitment: mean squared distance of each active layer's input to its code, averaged.
        perplexity: effective number of codes in this batch, averaged over active layers.
        codes: what each layer contributed ``(layers, n, d, t)``; 0 for skipped layers.
    """

    output: Tensor
    indices: Tensor
    commitment: Tensor
    perplexity: Tensor
    codes: Tensor


class ResidualQuantizer(nn.Module):
    """``layers`` codebooks in a row, each on the residual of the one before.

    Source: SynTalker spec 3.3. With ``r_0 = x``: ``q_k`` is the code nearest to ``r_k``,
    ``r_{k+1} = r_k - q_k``, and the output is the sum of all ``q_k``. In training, codes are drawn
    at random near the nearest, a random number of layers is skipped now and then, and the
    codebooks learn. Unlike the released code (G10) the input is never written to.

    Args:
        layers: number of codebooks.
        codes: size of each.
        dim: width ``d`` of a vector.
        decay: of the codebooks' moving averages.
        temperature: of the random assignment in training; 0 takes the nearest.
        dropout: chance that a training pass keeps only layers ``0..s``, ``s`` uniform (G13: so at
            least one layer stays).
        straight_through: ``"released"`` passes the gradient once *per layer*, so that the encoder
            receives it multiplied by the number of active layers (G12); ``"once"`` passes it once.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(
        self,
        layers: int = 6,
        codes: int = 512,
        dim: int = 512,
        *,
        decay: float = 0.99,
        temperature: float = 0.5,
        dropout: float = 0.2,
        straight_through: StraightThrough = "released",
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers is {layers}; a residual quantiser has 1 or more")
        if not temperature >= 0:
            raise ValueError(f"temperature is {temperature}; give 0 or more")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}; give a chance from 0 to 1")
        if straight_through not in ("released", "once"):
            raise ValueError(
                f"straight_through is {straight_through!r}; known are 'released' and 'once'"
            )
        self.books = nn.ModuleList(Codebook(codes, dim, decay) for _ in range(layers))
        self.temperature, self.dropout = temperature, dropout
        self.straight_through = straight_through

    def __len__(self) -> int:
        return len(self.books)

    @property
    def codebooks(self) -> Tensor:
        """All codes ``(layers, k, d)``, a copy."""
        return torch.stack([book.codes for book in self.books])

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self.books[0].codes.shape[1]

    @torch.no_grad()
    def set_codebooks(self, codes: Tensor) -> ResidualQuantizer:
        """Take codes ``(layers, k, d)`` as given, as if they had just been started.

        Raises:
            ValueError: the shape is another one.
        """
        if codes.shape != self.codebooks.shape:
            raise ValueError(
                f"codebooks are {tuple(self.codebooks.shape)}, got {tuple(codes.shape)}"
            )
        for book, given in zip(self.books, codes):
            book.codes.copy_(given)
            book.sums.copy_(given)
            book.counts.fill_(1)
            book.started.fill_(1)
        return self

    def forward(
        self, x: Tensor, layers: int | None = None, generator: Generator | None = None
    ) -> Quantized:
        """Quantise vectors; in training mode, learn from them too.

        Args:
            x: vectors ``(n, d, t)``.
            layers: use the first so many codebooks; by default all, or with dropout fewer.
            generator: source of randomness in training; torch's own by default.

        Raises:
            ValueError: ``x`` has another shape, or there are not so many layers.
        """
        flat = self._flat(x)
        active = self._active(layers, generator, x.device)
        residual, kept = flat, []
        for book in self.books[:active]:
            kept.append(self._one(book, residual, generator))
            residual = residual - kept[-1].code.detach()
        total = torch.stack([step.code for step in kept]).sum(0)
        if self.straight_through == "once":
            total = flat + (total - flat).detach()
        n, _, t = x.shape
        skipped = len(self) - active
        index = F.pad(torch.stack([step.index for step in kept], -1), (0, skipped), value=-1)
        codes = torch.stack([_channels_first(step.code, n, t) for step in kept])
        return Quantized(
            _channels_first(total, n, t),
            index.view(n, t, len(self)),
            torch.stack([step.commitment for step in kept]).mean(),
            torch.stack([step.perplexity for step in kept]).mean(),
            F.pad(codes.flatten(1), (0, 0, 0, skipped)).view(len(self), *codes.shape[1:]),
        )

    @torch.no_grad()
    def encode(self, x: Tensor, layers: int | None = None) -> Tensor:
        """Codes of vectors ``(n, d, t)`` as int64 ``(n, t, layers)``: nearest, without learning."""
        return self.project(x, layers)[1]

    @torch.no_grad()
    def project(self, x: Tensor, layers: int | None = None) -> tuple[Tensor, Tensor]:
        """Put vectors on the learned manifold: the sum of their nearest codes, and those codes.

        Args:
            x: vectors ``(n, d, t)``; not written to.
            layers: use the first so many codebooks.

        Returns:
            Sums ``(n, d, t)`` and codes ``(n, t, layers used)``.
        """
        flat = self._flat(x)
        residual, total, index = flat, torch.zeros_like(flat), []
        for book in self.books[: self._checked(layers)]:
            index.append(book.nearest(residual))
            code = book.codes[index[-1]]
            residual, total = residual - code, total + code
        n, _, t = x.shape
        return _channels_first(total, n, t), torch.stack(index, -1).view(n, t, -1)

    def decode(self, indices: Tensor) -> Tensor:
        """Sum of the codes of indices ``(n, t, layers)``, -1 for none, as ``(n, d, t)``.

        Raises:
            ValueError: an index that no codebook has, or more layers than there are.
        """
        if indices.ndim != 3 or not 1 <= indices.shape[2] <= len(self):
            raise ValueError(
                f"indices are {tuple(indices.shape)}; give (n, t, layers), 1..{len(self)} layers"
            )
        size = len(self.books[0])
        if indices.numel() and (indices.min() < -1 or indices.max() >= size):
            raise ValueError(f"indices run from -1 (none) to {size - 1}")
        total = torch.zeros(*indices.shape[:2], self.dim, device=indices.device)
        for book, index in zip(self.books, indices.unbind(2)):
            total = total + book.codes[index.clamp_min(0)] * (index >= 0)[..., None]
        return total.transpose(1, 2)

    def _one(self, book: Codebook, x: Tensor, generator: Generator | None) -> _Step:
        """One layer on one residual ``(m, d)``."""
        with torch.no_grad():
            if self.training:
                book.start(x, generator)
                index = book.drawn(x, self.temperature, generator)
                code = book.codes[index]  # of before the update
                used = book.learn(x, index, generator)
            else:
                index = book.nearest(x)
                code = book.codes[index]
                used = torch.bincount(index, minlength=len(book)).to(x.dtype)
        commitment = F.mse_loss(x, code)
        return _Step(x + (code - x).detach(), index, commitment, perplexity(used))

    def _active(self, layers: int | None, generator: Generator | None, device: torch.device) -> int:
        """How many layers this pass uses."""
        if layers is not None or not self.training or not self.dropout:
            return self._checked(layers)
        place = generator.device if generator is not None else "cpu"
        # all processes must skip the same layers: each layer that learns is an exchange
        draw = of_the_first(torch.rand(2, generator=generator, device=place).to(device))
        skips, which = draw.tolist()
        return 1 + int(which * len(self)) if skips < self.dropout else len(self)

    def _checked(self, layers: int | None) -> int:
        if layers is not None and not 1 <= layers <= len(self):
            raise ValueError(f"layers is {layers}; this quantiser has 1..{len(self)}")
        return layers or len(self)

    def _flat(self, x: Tensor) -> Tensor:
        """Vectors ``(n t, d)`` of a batch ``(n, d, t)``."""
        if x.ndim != 3 or x.shape[1] != self.dim or not x.numel():
            raise ValueError(f"vectors are (n, {self.dim}, t), none empty; got {tuple(x.shape)}")
        return x.transpose(1, 2).reshape(-1, self.dim).float()


class _Step(NamedTuple):
    code: Tensor
    index: Tensor
    commitment: Tensor
    perplexity: Tensor


def _channels_first(x: Tensor, n: int, t: int) -> Tensor:
    return x.view(n, t, -1).transpose(1, 2)
