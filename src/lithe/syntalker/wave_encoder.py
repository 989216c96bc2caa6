"""The wave encoder: 16,000 samples a second in, one vector a frame of motion out."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["WaveBlock", "WaveEncoder"]

KERNEL = 15
#: Divisor of the output width, stride, padding, and whether the shortcut convolves.
BLOCKS = (
    (4, 5, 1700, True),
    (4, 6, 0, True),
    (4, 1, 7, False),
    (2, 6, 0, True),
    (2, 1, 7, False),
    (1, 3, 0, True),
)


class WaveBlock(nn.Module):
    """Residual block over time: conv, norm, leaky ReLU, conv, norm, plus the shortcut.

    Source: SynTalker spec 4.2.

    Args:
        i: input channels.
        o: output channels.
        stride: of the first convolution and of the shortcut.
        padding: likewise, samples.
        project: convolve the shortcut; needed where shape changes.
    """

    def __init__(self, i: int, o: int, stride: int, padding: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(i, o, KERNEL, stride, padding)
        self.bn1 = nn.BatchNorm1d(o)
        self.conv2 = nn.Conv1d(o, o, KERNEL, padding=KERNEL // 2)
        self.bn2 = nn.BatchNorm1d(o)
        self.downsample = (
            nn.Sequential(nn.Conv1d(i, o, KERNEL, stride, padding), nn.BatchNorm1d(o))
            if project
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, i, samples)`` to ``(n, o, samples / stride)``."""
        inner = F.leaky_relu(self.bn1(self.conv1(x)))
        return F.leaky_relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class WaveEncoder(nn.Module):
    """Six residual blocks with a total stride of 540 samples.

    Source: SynTalker spec 4.2; 3.33 M parameters at ``width`` 256. A frame of motion is 533.33
    samples and not 540, so frame ``k`` is centred near sample ``540 k - 190`` and drifts from
    12 ms early to 41 ms late over 128 frames.

    Args:
        width: channels that come out, a multiple of 4.
        channels: channels of sound: amplitude and onset.
    """

    def __init__(self, width: int = 256, channels: int = 2) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise ValueError(f"width is {width}; a positive multiple of 4 is needed")
        widths = [channels] + [width // divisor for divisor, *_ in BLOCKS]
        self.channels = channels
        self.blocks = nn.Sequential(
            *(
                WaveBlock(i, o, *rest)
                for i, o, (_, *rest) in zip(widths, widths[1:], BLOCKS, strict=False)
            )
        )

    def forward(self, sound: Tensor) -> Tensor:
        """Encode sound.

        Args:
            sound: ``(n, samples, 2)`` at 16 kHz; 68,266 samples are 128 frames.

        Returns:
            ``(n, frames, width)``.

        Raises:
            ValueError: another number of dimensions or channels.
        """
        if sound.dim() != 3 or sound.shape[2] != self.channels:
            raise ValueError(
                f"sound is {tuple(sound.shape)}; (n, samples, {self.channels}) is needed"
            )
        return self.blocks(sound.transpose(1, 2)).transpose(1, 2)
