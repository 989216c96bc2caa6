"""How much of the receptive field can be seen: the margin that tiles really need."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["TOLERANCE", "visible_halo"]

TOLERANCE = 0.25 / 255  # a quarter of one step of an 8-bit image
TILE = 16


def visible_halo(net: nn.Module, exact: int, tolerance: float = TOLERANCE) -> int:
    """The smallest margin with which tiles of noise differ from the whole by a tolerance.

    The far end of a receptive field hardly weighs: CARN reads 21 pixels to each side, but
    beyond 10 nothing changes by a quarter of an 8-bit step. Uniform noise is the hardest
    content: on photographs the difference is several times smaller. Measured, not proven; the
    exact margin is :func:`lithe.arm.receptive.receptive_field`.

    Args:
        net: from ``(n, 3, h, w)`` in 0..1 to an enlarged image.
        exact: its receptive field, input pixels to each side.
        tolerance: largest difference, in units of the pixel range 0..1, after clipping.

    Returns:
        Input pixels to each side, at most ``exact``.
    """
    size = TILE + 2 * exact
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next((p.device for p in net.parameters()), None))
    with torch.inference_mode():
        whole = _middle(net(noise), exact, size)
        for margin in range(exact):
            cut = slice(exact - margin, exact + TILE + margin)
            tile = _middle(net(noise[..., cut, cut]), margin, TILE + 2 * margin)
            if float((tile - whole).abs().max()) <= tolerance:
                return margin
    return exact


def _middle(made: torch.Tensor, margin: int, size: int) -> torch.Tensor:
    scale = made.shape[-1] // size
    inner = slice(margin * scale, (margin + TILE) * scale)
    return made[..., inner, inner].clamp(0, 1)
