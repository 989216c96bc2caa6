"""The training recipes of the ten released configurations, and a dry run of each.

Source: released training scripts, spec section 4. Two recipes share the ImageNet networks: ``step``
(90 epochs) and ``cos`` (180 epochs, momentum 0.99); both have the same effective step lr / (1 - m).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lithe import data
from lithe.dcff.configs import PAPER_CONFIGS, paper_model
from lithe.dcff.contest import Refresh
from lithe.training import TrainConfig, fit

__all__ = ["Recipe", "dry_run", "recipe"]

IMAGE_SIZE = {"cifar10": 32, "imagenet": 224}
#: As released; the deviation is not that of the pixels (which is 0.247, 0.243, 0.262).
CIFAR_NORM = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CLASSES = {"cifar10": 10, "imagenet": 1000}


@dataclass(frozen=True)
class Recipe:
    """One row of the paper's tables, ready to train.

    Attributes:
        key: a key of ``PAPER_CONFIGS``.
        dataset: ``"cifar10"`` or ``"imagenet"``.
        train: epochs, optimiser, schedule, batch size, seed.
    """

    key: str
    dataset: Literal["cifar10", "imagenet"]
    train: TrainConfig


def recipe(key: str, seed: int = 0) -> Recipe:
    """The released recipe of one configuration.

    Raises:
        KeyError: ``key`` is not one of ``PAPER_CONFIGS``.
    """
    if key not in PAPER_CONFIGS:
        raise KeyError(f"no DCFF configuration {key!r}; there are: {', '.join(PAPER_CONFIGS)}")
    if not key.startswith("r50"):
        return Recipe(key, "cifar10", _cifar(seed))
    return Recipe(key, "imagenet", _step(seed) if "step" in key else _cosine(seed))


def _cifar(seed: int) -> TrainConfig:
    return TrainConfig(
        epochs=300,
        batch_size=256,
        lr=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="step",
        milestones=(150, 225),
        seed=seed,
    )


def _step(seed: int) -> TrainConfig:
    return TrainConfig(
        epochs=90,
        batch_size=256,
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="step",
        milestones=(30, 60, 80),
        warmup_epochs=5,
        seed=seed,
    )


def _cosine(seed: int) -> TrainConfig:
    return TrainConfig(
        epochs=180,
        batch_size=256,
        lr=0.01,
        momentum=0.99,
        weight_decay=1e-4,
        schedule="cosine",
        warmup_epochs=5,
        seed=seed,
    )


def load(recipe: Recipe, folder: str | Path | None, download: bool = False) -> tuple:
    """The recipe's training and test images, verified.

    Args:
        recipe: what to train.
        folder: where the data set lies (ImageNet must be given by path).
        download: fetch CIFAR-10 with its checksum where it is missing.
    """
    if recipe.dataset == "cifar10":
        train, test = data.cifar10(folder, download=download)
        return train.normalised(*CIFAR_NORM), test.normalised(*CIFAR_NORM)
    if folder is None:
        raise data.DataError("ImageNet is licensed: name its folder (with train/ and val/ inside)")
    return data.imagenet_folder(folder)


def dry_run(key: str, steps: int = 2, batch_size: int = 2, directory: str | Path | None = None):
    """Train ``steps`` steps of a full recipe on fake images at the real image shape.

    Shows that network, refresh, optimiser and schedule fit together; the batch is small so that
    a laptop can do it.

    Returns:
        The training history of the one short epoch.
    """
    chosen = recipe(key)
    size, classes = IMAGE_SIZE[chosen.dataset], CLASSES[chosen.dataset]
    images = data.fake_images((3, size, size), classes, steps * batch_size, seed=0)
    short = chosen.train.model_copy(update={"epochs": 1, "batch_size": batch_size})
    schedule = Refresh(mode="released", epochs=chosen.train.epochs)
    model = paper_model(key, "fused")
    return fit(model, images, short, callbacks=[schedule], directory=directory, progress=False)
