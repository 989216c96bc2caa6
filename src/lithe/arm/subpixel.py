"""Transposed convolutions as ordinary ones, which processors run faster."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["subpixel", "without_transposed"]


def subpixel(conv: nn.ConvTranspose2d) -> nn.Sequential | None:
    """The same map as a convolution at input size and a pixel shuffle.

    Output pixel ``s m + r`` of a transposed convolution with stride ``s`` and padding ``p`` reads
    input ``m + d`` through tap ``r + p - s d``: each of the ``s`` phases ``r`` is a small
    convolution of its own. Taps that do not exist become zeros: FSRCNN's 9 x 9 kernel with stride
    4 becomes 48 filters of 3 x 3, 1.8 times the multiply-accumulates in half the time.

    Args:
        conv: of any width.

    Returns:
        The pair, or ``None`` where the output is not ``s`` times the input, or kernel, stride or
        padding differ between the axes, or the layer is dilated or grouped.
    """
    (k, same_k), (s, same_s), (p, same_p) = conv.kernel_size, conv.stride, conv.padding
    plain = (k, s, p) == (same_k, same_s, same_p) and conv.groups == 1
    spare = conv.output_padding == (s - k + 2 * p,) * 2 and conv.dilation == (1, 1)
    if not (plain and spare) or s == 1:
        return None
    reach = max((s - 1 + p) // s, (k - 1 - p) // s)
    new = nn.Conv2d(conv.in_channels, conv.out_channels * s * s, 2 * reach + 1, padding=reach)
    new = new.to(conv.weight)
    with torch.no_grad():
        new.weight.copy_(_phases(conv.weight, s, p, reach).flatten(0, 2))
        bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
        new.bias.copy_(bias.repeat_interleave(s * s))
    return nn.Sequential(new, nn.PixelShuffle(s))


def _phases(weight: torch.Tensor, s: int, p: int, reach: int) -> torch.Tensor:
    """``(i, o, k, k)`` to ``(o, s, s, i, d, d)``: for each phase the taps of every offset."""
    i, o, k, _ = weight.shape
    side = 2 * reach + 1
    phases = weight.new_zeros(o, s, s, i, side, side)
    offsets = torch.arange(side) - reach
    taps = torch.arange(s)[:, None] + p - s * offsets  # (phase, offset)
    for r, d in ((taps >= 0) & (taps < k)).nonzero().tolist():
        for q, e in ((taps >= 0) & (taps < k)).nonzero().tolist():
            phases[:, r, q, :, d, e] = weight[:, :, taps[r, d], taps[q, e]].T
    return phases


def without_transposed(model: nn.Module) -> nn.Module:
    """A copy in which every transposed convolution that can be is a convolution and a shuffle."""
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if type(module) is nn.ConvTranspose2d and name:
            new = subpixel(module)
            if new is not None:
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, new.train(module.training))
    return model
