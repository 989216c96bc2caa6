"""Every accuracy row of the 1xN paper as a recipe that can be trained, and a dry run of each.

Source: 1xN spec A2, A6: released training script, one command for all networks. A row is a network,
a pattern and a rate; the names of patterns are ``weight``, ``filter``, ``kernel``, ``random``
(kernels at random), ``1x4`` (rearranged) and ``1x4-plain`` (not rearranged); ``dense`` only
evaluates the pretrained weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lithe import data
from lithe.onexn.networks import NETWORKS, build
from lithe.onexn.prune import prune
from lithe.training import History, TrainConfig, fit

__all__ = ["ROWS", "Recipe", "dry_run", "load_weights", "pruned", "recipe"]

SIDE, CLASSES = 224, 1000
TENTHS = tuple(p / 10 for p in range(1, 10))
HALF = (0.5,)


def _rows() -> dict[str, tuple[float, ...]]:
    blocks = [f"1x{n}" for n in (2, 4, 8, 16, 32)]
    rows: dict[str, tuple[float, ...]] = {}
    for network in NETWORKS:
        rates = TENTHS if network in ("mobilenet_v2", "resnet50") else HALF
        rows[f"{network}-dense"] = (0.0,)
        rows |= {f"{network}-{pattern}": rates for pattern in ("weight", "filter", *blocks)}
    rows |= {f"mobilenet_v2-{pattern}-plain": HALF for pattern in blocks}
    return rows | {"resnet50-kernel": HALF, "resnet50-random": HALF}


#: Rates that the paper reports for each ``<network>-<pattern>``.
ROWS: dict[str, tuple[float, ...]] = _rows()


@dataclass(frozen=True)
class Recipe:
    """One row of the paper's tables or one point of its figures, ready to train.

    Attributes:
        key: a key of ``ROWS``.
        sparsity: share of the pruned layers' weights to drop; 0 for ``dense``.
        train: epochs, optimiser, schedule, batch size, seed.
    """

    key: str
    sparsity: float
    train: TrainConfig

    @property
    def network(self) -> str:
        """A key of ``NETWORKS``."""
        return self.key.partition("-")[0]

    @property
    def pattern(self) -> str:
        """What follows the network in the key."""
        return self.key.partition("-")[2]

    @property
    def experiment(self) -> str:
        """Name of the record."""
        return f"{self.key}-p{100 * self.sparsity:.0f}" if self.sparsity else self.key


def recipe(key: str, sparsity: float = 0.5, seed: int = 0) -> Recipe:
    """The released recipe of one row: SGD for 180 epochs, a cosine with five epochs of warm-up.

    Args:
        key: a key of ``ROWS``.
        sparsity: any share in (0, 1), also one that the paper does not report; not for ``dense``.
        seed: of order, augmentation and random masks.

    Raises:
        KeyError: no such row.
        ValueError: ``sparsity`` is out of range.
    """
    if key not in ROWS:
        raise KeyError(f"no 1xN row {key!r}; there are: {', '.join(ROWS)}")
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity is {sparsity!r}; it must be in (0, 1)")
    train = TrainConfig(
        epochs=180,
        batch_size=256,
        lr=0.01,
        momentum=0.9,
        weight_decay=4e-5,
        schedule="cosine",
        warmup_epochs=5,
        seed=seed,
    )
    return Recipe(key, 0.0 if key.endswith("-dense") else float(sparsity), train)


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill a network with pretrained weights, in place.

    Args:
        model: any module.
        path: a ``.safetensors`` file with the names of the model's state dict; pickles are not
            read. ``safetensors.torch.save_file(state_dict, path)`` makes one of a torchvision
            state dict.

    Raises:
        lithe.data.DataError: the file cannot be read, or its tensors are not those of the model.
    """
    name = Path(path).name
    try:
        state = load_file(Path(path).expanduser())
    except (OSError, SafetensorError) as error:
        raise data.DataError(f"weights {name} cannot be read as safetensors: {error}") from None
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise data.DataError(f"weights {name} are not those of this network: {reason}") from None
    return model


def pruned(chosen: Recipe, model: nn.Module) -> nn.Module:
    """A copy of a pretrained network, pruned as a row says; for ``dense`` the network itself.

    1xN rows move the filters of every layer that can be moved and let the others remember their
    rows of blocks; the released code leaves some layers as they stand (1xN spec A4).
    """
    pattern = chosen.pattern
    if pattern == "dense":
        return model
    block = pattern.startswith("1x")
    random = torch.Generator().manual_seed(chosen.train.seed) if pattern == "random" else None
    return prune(
        model,
        int(pattern[2:].partition("-")[0]) if block else 1,
        chosen.sparsity,
        rearrange=block and not pattern.endswith("-plain"),
        example=torch.zeros(1, 3, SIDE, SIDE),
        skip=NETWORKS[chosen.network].skip,
        pattern="block" if block else pattern,
        generator=random,
    )


def dry_run(
    key: str,
    sparsity: float = 0.5,
    steps: int = 2,
    batch_size: int = 2,
    directory: str | Path | None = None,
) -> History:
    """Train ``steps`` steps of a full recipe on fake images at the real image shape.

    Shows that network, masks, optimiser and schedule fit together, from random weights; the batch
    is small so that a laptop can do it.

    Returns:
        The training history of the one short epoch.
    """
    chosen = recipe(key, sparsity)
    images = data.fake_images((3, SIDE, SIDE), CLASSES, steps * batch_size, seed=0)
    short = {"epochs": 1, "batch_size": batch_size, "schedule": "constant", "warmup_epochs": 0}
    model = pruned(chosen, build(chosen.network))
    recipe_ = TrainConfig.model_validate(chosen.train.model_dump() | short)
    return fit(model, images, recipe_, directory=directory, progress=False)
