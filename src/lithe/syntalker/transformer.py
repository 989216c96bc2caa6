"""The transformer of the denoiser: pre-norm blocks, and the one rotary encoding in front."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Attention", "Block", "DropPath", "Mlp", "rotary"]


def rotary(x: Tensor, base: float = 10_000.0) -> Tensor:
    """Turn pairs of channels by angles that grow with the position.

    Source: SynTalker spec 6.1, step 5: half-split pairs (channel ``k`` with ``k + d / 2``).

    Args:
        x: ``(..., t, d)``, ``d`` even.
        base: the slowest pair turns by about ``1 / base`` per position.

    Raises:
        ValueError: ``d`` is odd.
    """
    t, d = x.shape[-2:]
    if d % 2:
        raise ValueError(f"the rotary encoding turns pairs of channels; {d} is odd")
    rate = base ** (-torch.arange(0, d, 2, device=x.device, dtype=torch.float32) / d)
    angle = (torch.arange(t, device=x.device)[:, None] * rate).repeat(1, 2)
    first, second = x.chunk(2, -1)
    turned = torch.cat([-second, first], -1)
    return x * angle.cos().to(x) + turned * angle.sin().to(x)


class DropPath(nn.Module):
    """Stochastic depth: in training, leave a whole sample's branch out with a chance.

    Args:
        chance: of leaving out; what stays is scaled up so that the mean is the same.
    """

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, x: Tensor) -> Tensor:
        """``(n, ...)`` to the same shape."""
        if not self.training or not self.chance:
            return x
        kept = torch.rand(len(x), *(1,) * (x.ndim - 1), device=x.device) >= self.chance
        return x * kept / (1.0 - self.chance)


class Attention(nn.Module):
    """Self-attention over all frames, fused; no bias on queries, keys and values.

    Args:
        width: channels.
        heads: divides ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, t, width)`` to the same shape."""
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).reshape(n, t, width))


class Mlp(nn.Module):
    """Linear, GELU, linear.

    Args:
        width: channels.
        hidden: channels in between.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` to the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to its input.

    Source: SynTalker spec 6.1, step 6. What the released code calls cross-local attention is
    ordinary self-attention.

    Args:
        width: channels.
        heads: of the attention.
        hidden: channels inside the MLP.
        drop_path: chance of leaving a branch out in training.
    """

    def __init__(self, width: int, heads: int, hidden: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, t, width)`` to the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
