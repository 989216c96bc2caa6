"""The transformers of the aligned space: sequences to one Gaussian, and one vector to motion."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

__all__ = ["Gaussian", "MotionDecoder", "SequenceEncoder", "sinusoids", "valid_frames"]


class Gaussian(NamedTuple):
    """A diagonal normal distribution.

    Attributes:
        mean: ``(n, d)``.
        logvar: logarithm of the variance ``(n, d)``.
    """

    mean: Tensor
    logvar: Tensor

    @property
    def std(self) -> Tensor:
        """Standard deviation ``(n, d)``: ``exp(logvar / 2)``."""
        return torch.exp(self.logvar / 2)

    def sample(self, generator: Generator | None = None) -> Tensor:
        """One draw ``(n, d)`` that gradients pass through."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + self.std * noise


def sinusoids(length: int, width: int) -> Tensor:
    """The sinusoidal position table ``(length, width)``: sines at even, cosines at odd places.

    Source: SynTalker spec 5.1.

    Raises:
        ValueError: the width is odd.
    """
    if width % 2:
        raise ValueError(f"width is {width}; sines and cosines come in pairs")
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(length)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


def valid_frames(lengths: Tensor, t: int) -> Tensor:
    """Mask ``(n, t)``, true for the first ``lengths[n]`` of ``t`` frames."""
    return torch.arange(t, device=lengths.device) < lengths[:, None]


class SequenceEncoder(nn.Module):
    """A sequence of vectors to one Gaussian: two learned tokens in front of a transformer.

    Source: SynTalker spec 5.1; four post-norm layers as released.

    Args:
        inputs: width of an item of the sequence.
        width: of the transformer and of the Gaussian.
        layers: of the transformer.
        heads: of its attention.
        feedforward: its hidden width.
        dropout: of positions and layers.
        activate: ReLU in front of the first linear layer, as for text.
    """

    def __init__(
        self,
        inputs: int,
        width: int = 256,
        *,
        layers: int = 4,
        heads: int = 4,
        feedforward: int = 1024,
        dropout: float = 0.1,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.activate = activate
        self.embed = nn.Linear(inputs, width)
        self.mean_token = nn.Parameter(torch.randn(width))
        self.logvar_token = nn.Parameter(torch.randn(width))
        self.dropout = nn.Dropout(dropout)
        one = nn.TransformerEncoderLayer(
            width, heads, feedforward, dropout, activation="gelu", batch_first=True
        )
        self.transformer = nn.TransformerEncoder(one, layers, enable_nested_tensor=False)
        _redraw(self.transformer)

    def forward(self, x: Tensor, valid: Tensor) -> Gaussian:
        """Encode sequences.

        Args:
            x: items ``(n, s, inputs)``.
            valid: mask ``(n, s)``, false for padding.
        """
        h = self.embed(torch.relu(x) if self.activate else x)
        tokens = torch.stack([self.mean_token, self.logvar_token]).expand(len(x), -1, -1)
        h = torch.cat([tokens, h], 1)
        h = self.dropout(h + sinusoids(h.shape[1], h.shape[2]).to(h))
        padding = ~torch.cat([valid.new_ones(len(x), 2), valid], 1)
        out = self.transformer(h, src_key_padding_mask=padding)
        return Gaussian(out[:, 0], out[:, 1])


class MotionDecoder(nn.Module):
    """One vector to motion of any length.

    Source: SynTalker spec 5.1: queries are positions, the memory is the one vector.

    Args:
        features: channels of a frame.
        width: of the vector and the transformer.
        layers: of the transformer.
        heads: of its attention.
        feedforward: its hidden width.
        dropout: of positions and layers.
    """

    def __init__(
        self,
        features: int,
        width: int = 256,
        *,
        layers: int = 4,
        heads: int = 4,
        feedforward: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        one = nn.TransformerDecoderLayer(
            width, heads, feedforward, dropout, activation="gelu", batch_first=True
        )
        self.transformer = nn.TransformerDecoder(one, layers)
        self.out = nn.Linear(width, features)
        _redraw(self.transformer)

    def forward(self, z: Tensor, valid: Tensor) -> Tensor:
        """Decode vectors.

        Args:
            z: ``(n, width)``.
            valid: mask ``(n, t)`` of the frames that are wanted; the others come out as 0.

        Returns:
            Normalised features ``(n, t, features)``.
        """
        n, t = valid.shape
        queries = self.dropout(sinusoids(t, z.shape[1]).to(z).expand(n, -1, -1))
        out = self.transformer(queries, z[:, None], tgt_key_padding_mask=~valid)
        return self.out(out) * valid[..., None]


def _redraw(stack: nn.Module) -> None:
    """Give each layer weights of its own: torch's stacks begin with copies of one layer."""
    for parameter in stack.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
