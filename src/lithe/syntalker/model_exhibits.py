"""What stages 1 and 2 show without training: sizes, reach and speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.h3d import PARTS
from lithe.syntalker.tmr import MotionDecoder, SequenceEncoder
from lithe.syntalker.vqvae import FULL, MotionVQ

__all__ = ["EXHIBITS", "realtime", "speed", "structure"]

Shown = tuple[dict[str, Any], dict[str, list[float]] | None, list[dict[str, Any]]]

FPS = 30.0
#: Channels of each part in the rotation variant (SynTalker spec 2.2).
ROTATIONS = {"upper": 78, "hands": 180, "lower": 57}
DISTILBERT = 768


def structure() -> Shown:
    """Parameter counts of all networks at full size, in millions; nothing is allocated."""
    found: dict[str, Any] = {}
    with torch.device("meta"):
        for part, channels in PARTS.items():
            found[f"vq_{part}"] = _millions(MotionVQ(len(channels), FULL))
        for part, width in ROTATIONS.items():
            found[f"vq_{part}_rotations"] = _millions(MotionVQ(width, FULL))
        found["motion_encoder"] = _millions(SequenceEncoder(623, 256))
        found["text_encoder"] = _millions(SequenceEncoder(DISTILBERT, 256, activate=True))
        found["motion_decoder"] = _millions(MotionDecoder(623, 256))
    found["codebook_numbers"] = FULL.layers * FULL.codes * FULL.latent
    return found, None, []


def speed(seconds: float = 20.0, repeats: int = 3) -> Shown:
    """How many seconds of motion a second encodes and decodes at full size, all parts."""
    codec = BodyCodec(PARTS, FULL, generator=torch.Generator().manual_seed(0)).eval()
    frames = int(seconds * FPS) // 4 * 4
    features = torch.randn(1, frames, 623, generator=torch.Generator().manual_seed(1))
    found = {
        "realtime": {"value": realtime(codec, features, repeats), "unit": "x", "n": repeats},
        "frames": frames,
        "threads": torch.get_num_threads(),
    }
    return found, None, []


def realtime(codec: BodyCodec, features: torch.Tensor, repeats: int = 3) -> float:
    """Seconds of motion per second of work, encoding and decoding; the best of several runs.

    Args:
        codec: in eval mode.
        features: ``(1, t, d)`` at 30 frames a second.
        repeats: runs after one that warms up.
    """
    codec.decode(codec.encode(features))
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        codec.decode(codec.encode(features))
        taken.append(time.perf_counter() - began)
    return features.shape[1] / FPS / min(taken)


def _millions(model: nn.Module) -> dict[str, Any]:
    count = sum(p.numel() for p in model.parameters())
    return {"value": count / 1e6, "unit": "M parameters"}


#: Records without training, by name.
EXHIBITS: dict[str, Callable[[], Shown]] = {"structure": structure, "speed": speed}
