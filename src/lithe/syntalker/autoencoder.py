"""The convolutional encoder and decoder of one body part: four frames of motion to one latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["DOWN", "Decoder", "Encoder", "ResidualBlock"]

#: Frames of motion per latent.
DOWN = 4
#: In the order they run: the released "reverse dilation" is on by default.
DILATIONS = (9, 3, 1)


class ResidualBlock(nn.Module):
    """ReLU, dilated convolution, ReLU, pointwise convolution, dropout, plus the input.

    Source: SynTalker spec 3.1. No normalisation.

    Args:
        width: channels.
        dilation: of the first convolution, kernel 3.
        dropout: chance, 0.2 as released.
    """

    def __init__(self, width: int, dilation: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, width, t)`` to the same shape."""
        return x + self.dropout(self.conv2(torch.relu(self.conv1(torch.relu(x)))))


def _stack(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width, dilation, dropout) for dilation in DILATIONS))


class Encoder(nn.Sequential):
    """Motion features ``(n, d, t)`` to latents ``(n, latent, t / 4)``.

    Source: SynTalker spec 3.1. One latent sees about 176 frames, so that what lies outside a
    window matters.

    Args:
        features: channels ``d`` of a frame.
        width: channels inside.
        latent: channels of a latent; ``width`` by default.
        dropout: of the residual blocks.
    """

    def __init__(
        self, features: int, width: int = 512, latent: int | None = None, dropout: float = 0.2
    ) -> None:
        halvings = [
            nn.Sequential(nn.Conv1d(width, width, 4, stride=2, padding=1), _stack(width, dropout))
            for _ in range(2)
        ]
        super().__init__(
            nn.Conv1d(features, width, 3, padding=1),
            nn.ReLU(),
            *halvings,
            nn.Conv1d(width, latent or width, 3, padding=1),
        )


class Decoder(nn.Sequential):
    """Latents ``(n, latent, t / 4)`` to motion features ``(n, d, t)``.

    Source: SynTalker spec 3.2. One frame depends on about 44 latents, so that a long sequence is
    to be decoded in one pass.

    Args:
        features: channels ``d`` of a frame.
        width: channels inside.
        latent: channels of a latent; ``width`` by default.
        dropout: of the residual blocks.
    """

    def __init__(
        self, features: int, width: int = 512, latent: int | None = None, dropout: float = 0.2
    ) -> None:
        doublings = [
            nn.Sequential(
                _stack(width, dropout),
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv1d(width, width, 3, padding=1),
            )
            for _ in range(2)
        ]
        super().__init__(
            nn.Conv1d(latent or width, width, 3, padding=1),
            nn.ReLU(),
            *doublings,
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, features, 3, padding=1),
        )
