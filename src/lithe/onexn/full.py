"""One row of the 1xN paper's tables, trained at full length and put on record."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lithe import data, ledger
from lithe.onexn import recipes
from lithe.onexn.networks import build
from lithe.onexn.settings import described
from lithe.training import evaluate, fit

__all__ = ["full"]

SOURCES = (
    *("lithe.onexn.recipes", "lithe.onexn.networks", "lithe.onexn.prune", "lithe.onexn.masked"),
    *("lithe.onexn.pattern", "lithe.onexn.grid", "lithe.onexn.baselines", "lithe.onexn.moving"),
    *("lithe.channels", "lithe.training", "lithe.data", "lithe.zoo"),
)


def full(
    key: str,
    sparsity: float = 0.5,
    weights: str | Path | None = None,
    folder: str | Path | None = None,
    seed: int = 0,
) -> None:
    """Train one row of the paper's tables at full length from pretrained weights, and record it.

    Args:
        key: a key of ``lithe.onexn.recipes.ROWS``; ``<network>-dense`` only evaluates.
        sparsity: share of weights to drop.
        weights: ``.safetensors`` file of the pretrained network.
        folder: of ImageNet, with ``train/`` and ``val/`` inside.
        seed: of order, augmentation and random masks.

    Raises:
        lithe.data.DataError: weights or images are missing or damaged.
    """
    code = ledger.code_state(SOURCES)
    chosen = recipes.recipe(key, sparsity, seed)
    if weights is None or folder is None:
        raise data.DataError("name the pretrained weights and the folder of ImageNet, both by path")
    model = recipes.pruned(chosen, recipes.load_weights(build(chosen.network), weights))
    train, test = data.imagenet_folder(folder)
    with ledger.meter() as spent:
        metrics = _fine_tuned(chosen, model, train, test)
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        return
    params = asdict(chosen) | {"train": chosen.train.model_dump(mode="json")}
    params["weights"] = hashlib.sha256(Path(weights).expanduser().read_bytes()).hexdigest()
    used = [described(train), described(test)]
    ledger.record(
        "onexn",
        chosen.experiment,
        "full",
        seed,
        params,
        metrics,
        data=used,
        code=code,
        cost=spent,
    )


def _fine_tuned(chosen: recipes.Recipe, model: nn.Module, train: Any, test: Any) -> dict:
    """Accuracies of the last epoch, and the best over all epochs, which is what was published."""
    if chosen.pattern == "dense":
        found = evaluate(model, test, chosen.train.batch_size)
        best = {}
    else:
        runs = ledger.book_root().parent / "runs" / "checkpoints" / "onexn" / "full"
        place = runs / chosen.experiment / str(chosen.train.seed)
        history = fit(model, train, chosen.train, evaluate=test, directory=place)
        found = {name: history.last[f"evaluate_{name}"] for name in ("top1", "top5")}
        best = {f"best_{name}": max(history[f"evaluate_{name}"]) for name in found}
    values = {name: found[name] for name in ("top1", "top5")} | best
    return {name: {"value": x, "unit": "%", "n": len(test)} for name, x in values.items()}
