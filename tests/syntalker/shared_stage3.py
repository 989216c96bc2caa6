"""One of several processes that train stage 3 together; started by its test through torchrun.

Usage: ``torchrun --nproc_per_node 2 shared_stage3.py FOLDER`` (or plain ``python`` for one).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lithe.syntalker import h3d
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.denoiser import DenoiserConfig
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.space import AlignedSpace, SpaceConfig
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.spoken import BothCorpora, SpokenClip
from lithe.syntalker.stage3 import DiffusionStep, diffusion_recipe, train_denoiser
from lithe.syntalker.vqvae import CodecConfig

NET = DenoiserConfig(
    latent=12, width=16, layers=1, heads=2, hidden=16, rotary=8, speech=4, prompt=8
)


class OwnNoise(DiffusionStep):
    """Noise, steps and dropping that belong to a piece of a batch, whoever gets the piece.

    By itself every process draws its own, so that two of them see other noise than one does.
    """

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(int((y + 1).prod(1).sum()))
        return super().__call__(model, x, y)


def drawn(*size: int, seed: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def corpora() -> BothCorpora:
    talkers = [
        SpokenClip(
            drawn(64, 263, seed=k), drawn(34_133, 2, seed=20 + k).abs(), torch.arange(64) % 90
        )
        for k in range(3)
    ]
    movers = [SpokenClip(drawn(48, 263, seed=50 + k)) for k in range(3)]
    return BothCorpora(talkers, movers, window=32, stride=16)


def stages() -> tuple[BodyCodec, AlignedSpace]:
    generator = torch.Generator().manual_seed(1)
    norm = Normaliser(torch.zeros(263), torch.ones(263))
    coded = CodecConfig(width=4, latent=6, layers=1, codes=4, dropout=0.0)
    codec = BodyCodec(h3d.parts(22), coded, normaliser=norm, scale=1.0, generator=generator)
    spaced = SpaceConfig(width=8, layers=1, heads=2, feedforward=8, dropout=0.0)
    return codec, AlignedSpace(263, 16, spaced, normaliser=norm, generator=generator)


def train(folder: Path, pieces: int, kind: type[DiffusionStep]) -> None:
    """Two epochs; a batch is cut into so many pieces by each process."""
    rank = int(os.environ.get("RANK", "0"))
    data = corpora()
    network = SpeechDenoiser(NET, 100, 4, generator=torch.Generator().manual_seed(2))
    recipe = diffusion_recipe(
        2, batch_size=4, accumulate=pieces, lr=3e-3, ema_decay=0.8, device="cpu"
    )
    step = kind(data, *stages(), draws=2)
    history = train_denoiser(network, data, step, recipe, progress=False)
    name = kind.__name__
    average = {f"ema.{key}": x for key, x in history.ema.network.state_dict().items()}
    save_file(network.state_dict() | average, folder / f"{name}-{rank}.safetensors")
    (folder / f"{name}-{rank}.json").write_text(json.dumps(history["train_loss"]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for step_kind in (OwnNoise, DiffusionStep):
        train(Path(sys.argv[1]), 1, step_kind)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
