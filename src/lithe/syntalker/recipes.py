"""Stages 1 and 2 at the released size and length, on a reader's own features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lithe import ledger
from lithe.data import DataError
from lithe.syntalker import h3d
from lithe.syntalker.ablations import Corpus
from lithe.syntalker.clips import CaptionedClips, FeatureClip, Windows
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.model_files import save_model
from lithe.syntalker.space import SPACE_FULL, AlignedSpace
from lithe.syntalker.stage1 import assess, codec_recipe, train_codec
from lithe.syntalker.stage2 import appraise, space_recipe, train_space
from lithe.syntalker.text import HashingEncoder, TextEncoder
from lithe.syntalker.vqvae import FULL
from lithe.training import History, TrainConfig

__all__ = ["RECIPES", "Recipe", "dry_run", "full", "read_folder"]

#: Steps of the released runs, and windows or clips of one step.
VQ_STEPS, VQ_BATCH = 300_000, 256
TMR_EPOCHS, TMR_BATCH = 300, 512


@dataclass(frozen=True)
class Recipe:
    """One stage, ready to train.

    Attributes:
        key: ``"rvq"`` or ``"tmr"``.
        says: what it is.
        training: from the number of items and a seed to the recipe of the loop.
    """

    key: str
    says: str
    training: Callable[[int, int], TrainConfig]


def _rvq(items: int, seed: int) -> TrainConfig:
    epochs = max(VQ_STEPS // max(items // VQ_BATCH, 1), 3)
    return codec_recipe(epochs, seed=seed, drop_last=items >= VQ_BATCH)


def _tmr(items: int, seed: int) -> TrainConfig:
    return space_recipe(TMR_EPOCHS, batch_size=min(TMR_BATCH, items), seed=seed)


#: Stages at full length, by key.
RECIPES = {
    "rvq": Recipe("rvq", "part-wise RVQ-VAEs: 300 000 steps of 256 windows", _rvq),
    "tmr": Recipe("tmr", "aligned space: 300 epochs, 4 times 128 clips a step", _tmr),
}


def read_folder(folder: str | Path, split: str = "train") -> list[FeatureClip]:
    """Features in the layout of HumanML3D.

    ``<split>.txt`` lists ids; ``new_joint_vecs/<id>.npy`` holds ``(t, 623)`` or ``(t, 263)``
    features; ``texts/<id>.txt``, if there is one, a caption per line, up to its first ``#``.

    Raises:
        lithe.data.DataError: a file is missing, damaged, or not features.
    """
    folder = Path(folder).expanduser()
    listing = folder / f"{split}.txt"
    if not listing.is_file():
        raise DataError(f"{listing} is missing; give a folder in the layout of HumanML3D")
    names = listing.read_text(encoding="utf-8").split()
    if not names:
        raise DataError(f"{listing} lists no clip")
    return [_read_clip(folder, name) for name in names]


def _read_clip(folder: Path, name: str) -> FeatureClip:
    path, told = folder / "new_joint_vecs" / f"{name}.npy", folder / "texts" / f"{name}.txt"
    try:
        features = np.load(path, allow_pickle=False)
        h3d.joints_of(features.shape[-1])
        captions = []
        if told.is_file():
            lines = told.read_text(encoding="utf-8").splitlines()
            captions = [line.partition("#")[0].strip() for line in lines]
        clip = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        return FeatureClip(clip, tuple(filter(None, captions)), name=name)
    except (OSError, EOFError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"{path}: {error}") from error


def full(key: str, folder: str | Path, seed: int, text: TextEncoder, runs: Path) -> Path:
    """Train one stage at full length, record what it came to, and keep the model.

    Args:
        key: of :data:`RECIPES`.
        folder: see :func:`read_folder`; needs ``train.txt`` and ``test.txt``.
        seed: of first weights and order.
        text: language model of the aligned space.
        runs: where checkpoints and the trained model go.

    Returns:
        Path of the trained model.

    Raises:
        lithe.data.DataError: the folder is not as it should be.
    """
    corpus = Corpus("own", read_folder(folder, "train"), read_folder(folder, "test"))
    code = ledger.code_state(("lithe.syntalker", "lithe.training"))
    place = runs / "checkpoints" / "syntalker" / "full" / key / str(seed)
    with ledger.meter() as spent:
        model, metrics, recipe = _trained(key, corpus, seed, text, place)
    path = runs / "models" / f"syntalker-{key}-{seed}.json"
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        return path
    params = {"key": key, "text": text.fingerprint, "train": recipe.model_dump(mode="json")}
    ledger.record(
        "syntalker", key, "full", seed, params, metrics,
        data=corpus.described(), code=code, cost=spent,
    )  # fmt: skip
    return save_model(model, path, {"text": text.fingerprint})


def _trained(
    key: str, corpus: Corpus, seed: int, text: TextEncoder, place: Path | None
) -> tuple[BodyCodec | AlignedSpace, dict[str, Any], TrainConfig]:
    generator, normaliser = torch.Generator().manual_seed(seed), corpus.normaliser()
    if key == "rvq":
        parts = h3d.parts(h3d.joints_of(corpus.features))
        codec = BodyCodec(parts, FULL, normaliser=normaliser, generator=generator)
        windows = Windows(corpus.train, 64, 1, corpus.name)
        recipe = RECIPES[key].training(len(windows), seed)
        train_codec(codec, windows, recipe, directory=place)
        codec = codec.cpu().eval()
        held_out = [clip for clip in corpus.held_out if len(clip.features) >= 64]
        return codec, assess(codec, held_out), recipe
    clips = CaptionedClips(corpus.train, name=corpus.name)
    space = AlignedSpace(
        corpus.features, text.width, SPACE_FULL, normaliser=normaliser, generator=generator
    )
    recipe = RECIPES[key].training(len(clips), seed)
    train_space(space, clips, text, recipe, directory=place)
    space = space.cpu().eval()
    return space, appraise(space, CaptionedClips(corpus.held_out), text), recipe


def dry_run(key: str, clips: int = 2) -> History:
    """Two steps of a stage at full size on made-up features: model, loss and loop fit together."""
    generator = torch.Generator().manual_seed(0)
    made = [
        FeatureClip(torch.randn(64, 623, generator=generator), (f"clip {k}",)) for k in range(clips)
    ]
    normaliser = Corpus("made-up", made, made).normaliser()
    if key == "rvq":
        codec = BodyCodec(h3d.PARTS, FULL, normaliser=normaliser, generator=generator)
        recipe = codec_recipe(1, batch_size=1)
        return train_codec(codec, Windows(made), recipe, progress=False)
    text = HashingEncoder()
    space = AlignedSpace(623, text.width, SPACE_FULL, normaliser=normaliser, generator=generator)
    recipe = space_recipe(1, batch_size=1)
    return train_space(space, CaptionedClips(made), text, recipe, progress=False)
